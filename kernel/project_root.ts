import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));

/** The folder that holds package.json, with a trailing slash, whether this runs from `kernel/` or `dist/kernel/`. */
export const projectRoot: string = fileURLToPath(
  new URL(here.endsWith('/dist/kernel/') ? '../../' : '../', import.meta.url),
);

/** Absolute path of a file that is not compiled (SQL, YAML, models), given from the project root. */
export const assetPath = (path: string): string => `${projectRoot}${path}`;
