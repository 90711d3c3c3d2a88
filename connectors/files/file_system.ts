import type { Readable } from 'node:stream';

/** Files somewhere: on this machine's disks, or in a bucket. */
export interface FileSystem {
  /** Reading pays off in pieces of about so many bytes. */
  readonly chunkBytes: number;
  /** Whole paths of the files that match, in order. `*`, `**`, `?`, `{a,b}` and `[…]` mean what they mean in a shell. */
  glob(pattern: string): Promise<readonly string[]>;
  /** @throws {@link UnreadableFileError} when there is none */
  open(path: string): Promise<OpenFile>;
  /**
   * The file appears whole, or not at all; one of the same name is replaced.
   *
   * @returns a path that reads exactly this, also after it was replaced, where the place keeps versions
   */
  write(path: string, bytes: Uint8Array): Promise<string>;
  /** Removes a file; one that does not exist is no error. */
  remove(path: string): Promise<void>;
}

/** The path of something in a folder, of whichever place. */
export const pathIn = (directory: string, name: string): string => `${directory.replace(/\/+$/, '')}/${name}`;

/** A file's bytes, all of them. @throws {@link UnreadableFileError} when there is none */
export async function readWhole(files: FileSystem, path: string): Promise<Buffer> {
  const file = await files.open(path);
  try {
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

export interface OpenFile {
  readonly path: string;
  size(): Promise<number>;
  /** Bytes from `position` on: `length` of them, fewer at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  stream(): Readable;
  close(): Promise<void>;
}
