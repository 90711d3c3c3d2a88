import { readFile } from 'node:fs/promises';
import type { InitializeHook, LoadHook, ResolveHook } from 'node:module';
import { join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transform } from '@swc/wasm-typescript';

// Hooks of Node's module loader that run a project from its TypeScript sources, file by file: names of functions and variables stay as they are written, as fingerprints need it.

/** What the hooks are given: the folder of the project, and the one whose node_modules it uses. */
export interface SourceFolders {
  readonly project: string;
  readonly packages: string;
}

let folders: SourceFolders = { project: '', packages: '' };

const isOfProject = (url: string | undefined): boolean =>
  url?.startsWith('file:') === true && fileURLToPath(url).startsWith(`${folders.project}${sep}`);

export const initialize: InitializeHook<SourceFolders> = (given) => {
  folders = given;
};

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  if (!isOfProject(context.parentURL)) return nextResolve(specifier, context);
  // `#kernel/errors` is a source, not what was built from it.
  const ofSource = { ...context, conditions: [...context.conditions, 'source'] };
  try {
    return await nextResolve(specifier, ofSource);
  } catch (error) {
    const isPackage = !/^[./#]/.test(specifier);
    if (!isPackage || (error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return nextResolve(specifier, {
      ...context,
      parentURL: pathToFileURL(join(folders.packages, 'package.json')).href,
    });
  }
};

export const load: LoadHook = async (url, context, nextLoad) => {
  if (!isOfProject(url) || !/\.[mc]?ts$/.test(url)) return nextLoad(url, context);
  const file = fileURLToPath(url);
  const text = await readFile(file, 'utf8');
  // Types are blanked out; what needs more than that, such as enums, is compiled.
  const { code } = await transform(text, { module: true, filename: file, mode: 'strip-only' }).catch(() =>
    transform(text, { module: true, filename: file, mode: 'transform', transform: { verbatimModuleSyntax: true } }),
  );
  return { format: 'module', source: code, shortCircuit: true };
};
