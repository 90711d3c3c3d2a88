/** A row as JSON, and those of its integers that a number does not hold exactly, as digits. */
export interface ExactRow {
  readonly row: Readonly<Record<string, unknown>>;
  readonly exact: Readonly<Record<string, string>> | null;
}

/** SQL of {@link ExactRow.exact}. @param row - an expression of type jsonb */
export const EXACT_INTEGERS = (row: string): string =>
  `(SELECT jsonb_object_agg(key, value #>> '{}') FROM jsonb_each(${row})
    WHERE jsonb_typeof(value) = 'number' AND abs((value #>> '{}')::numeric) >= 9007199254740992 AND (value #>> '{}') ~ '^-?[0-9]+$')`;

/** Returns the row with those integers as bigints. */
export function withExactIntegers({ row, exact }: ExactRow): Readonly<Record<string, unknown>> {
  if (exact === null) return row;
  const bigints = Object.entries(exact).map(([name, digits]) => [name, BigInt(digits)] as const);
  return { ...row, ...Object.fromEntries(bigints) };
}
