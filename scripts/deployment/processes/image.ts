import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '#scripts/building/installed_package';

/** What an image has, without its operating system: the base image of a package, and a project as a layer on it. */
export interface Image {
  readonly name: string;
  /** Folders of the container, by path: the package, and the project. */
  readonly folders: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly entryPoint: readonly string[];
}

/**
 * Installs a package and a project as the Dockerfiles of this repository and of the project do.
 *
 * @param tarball - the package
 * @param project - folder of the project, with its Dockerfile
 */
export async function makeImage(
  folder: string,
  { name, tarball, project }: { readonly name: string; readonly tarball: string; readonly project: string },
): Promise<Image> {
  const base = join(folder, name, 'base');
  await mkdir(base, { recursive: true });
  await writeFile(
    join(base, 'package.json'),
    JSON.stringify({ private: true, dependencies: { headwater: `file:${tarball}` } }),
  );
  await writeFile(join(base, '.npmrc'), 'onnxruntime-node-install=skip\n');
  await runCommand('npm', ['install', '--omit=dev'], { cwd: base, as: `${name}: npm install of the package` });
  const layer = join(folder, name, 'project');
  await cp(project, layer, { recursive: true, filter: (path) => basename(path) !== 'node_modules' });
  // The stage of packages, as the Dockerfile has it.
  const [, packages] = /^RUN (.+)$/m.exec(await readFile(join(project, 'Dockerfile'), 'utf8')) ?? [];
  if (packages === undefined) throw new Error(`${join(project, 'Dockerfile')} has no RUN`);
  const stage = join(folder, name, 'packages');
  await mkdir(stage);
  for (const file of ['package.json', '.npmrc']) await cp(join(project, file), join(stage, file));
  await runCommand('sh', ['-c', packages], { cwd: stage, as: `${name}: packages of the project` });
  await cp(join(stage, 'node_modules'), join(layer, 'node_modules'), { recursive: true });
  const dockerfile = (await readFile(assetPath('Dockerfile'), 'utf8')).replaceAll('\\\n', ' ');
  const [, variables = ''] = /^ENV (.+)$/m.exec(dockerfile) ?? [];
  const [, entryPoint = '[]'] = /^ENTRYPOINT (.+)$/m.exec(dockerfile) ?? [];
  return {
    name,
    folders: { '/app': join(base, 'node_modules/headwater'), '/project': layer },
    env: Object.fromEntries([...variables.matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key, value])) as never,
    entryPoint: JSON.parse(entryPoint) as readonly string[],
  };
}
