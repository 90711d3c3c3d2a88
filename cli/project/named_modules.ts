import { statSync } from 'node:fs';
import { basename, dirname, relative, resolve, sep } from 'node:path';
import { configFileOf, projectFolder } from './loading/find_project.ts';
import { useSourcesOf } from './loading/load_module.ts';
import { loadSpec, modulesOf } from './project.ts';

/** Modules of a project that commands find by name, each kind in folders of `defineConfig`. */
export type NamedModules = 'pipelines' | 'scripts';

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;
const withoutExtension = (path: string): string => path.replace(/\.m?[jt]s$/, '');

/**
 * Finds the module that a command names by its path or, in the folders of the project, by its name, and lets this thread load its TypeScript sources.
 *
 * @param name - `pipelines/clean.ts`, or `clean`
 * @returns its file; undefined where there is none
 * @throws {@link ProjectModuleError} where headwater.config cannot be loaded
 */
export async function findModule(name: string, kind: NamedModules): Promise<string | undefined> {
  const project = projectFolder();
  const path = resolve(name);
  if (isFile(path)) {
    useSourcesOf(path.startsWith(`${project}${sep}`) ? project : dirname(path));
    return path;
  }
  return (await modulesNamed(kind)).get(withoutExtension(name));
}

/** Returns the names of the project's modules of a kind, sorted; none where there is no project. */
export const namesOfModules = async (kind: NamedModules): Promise<readonly string[]> => [
  ...(await modulesNamed(kind)).keys(),
];

/** Returns the files of the project's modules of a kind by their names; none where there is no project. */
async function modulesNamed(kind: NamedModules): Promise<ReadonlyMap<string, string>> {
  const project = projectFolder();
  if (configFileOf(project) === undefined) return new Map();
  const { [kind]: places } = await loadSpec(project);
  const found = new Map<string, string>();
  for (const place of [places ?? kind].flat()) {
    const folder = resolve(project, place);
    for (const file of await modulesOf(project, place, places !== undefined)) {
      const name = file === folder ? basename(file) : relative(folder, file).replaceAll(sep, '/');
      found.set(withoutExtension(name), file);
    }
  }
  return found;
}
