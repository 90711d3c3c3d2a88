import { importOptional } from '#kernel/optional_package';
import type { ComparingFileSystem, OpenFile, TaggedFile } from '../file_system.ts';
import { CHUNK_BYTES, type S3Config } from './s3_config.ts';
import type { S3Files } from './s3_files.ts';

const SDK = { packages: ['@aws-sdk/client-s3', '@smithy/node-http-handler'], use: 'a path s3://…' };

/** {@link S3Files}, whose SDK is loaded when the first file is used. Each method throws `PackageMissingError` where that SDK is not installed. */
export class S3WhenUsed implements ComparingFileSystem {
  readonly chunkBytes = CHUNK_BYTES;
  readonly #config: S3Config;
  #files: Promise<S3Files> | undefined;

  constructor(config: S3Config) {
    this.#config = config;
  }

  #opened(): Promise<S3Files> {
    this.#files ??= importOptional(SDK, () => import('./s3_files.ts')).then(({ S3Files }) => new S3Files(this.#config));
    return this.#files;
  }

  async glob(pattern: string): Promise<readonly string[]> {
    return (await this.#opened()).glob(pattern);
  }

  async open(path: string): Promise<OpenFile> {
    return (await this.#opened()).open(path);
  }

  async write(path: string, bytes: Uint8Array): Promise<string> {
    return (await this.#opened()).write(path, bytes);
  }

  async readTagged(path: string): Promise<TaggedFile | undefined> {
    return (await this.#opened()).readTagged(path);
  }

  async writeIf(path: string, bytes: Uint8Array, tag: string | undefined): Promise<string | undefined> {
    return (await this.#opened()).writeIf(path, bytes, tag);
  }

  async remove(path: string): Promise<void> {
    await (await this.#opened()).remove(path);
  }
}
