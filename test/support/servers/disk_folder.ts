import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

/** Files in memory where there is such a file system: these tests sync thousands of times. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export const temporaryFolder = (name: string): string => mkdtempSync(join(ROOT, `${name}-`));

/** Every file below a folder, by its path within. */
export type FolderImage = ReadonlyMap<string, Buffer>;

export function imageOf(folder: string): FolderImage {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map((entry) => {
      const file = join(entry.parentPath, entry.name);
      return [relative(folder, file), readFileSync(file)];
    }),
  );
}

/** Makes the folder what the image is, with some files replaced; `undefined` leaves one out. */
export function layOut(
  folder: string,
  image: FolderImage,
  changed: ReadonlyMap<string, Buffer | undefined> = new Map(),
): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of [...image, ...changed]) {
    const bytes = changed.has(name) ? changed.get(name) : content;
    if (bytes === undefined) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
}

/** The same bytes with one bit turned over. */
export function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = Math.floor(bit / 8);
  copy[at] = (copy[at] as number) ^ (1 << (bit % 8));
  return copy;
}

export const withInserted = (bytes: Buffer, at: number, garbage: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), garbage, bytes.subarray(at)]);
