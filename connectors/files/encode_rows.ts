import { parquetWriteBuffer } from 'hyparquet-writer';
import { type Columns, columnsOf } from './columns.ts';
import { jsonOfRow } from './exact_rows.ts';
import type { FileFormat, Row } from './formats.ts';

const ROW_GROUP = 50_000;

/** A whole file of rows, all with the same columns as far as they have them. Avro is read only. */
export function encodeRows(format: Exclude<FileFormat, 'avro'>, rows: readonly Row[]): Buffer {
  if (format === 'jsonl') return Buffer.from(rows.map((row) => `${jsonOfRow(row)}\n`).join(''), 'utf8');
  const columns = columnsOf(rows);
  if (format === 'parquet') return encodeColumns(columns);
  const values = [...columns.values.values()];
  const lines = [[...columns.values.keys()], ...rows.map((_, at) => values.map((column) => column[at]))];
  return Buffer.from(lines.map((cells) => `${cells.map(csvCell).join(',')}\n`).join(''), 'utf8');
}

/** A whole Parquet file. */
export function encodeColumns({ values }: Columns): Buffer {
  const columnData = [...values].map(([name, data]) => ({
    ...{ name, type: parquetType(data) },
    data: data as Exclude<typeof data, ArrayLike<unknown>> & unknown[],
  }));
  return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: ROW_GROUP }));
}

/** Source: RFC 4180. */
function csvCell(value: unknown): string {
  const text =
    value === undefined || value === null ? '' : typeof value === 'object' ? jsonOfRow(value as Row) : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** By the first value that there is; numbers are doubles, so that a column's type does not depend on which rows are in a file. */
function parquetType(
  values: ArrayLike<unknown>,
): 'DOUBLE' | 'FLOAT' | 'BOOLEAN' | 'INT64' | 'TIMESTAMP' | 'BYTE_ARRAY' | 'JSON' | 'STRING' {
  if (values instanceof Float32Array) return 'FLOAT';
  if (ArrayBuffer.isView(values)) return typeof values[0] === 'bigint' ? 'INT64' : 'DOUBLE';
  const value = (values as readonly unknown[]).find((one) => one !== null && one !== undefined);
  switch (typeof value) {
    case 'number':
      return 'DOUBLE';
    case 'boolean':
      return 'BOOLEAN';
    case 'bigint':
      return 'INT64';
    case 'object':
      if (value instanceof Date) return 'TIMESTAMP';
      return value instanceof Uint8Array ? 'BYTE_ARRAY' : 'JSON';
    default:
      return 'STRING';
  }
}
