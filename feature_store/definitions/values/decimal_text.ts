// Exact decimals as text: a canonical one has all digits of its scale, no exponent, no sign of zero, and no zero before others.

const FORM = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;
const LONGEST_TEXT = 512;
/** Largest exponent of a double, and a little more. */
const LARGEST_EXPONENT = 400;
const TEN = 10n;

/**
 * Reads a decimal as a number of units of its last digit: `3.3` with scale 2 is 330.
 *
 * @returns what is wrong with it where it is no decimal, or has more digits after the point than `scale`
 */
export function unscaledOf(text: string, scale: number): bigint | string {
  const parts = text.length <= LONGEST_TEXT ? FORM.exec(text) : null;
  const [, sign, integer = '', fraction = '', exponent = '0'] = parts ?? [];
  if (parts === null || integer + fraction === '') return 'is no decimal number';
  const shift = Number(exponent) - fraction.length + scale;
  if (Math.abs(Number(exponent)) > LARGEST_EXPONENT) return 'has an exponent that is too large';
  let unscaled = BigInt(integer + fraction);
  if (shift >= 0) unscaled *= TEN ** BigInt(shift);
  else {
    const divisor = TEN ** BigInt(-shift);
    if (unscaled % divisor !== 0n) return `has more than ${scale} digits after the point`;
    unscaled /= divisor;
  }
  return sign === '-' ? -unscaled : unscaled;
}

/** Returns the canonical text of so many units of the last digit. */
export function decimalText(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled);
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Returns a decimal from its canonical text, as {@link unscaledOf} without the checks. */
export const unscaledOfCanonical = (text: string): bigint => BigInt(text.replace('.', ''));

/** Whether a number of units has at most so many digits. */
export const hasDigits = (unscaled: bigint, precision: number): boolean =>
  unscaled < TEN ** BigInt(precision) && -unscaled < TEN ** BigInt(precision);
