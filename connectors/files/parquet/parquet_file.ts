import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead, parquetReadObjects } from 'hyparquet';
import { messageOf, PlatformError } from '#kernel/errors';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import { UnreadableFileError } from '../../errors.ts';
import type { Columns } from '../columns.ts';
import { jsonOfBytes, textOfBytes } from '../exact_rows.ts';
import type { OpenFile } from '../file_system.ts';
import type { Row } from '../formats.ts';
import { COMPRESSORS } from './compressors.ts';
import { isFlatNumbers, readFlatNumbers } from './flat_numbers.ts';

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
      const metadata = await parquetMetadataAsync(bytes);
      checkColumnNames(file, metadata);
      return new ParquetFile(file, bytes, metadata);
    } catch (error) {
      await file.close();
      throw understood(file, error);
    }
  }

  get rowGroups(): number {
    return this.#metadata.row_groups.length;
  }

  async readRowGroup(index: number): Promise<readonly Row[]> {
    const rows = await this.#read(index, (file) => parquetReadObjects({ ...file, ...HOW_READ }));
    const decimals = decimalColumns(this.#metadata);
    if (decimals.size === 0) return rows;
    return rows.map((row) => {
      const exact = [...decimals].map(([name, scale]) => [name, exactDecimal(row[name], scale)] as const);
      return { ...row, ...Object.fromEntries(exact) };
    });
  }

  /** Without making objects of the rows: a fraction of the time. */
  async readColumns(index: number): Promise<Columns> {
    return this.#read(index, async ({ rowStart, rowEnd, ...file }) => {
      const rows = rowEnd - rowStart;
      const found = await this.#readNumbers(index, rows);
      const names = topColumns(this.#metadata).map(({ name }) => name);
      const columns = names.filter((name) => !found.has(name));
      const chunks = new Map<string, Chunk[]>();
      if (columns.length > 0) {
        await parquetRead({
          ...{ ...file, rowStart, rowEnd, ...HOW_READ, columns },
          onChunk({ columnName, columnData, rowStart: from }) {
            const own = chunks.get(columnName) ?? [];
            own.push({ at: from - rowStart, data: columnData });
            chunks.set(columnName, own);
          },
        });
      }
      const decimals = decimalColumns(this.#metadata);
      for (const [name, own] of chunks) {
        const data = whole(own, rows);
        const scale = decimals.get(name);
        found.set(name, scale === undefined ? data : Array.from(data, (value) => exactDecimal(value, scale)));
      }
      const values = names.flatMap((name) => {
        const data = found.get(name);
        return data === undefined ? [] : [[name, data] as const];
      });
      return { rows, values: new Map(values) };
    });
  }

  /** Columns of numbers without missing ones. */
  async #readNumbers(index: number, rows: number): Promise<Map<string, ArrayLike<unknown>>> {
    const elements = new Map(topColumns(this.#metadata).map((element) => [element.name, element]));
    const found = new Map<string, ArrayLike<unknown>>();
    for (const { meta_data: column } of this.#metadata.row_groups[index]?.columns ?? []) {
      const [name] = column?.path_in_schema ?? [];
      const element = elements.get(name ?? '');
      if (column === undefined || name === undefined || element === undefined) continue;
      if (!isFlatNumbers(column, element)) continue;
      const { data_page_offset: data, dictionary_page_offset: dictionary, total_compressed_size: size } = column;
      const from = Number(dictionary !== undefined && dictionary > 0n && dictionary < data ? dictionary : data);
      const bytes = await this.#bytes.slice(from, from + Number(size));
      const numbers = readFlatNumbers(bytes, column, element, rows);
      if (numbers !== undefined) found.set(name, numbers);
    }
    return found;
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

const HOW_READ = {
  compressors: COMPRESSORS,
  // hyparquet's own replace bytes that are not UTF-8, drop byte order marks and keep one of several keys.
  parsers: {
    stringFromBytes: (bytes: Uint8Array | undefined) => bytes && textOfBytes(bytes),
    jsonFromBytes: (bytes: Uint8Array | undefined) => bytes && jsonOfBytes(bytes),
  },
};

/** @throws {@link UnreadableFileError} for two columns of one name, of which readers would see one */
function checkColumnNames({ path }: OpenFile, metadata: FileMetaData): void {
  const names = topColumns(metadata).map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) {
    throw new UnreadableFileError(path, `two columns are called "${repeated}": name each column once`);
  }
}

/** The elements right below the root. */
function topColumns({ schema }: FileMetaData): readonly FileMetaData['schema'][number][] {
  const found: FileMetaData['schema'][number][] = [];
  const skip = (at: number): number => {
    let next = at + 1;
    for (let child = 0; child < (schema[at]?.num_children ?? 0); child += 1) next = skip(next);
    return next;
  };
  for (let at = 1; at < schema.length; at = skip(at)) found.push(schema[at] as FileMetaData['schema'][number]);
  return found;
}

/** Columns of decimals, with their scales. */
const decimalColumns = (metadata: FileMetaData): ReadonlyMap<string, number> =>
  new Map(
    topColumns(metadata)
      .filter(({ converted_type: type }) => type === 'DECIMAL')
      .map(({ name, scale = 0 }) => [name, scale]),
  );

/** So many digits of a decimal are exact in a double. */
const DIGITS_OF_DECIMAL = 15;

/** hyparquet multiplies by a power of ten, which rounds: 57 hundredths become 0.5700000000000001. */
function exactDecimal(value: unknown, scale: number): unknown {
  if (typeof value !== 'number') return value;
  const written = value.toFixed(scale);
  if (Math.abs(value) < 10 ** (DIGITS_OF_DECIMAL - scale)) return Number(written);
  return new UnreadableValue(
    `holds a decimal of more than ${DIGITS_OF_DECIMAL} digits, which no double holds exactly: write it rounded, or as a string`,
    written,
  );
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

/** Errors of the place of the file pass through as they are. */
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
