import { UnreadableFileError } from '../errors.ts';
import type { PartitionValues } from './partition_values.ts';

export const FILE_FORMATS = ['jsonl', 'csv', 'parquet', 'avro'] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];

/** A row as the formats have it: JSON values; from Parquet and Avro also dates, bigints and bytes. */
export type Row = Readonly<Record<string, unknown>>;

/** A row, or the reason why there is none. */
export type ReadRow =
  | {
      readonly ok: true;
      readonly row: Row;
      /** Columns that the folders of its file name, as strings. */
      readonly partition?: PartitionValues;
    }
  | {
      readonly ok: false;
      readonly reason: string;
      readonly text: string;
      /** Of bytes that are not UTF-8. */
      readonly encoding?: 'base64';
    };

const SUFFIXES: readonly (readonly [suffix: string, format: FileFormat])[] = [
  ['.jsonl', 'jsonl'],
  ['.ndjson', 'jsonl'],
  ['.json', 'jsonl'],
  ['.csv', 'csv'],
  ['.parquet', 'parquet'],
  ['.avro', 'avro'],
];

/** A file's format by its name; `.gz` may follow. @throws {@link UnreadableFileError} */
export function formatOf(path: string): { readonly format: FileFormat; readonly isGzip: boolean } {
  const isGzip = path.endsWith('.gz');
  const name = isGzip ? path.slice(0, -'.gz'.length) : path;
  const found = SUFFIXES.find(([suffix]) => name.endsWith(suffix));
  if (found === undefined) {
    throw new UnreadableFileError(
      path,
      `its name should end in ${SUFFIXES.map(([suffix]) => suffix).join(', ')}, or that and .gz`,
    );
  }
  return { format: found[1], isGzip };
}
