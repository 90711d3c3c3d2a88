import { createHash } from 'node:crypto';

const DIGITS = 32;

/**
 * Returns an id made of values that identify a thing together: 32 hexadecimal digits of SHA-256. Equal values give equal ids, whether they came as numbers of JSON or as
 * integers of 64 bits.
 */
export function derivedId(values: readonly unknown[]): string {
  const text = JSON.stringify(values.map(plain));
  return createHash('sha256').update(text).digest('hex').slice(0, DIGITS);
}

/** Types stay apart: 5 is not "5". */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return { integer: String(value) };
  if (typeof value === 'number')
    return Number.isInteger(value) ? { integer: BigInt(value).toString() } : { number: value };
  return value ?? null;
}
