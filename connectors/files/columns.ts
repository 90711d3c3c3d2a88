import type { Row } from './formats.ts';

/** Rows by column: typed arrays where a format has them. */
export interface Columns {
  readonly rows: number;
  /** Each of `rows` values; null and undefined are missing. */
  readonly values: ReadonlyMap<string, ArrayLike<unknown>>;
}

/** The columns of rows, in the order in which they first appear. */
export function columnsOf(rows: readonly Row[]): Columns {
  const names = new Set(rows.flatMap((row) => Object.keys(row)));
  return { rows: rows.length, values: new Map([...names].map((name) => [name, rows.map((row) => row[name] ?? null)])) };
}

/** Some of the rows. @param keep - their places, ascending */
export function pickRows({ values }: Columns, keep: readonly number[]): Columns {
  const picked = [...values].map(([name, column]) => [name, keep.map((at) => column[at])] as const);
  return { rows: keep.length, values: new Map(picked) };
}

export function rowsOf({ rows, values }: Columns): Row[] {
  const columns = [...values];
  return Array.from({ length: rows }, (_, at) =>
    Object.fromEntries(columns.map(([name, column]) => [name, column[at] ?? null])),
  );
}
