import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Environment, environment } from '#configs/environment';
import { ProjectNotFoundError } from '../errors.ts';

const CONFIG_FILES = ['headwater.config.ts', 'headwater.config.mts', 'headwater.config.js', 'headwater.config.mjs'];

/** Returns the folder that commands look for a project in: that of HEADWATER_PROJECT, or the one they are run in. */
export const projectFolder = (env: Environment = environment()): string => {
  const folder = resolve(env.HEADWATER_PROJECT || '.');
  return existsSync(folder) ? realpathSync(folder) : folder;
};

/** Returns the headwater.config file of a folder; undefined where it is no project's. */
export const configFileOf = (folder: string): string | undefined =>
  CONFIG_FILES.map((name) => join(folder, name)).find((file) => existsSync(file));

/** Returns the headwater.config file of a folder. @throws {@link ProjectNotFoundError} where it is no project's */
export function requireConfigFile(folder: string): string {
  const file = configFileOf(folder);
  if (file === undefined) throw new ProjectNotFoundError(folder, projectAbove(folder));
  return file;
}

/** Returns the nearest folder above that is a project's. */
function projectAbove(folder: string): string | undefined {
  for (let at = dirname(folder); ; at = dirname(at)) {
    if (configFileOf(at) !== undefined) return at;
    if (at === dirname(at)) return undefined;
  }
}
