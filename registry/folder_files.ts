import { readFile, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ifMissing } from '#storage/errors';
import { InvalidModelError } from './errors.ts';

const CONTROL = /\p{Cc}/u;
const LONGEST_PATH = 1_024;

/**
 * Returns the path of a file below a folder, as it is written in model files: parts separated by "/", relative, without "." and "..".
 *
 * @param what - whose path it is, for the error
 * @throws {@link InvalidModelError} naming the path
 */
export function checkInnerPath(path: string, what: string): string {
  const parts = path.split('/');
  const isPlain =
    path.length <= LONGEST_PATH &&
    !CONTROL.test(path) &&
    !path.includes('\\') &&
    parts.every((part) => part !== '' && part !== '.' && part !== '..') &&
    // A drive of Windows, or a scheme.
    !(parts[0] as string).includes(':');
  if (isPlain) return path;
  const shown = JSON.stringify(path).slice(0, 200);
  throw new InvalidModelError([
    `${what} is at ${shown}: it must lie in the model's own folder, and be named relative to it`,
  ]);
}

/**
 * Reads a file of a folder.
 *
 * @throws {@link InvalidModelError} when it lies elsewhere, also by a symbolic link; what reading throws, such as ENOENT
 */
export async function readInside(folder: string, path: string): Promise<Buffer> {
  const file = join(folder, checkInnerPath(path, 'a file of the model'));
  const [root, target] = await Promise.all([realpath(folder), realpath(file)]);
  if (!target.startsWith(root + sep)) {
    throw new InvalidModelError([`${file} is a link to ${target}: files of a model must lie in its own folder`]);
  }
  return readFile(target);
}

/** As {@link readInside}; undefined when there is no such file. */
export const readIfInside = (folder: string, path: string): Promise<Buffer | undefined> =>
  readInside(folder, path).catch(ifMissing(undefined));
