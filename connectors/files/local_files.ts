import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { glob } from 'tinyglobby';
import { messageOf } from '#kernel/errors';
import { UnreadableFileError } from '../errors.ts';
import type { FileSystem, OpenFile } from './file_system.ts';

const CHUNK_BYTES = 1_024 * 1_024;

/** This machine's disks. */
export class LocalFiles implements FileSystem {
  readonly chunkBytes = CHUNK_BYTES;

  async glob(pattern: string): Promise<readonly string[]> {
    return (await glob([pattern], { absolute: true, onlyFiles: true })).sort();
  }

  async open(path: string): Promise<OpenFile> {
    try {
      return new LocalFile(path, await open(path));
    } catch (error) {
      throw new UnreadableFileError(path, messageOf(error), error);
    }
  }

  async write(path: string, bytes: Uint8Array): Promise<string> {
    await mkdir(dirname(path), { recursive: true });
    const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    return path;
  }

  async remove(path: string): Promise<void> {
    await rm(path, { force: true });
  }
}

class LocalFile implements OpenFile {
  readonly path: string;
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async read(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#handle.read(buffer, filled, length - filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  stream(): Readable {
    return this.#handle.createReadStream({ autoClose: false });
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
