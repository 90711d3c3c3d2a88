import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead, parquetReadObjects } from 'hyparquet';
import { messageOf, PlatformError } from '#kernel/errors';
import { UnreadableFileError } from '../errors.ts';
import type { Columns } from './columns.ts';
import type { OpenFile } from './file_system.ts';
import type { Row } from './formats.ts';

interface Range {
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly rowStart: number;
  readonly rowEnd: number;
}

/** A part of a column, and where in it. */
interface Chunk {
  readonly at: number;
  readonly data: ArrayLike<unknown>;
}

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
    return this.#read(index, (file) => parquetReadObjects({ ...file }));
  }

  /** Without making objects of the rows: a fraction of the time. */
  async readColumns(index: number): Promise<Columns> {
    return this.#read(index, async ({ rowStart, rowEnd, ...file }) => {
      const rows = rowEnd - rowStart;
      const chunks = new Map<string, Chunk[]>();
      await parquetRead({
        ...{ ...file, rowStart, rowEnd },
        onChunk({ columnName, columnData, rowStart: from }) {
          const own = chunks.get(columnName) ?? [];
          own.push({ at: from - rowStart, data: columnData });
          chunks.set(columnName, own);
        },
      });
      return { rows, values: new Map([...chunks].map(([name, own]) => [name, whole(own, rows)])) };
    });
  }

  async #read<T>(index: number, read: (of: Range) => Promise<T>): Promise<T> {
    const before = this.#metadata.row_groups.slice(0, index);
    const rowStart = before.reduce((sum, { num_rows: rows }) => sum + Number(rows), 0);
    const rowEnd = rowStart + Number(this.#metadata.row_groups[index]?.num_rows ?? 0);
    try {
      return await read({ file: this.#bytes, metadata: this.#metadata, rowStart, rowEnd });
    } catch (error) {
      throw understood(this.#file, error, `row group ${index}: `);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** A column of its parts; they may reach beyond it. */
function whole(chunks: readonly Chunk[], rows: number): ArrayLike<unknown> {
  const [first] = chunks;
  if (chunks.length === 1 && first?.at === 0 && first.data.length === rows) return first.data;
  const column = new Array<unknown>(rows);
  for (const { at, data } of chunks) {
    for (let index = Math.max(0, -at); index < data.length && at + index < rows; index += 1) {
      column[at + index] = data[index];
    }
  }
  return column;
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
