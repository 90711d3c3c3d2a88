import { UnreadableValue } from '../text/unstorable_text.ts';
import { isExactNumber } from './exact_json.ts';

// Numbers of files that write them as text (CSV) or as integers of 64 bits (Parquet, Avro, databases).

const LONGEST_SHOWN = 100;

const inexact = (written: string): UnreadableValue => {
  const shown = written.length <= LONGEST_SHOWN ? written : `${written.slice(0, LONGEST_SHOWN)}…`;
  return new UnreadableValue(
    `holds the number ${shown}, which no double holds exactly (integers to 2^53, decimals of 17 digits): write it rounded, or declare the field a string`,
    written,
  );
};

/** JSON's numbers, and what `Number` reads besides: a plus sign, no digit on one side of the point. */
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?((?:[eE][+-]?\d+)?)$/;

/** Returns the number that a text holds: undefined when it is no number, an {@link UnreadableValue} when a double would be another number. */
export function numberOfText(text: string): number | UnreadableValue | undefined {
  const value = Number(text);
  if (Number.isNaN(value) || text.trim() === '') return undefined;
  const parts = DECIMAL.exec(text.trim());
  // Infinity, and hexadecimal, octal and binary integers.
  if (parts === null)
    return Math.abs(value) > Number.MAX_SAFE_INTEGER && Number.isFinite(value) ? inexact(text) : value;
  const [, sign, integer, fraction, exponent] = parts;
  const point = fraction === undefined || fraction === '' ? '' : `.${fraction}`;
  const literal = `${sign === '-' ? '-' : ''}${integer === '' ? '0' : integer}${point}${exponent}`;
  return isExactNumber(literal) ? value : inexact(text);
}

/** Returns the number that an integer is, or an {@link UnreadableValue} when a double would be another one. */
export function numberOfInteger(integer: bigint): number | UnreadableValue {
  const value = Number(integer);
  // Also as JSON writes it: 2^60 is a double, and would be written as ...7000.
  return BigInt(value) === integer && isExactNumber(String(integer)) ? value : inexact(String(integer));
}
