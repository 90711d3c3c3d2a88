import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { glob } from 'tinyglobby';

interface Package {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const packageIn = async (folder: string): Promise<Package> =>
  JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Package;

/** Returns the development dependencies of /app that are installed though no package of the image depends on them. */
export async function developmentPackages(root: string): Promise<readonly string[]> {
  const app = join(root, 'app');
  const own = await packageIn(app);
  const needed = new Set(Object.keys(own.dependencies ?? {}));
  for (const path of await glob('**/node_modules/{*,@*/*}/package.json', { cwd: app, dot: true })) {
    const { dependencies, optionalDependencies, peerDependencies } = await packageIn(join(app, path, '..'));
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) needed.add(name);
  }
  return Object.keys(own.devDependencies ?? {}).filter(
    (name) => !needed.has(name) && existsSync(join(app, 'node_modules', name)),
  );
}

/** Returns the paths in an image that belong to tests, benchmarks, scripts of this repository, its history, or settings that may hold credentials. */
export async function unwantedPaths(root: string): Promise<readonly string[]> {
  const unwanted = [
    'app/{test,bench,scripts,examples,.git,.github}',
    'app/dist/{test,bench,scripts}',
    '**/{.env,.npmrc,.netrc,.pgpass,id_rsa,id_ed25519}',
    'project/**/{.git,node_modules/.cache}',
    '{root,home/*}/.{npm,cache,config,docker,aws,ssh}',
  ];
  const found = await glob(unwanted, {
    ...{ cwd: root, dot: true, onlyFiles: false, expandDirectories: false },
    ignore: ['proc/**', 'sys/**', 'dev/**', '**/node_modules/*/**', '**/node_modules/@*/*/**'],
  });
  const problems: string[] = [];
  for (const path of found) {
    // The settings of a project's installs.
    const isHarmless =
      path.endsWith('.npmrc') && !/_auth|_?password|token/i.test(await readFile(join(root, path), 'utf8'));
    if (!isHarmless) problems.push(path);
  }
  return problems;
}
