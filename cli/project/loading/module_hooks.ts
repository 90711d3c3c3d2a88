import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type InitializeHook, isBuiltin, type LoadHook, type ResolveHook } from 'node:module';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transform } from '@swc/wasm-typescript';
import { projectRoot } from '#kernel/project_root';

// Hooks of Node's module loader that run a project from its TypeScript sources, file by file: names of functions and variables stay as they are written, as fingerprints need it.

/** What the hooks are given. */
export interface ModuleFolders {
  /** Of the project, whose sources are loaded. */
  readonly project: string;
  /** Whose node_modules are searched too, where the project's lack a package. */
  readonly packages: string;
}

let folders: ModuleFolders = { project: '', packages: '' };

export const initialize: InitializeHook<ModuleFolders> = (given) => {
  folders = given;
};

const isOfProject = (url: string | undefined): url is string => {
  if (url?.startsWith('file:') !== true) return false;
  const file = fileURLToPath(url);
  return (
    file.startsWith(`${folders.project}${sep}`) &&
    !file.slice(folders.project.length).includes(`${sep}node_modules${sep}`)
  );
};

const OWN_NAME = /^headwater(\/|$)/;
const INSTEAD_OF_JS: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
};

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const { parentURL } = context;
  if (!isOfProject(parentURL) || isBuiltin(specifier)) return nextResolve(specifier, context);
  if (OWN_NAME.test(specifier)) {
    // Definitions are made by the package that runs them, wherever it is installed.
    return nextResolve(specifier, { ...context, parentURL: pathToFileURL(join(projectRoot, 'package.json')).href });
  }
  if (/^\.{1,2}\//.test(specifier)) {
    const file = sourceOf(fileURLToPath(new URL(specifier, parentURL)));
    return nextResolve(file === undefined ? specifier : pathToFileURL(file).href, context);
  }
  try {
    return await nextResolve(specifier, context);
  } catch (error) {
    const isPackage = !/^[./#]/.test(specifier);
    if (!isPackage || (error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return nextResolve(specifier, {
      ...context,
      parentURL: pathToFileURL(join(folders.packages, 'package.json')).href,
    });
  }
};

/** The file that an import means as TypeScript resolves it: `./a.js` and `./a` are `./a.ts` where there is no such file. */
function sourceOf(path: string): string | undefined {
  if (existsSync(path) && extname(path) !== '') return undefined;
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  const candidates = [
    ...(INSTEAD_OF_JS[extension] ?? []).map((other) => `${stem}${other}`),
    ...['.ts', '.mts', '.tsx', '.js', '/index.ts', '/index.js'].map((other) => `${path}${other}`),
  ];
  return candidates.find((candidate) => existsSync(candidate));
}

export const load: LoadHook = async (url, context, nextLoad) => {
  if (!isOfProject(url) || !/\.[mc]?tsx?$/.test(url)) return nextLoad(url, context);
  const file = fileURLToPath(url);
  const text = await readFile(file, 'utf8');
  return { format: 'module', source: await withoutTypes(text, file), shortCircuit: true };
};

/** A line that begins with a decorator, or with what looks like one. */
const DECORATOR = /^\s*@[A-Za-z_$]/m;

/** Blanks out types, so that lines and columns stay; what needs more than that, such as enums, is compiled. */
async function withoutTypes(text: string, file: string): Promise<string> {
  const code = await transformed(text, file);
  if (DECORATOR.test(text)) await refuseDecorators(code, file);
  return code;
}

async function transformed(text: string, file: string): Promise<string> {
  try {
    return (await transform(text, { module: true, filename: file, mode: 'strip-only' })).code;
  } catch {
    const { code } = await transform(text, {
      ...{ module: true, filename: file, mode: 'transform' },
      transform: { verbatimModuleSyntax: true },
    });
    return code;
  }
}

/** Decorators are no JavaScript that Node runs, and its error of them has neither place nor reason. */
async function refuseDecorators(code: string, file: string): Promise<void> {
  const { parse } = await import('acorn');
  try {
    parse(code, { ecmaVersion: 'latest', sourceType: 'module' });
  } catch (error) {
    const { loc } = error as { readonly loc?: { readonly line: number } };
    const line = loc === undefined ? '' : code.split('\n')[loc.line - 1];
    if (line?.trimStart().startsWith('@') !== true) return;
    throw new SyntaxError(
      `${relative(folders.project, file)}:${loc?.line} has a decorator, which Node does not run: call the function, or compile the file to JavaScript before`,
    );
  }
}
