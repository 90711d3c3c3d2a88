import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { messageOf, PlatformError } from '#kernel/errors';
import { UnreadableFileError } from '../errors.ts';
import type { OpenFile } from './file_system.ts';
import type { Row } from './formats.ts';

/** A Parquet file whose footer has been read. */
export class ParquetFile {
  readonly #file: OpenFile;
  readonly #metadata: FileMetaData;
  readonly #bytes: AsyncBuffer;

  private constructor(file: OpenFile, bytes: AsyncBuffer, metadata: FileMetaData) {
    this.#file = file;
    this.#bytes = bytes;
    this.#metadata = metadata;
  }

  /** Closes the file when it throws. @throws {@link UnreadableFileError}; what reading fails with */
  static async open(file: OpenFile): Promise<ParquetFile> {
    try {
      const bytes = asyncBufferOf(file, await file.size());
      return new ParquetFile(file, bytes, await parquetMetadataAsync(bytes));
    } catch (error) {
      await file.close();
      throw understood(file, error);
    }
  }

  get rowGroups(): number {
    return this.#metadata.row_groups.length;
  }

  async readRowGroup(index: number): Promise<readonly Row[]> {
    const before = this.#metadata.row_groups.slice(0, index);
    const rowStart = before.reduce((sum, { num_rows: rows }) => sum + Number(rows), 0);
    const rowEnd = rowStart + Number(this.#metadata.row_groups[index]?.num_rows ?? 0);
    try {
      return await parquetReadObjects({ file: this.#bytes, metadata: this.#metadata, rowStart, rowEnd });
    } catch (error) {
      throw understood(this.#file, error, `row group ${index}: `);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** What the place of the file fails with is told as it is. */
const understood = ({ path }: OpenFile, error: unknown, where = ''): unknown =>
  error instanceof PlatformError ? error : new UnreadableFileError(path, `${where}${messageOf(error)}`, error);

function asyncBufferOf(file: OpenFile, byteLength: number): AsyncBuffer {
  return {
    byteLength,
    async slice(start: number, end = byteLength): Promise<ArrayBuffer> {
      const bytes = await file.read(start, end - start);
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
    },
  };
}
