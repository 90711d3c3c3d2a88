import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { assetPath } from '#kernel/project_root';

interface PackageJson {
  readonly exports: Readonly<Record<string, { readonly types?: string } | string>>;
}

/** An entry of `exports` in package.json, as the site has a page of it. */
export interface ApiPage {
  /** `headwater/features` */
  readonly title: string;
  /** `features`, the name of its declarations and of its page. */
  readonly name: string;
  /** Its declarations, absolute. */
  readonly types: string;
}

/** Returns the entries of `exports` that have declarations. */
export async function apiPages(): Promise<readonly ApiPage[]> {
  const { exports } = JSON.parse(await readFile(assetPath('package.json'), 'utf8')) as PackageJson;
  return Object.entries(exports).flatMap(([path, target]) => {
    if (typeof target === 'string' || target.types === undefined) return [];
    const title = path === '.' ? 'headwater' : `headwater${path.slice(1)}`;
    return [{ title, name: basename(target.types, '.d.ts'), types: assetPath(target.types) }];
  });
}

/** TypeDoc by name of its options: https://typedoc.org/documents/Options.html and those of typedoc-plugin-markdown. */
const OPTIONS = {
  plugin: ['typedoc-plugin-markdown'],
  outputFileStrategy: 'modules',
  entryFileName: 'contents',
  excludeExternals: true,
  excludeInternal: true,
  excludePrivate: true,
  disableSources: true,
  hideBreadcrumbs: true,
  hidePageHeader: true,
  useCodeBlocks: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  readme: 'none',
  // `npm run types` checks them, with the compiler that the project is written for.
  skipErrorChecking: true,
  validation: false,
  logLevel: 'Error',
};

/**
 * Returns the pages of the public surface by name, in Markdown: made of the declarations and docstrings that `npm run build` has written, by TypeDoc of the package in site/.
 *
 * @throws Error when TypeDoc fails, or has made no page for an entry
 */
export async function writtenApiPages(): Promise<ReadonlyMap<string, string>> {
  const pages = await apiPages();
  const folder = await mkdtemp(join(tmpdir(), 'api-pages-'));
  try {
    const tsconfig = join(folder, 'tsconfig.json');
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2023', strict: true, skipLibCheck: true, noEmit: true },
      ...{ types: ['node'], typeRoots: [assetPath('node_modules/@types')] },
    };
    await writeFile(tsconfig, JSON.stringify({ compilerOptions, files: pages.map(({ types }) => types) }));
    const options = join(folder, 'typedoc.json');
    const places = { tsconfig, out: join(folder, 'pages'), basePath: assetPath('dist/public') };
    await writeFile(options, JSON.stringify({ ...OPTIONS, ...places, entryPoints: pages.map(({ types }) => types) }));
    execFileSync('npx', ['--no-install', 'typedoc', '--options', options], {
      ...{ cwd: assetPath('site'), stdio: 'inherit' },
    });
    const written = new Map<string, string>();
    for (const { name, title } of pages) {
      const markdown = await readFile(join(places.out, `${name}.md`), 'utf8');
      written.set(name, markdown.replace(/^# .*$/m, `# ${title}`));
    }
    return written;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
