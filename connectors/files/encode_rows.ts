import { parquetWriteBuffer } from 'hyparquet-writer';
import type { FileFormat, Row } from './formats.ts';

const ROW_GROUP = 50_000;

/** A whole file of rows, all with the same columns as far as they have them. Avro is read only. */
export function encodeRows(format: Exclude<FileFormat, 'avro'>, rows: readonly Row[]): Buffer {
  if (format === 'jsonl') return Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''), 'utf8');
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  if (format === 'csv') {
    const lines = [columns, ...rows.map((row) => columns.map((name) => row[name]))];
    return Buffer.from(lines.map((cells) => `${cells.map(csvCell).join(',')}\n`).join(''), 'utf8');
  }
  const columnData = columns.map((name) => {
    const values = rows.map((row) => row[name] ?? null);
    return { name, data: values, type: parquetType(values) };
  });
  return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: ROW_GROUP }));
}

/** Source: RFC 4180. */
function csvCell(value: unknown): string {
  const text =
    value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** By the first value that there is; numbers are doubles, so that a column's type does not depend on which rows are in a file. */
function parquetType(
  values: readonly unknown[],
): 'DOUBLE' | 'BOOLEAN' | 'INT64' | 'TIMESTAMP' | 'BYTE_ARRAY' | 'JSON' | 'STRING' {
  const value = values.find((one) => one !== null);
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
