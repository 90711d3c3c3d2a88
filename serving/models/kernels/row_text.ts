// AssemblyScript, compiled to WebAssembly by `npm run kernels`: writes rows of a model's input as the JSON that the prediction log has of them.
//
// Each number has the fewest digits that are read as the same FP32, and of those the nearest (Schubfach: Giulietti, The Schubfach way to render
// doubles, 2020), in the form that JavaScript gives numbers. What is not finite is null.

/** Where the tables of the caller may begin. */
export const TABLES = __heap_base;

// A column takes 8 bytes: where `"name":` stands, after `{` or `,` (u32), and how long that is (u32).
const COLUMN_SHIFT = 3;
const LEAST_POWER = -31;
const MOST_DIGITS_BEFORE_POINT = 21;
const LEAST_POINT = -5;
const LOW: u64 = 0xffffffff;

let columns: usize = 0;
let width: i32 = 0;
/** Powers of ten from 10^-31 on, with 64 bits each, the highest of them set. */
let powers: usize = 0;

export function configure(columnsAt: usize, count: i32, powersAt: usize): void {
  columns = columnsAt;
  width = count;
  powers = powersAt;
}

/** The decimal that was found: `digits` × 10^`exponent`. */
let digits: u32 = 0;
let exponent: i32 = 0;

function floorLog2OfPower(power: i32): i32 {
  return (power * 1741647) >> 19;
}

/** The product's bits above the lower 64; the lowest stands for all below it. */
function product(power: u64, factor: u64): u32 {
  const high = (power >> 32) * factor + (((power & LOW) * factor) >> 32);
  return <u32>(high >> 32) | <u32>((high & LOW) > 1);
}

/** @param bits - of a number above 0 */
function findDecimal(bits: u32): void {
  const fraction = bits & 0x7fffff;
  const biased = <i32>(bits >> 23);
  const significand = biased === 0 ? fraction : fraction | 0x800000;
  const binary = (biased === 0 ? 1 : biased) - 150;
  if (binary <= 0 && binary > -24 && (significand & ((1 << -binary) - 1)) === 0) {
    digits = significand >> -binary;
    exponent = 0;
    return;
  }
  // Below a power of two the next number is half as far.
  const isCloserBelow = fraction === 0 && biased > 1;
  const isOdd = significand & 1;
  const power = (binary * 1262611 - (isCloserBelow ? 524031 : 0)) >> 22;
  const shift = binary + floorLog2OfPower(-power) + 1;
  const scale = load<u64>(powers + ((<usize>(-power - LEAST_POWER)) << 3));
  const value = (<u64>significand) << 2;
  const lower = product(scale, (value - 2 + <u64>isCloserBelow) << shift) + isOdd;
  const middle = product(scale, value << shift);
  const upper = product(scale, (value + 2) << shift) - isOdd;
  const whole = middle >> 2;
  if (whole >= 10) {
    const tens = whole / 10;
    const isBelow = lower <= tens * 40;
    const isAbove = tens * 40 + 40 <= upper;
    if (isBelow !== isAbove) {
      digits = tens + <u32>isAbove;
      exponent = power + 1;
      return;
    }
  }
  const isBelow = lower <= whole * 4;
  const isAbove = whole * 4 + 4 <= upper;
  const half = whole * 4 + 2;
  const isUp = isBelow !== isAbove ? isAbove : middle > half || (middle === half && (whole & 1) !== 0);
  digits = whole + <u32>isUp;
  exponent = power;
}

function countDigits(value: u32): i32 {
  let count = 1;
  for (let left = value; left >= 10; left /= 10) count++;
  return count;
}

/** Writes `count` digits of a number, the last at `end - 1`. */
function writeDigits(value: u32, end: usize, count: i32): void {
  let left = value;
  for (let at = end; count > 0; count--) {
    store<u8>(--at, 0x30 + <u8>(left % 10));
    left /= 10;
  }
}

function fillZeros(from: usize, count: i32): usize {
  let at = from;
  for (; count > 0; count--) store<u8>(at++, 0x30);
  return at;
}

/** @returns where the text continues after the number */
function writeNumber(from: usize, bits: u32): usize {
  let at = from;
  const size = bits & 0x7fffffff;
  if (size >= 0x7f800000) {
    store<u32>(at, 0x6c6c756e);
    return at + 4;
  }
  if (size === 0) {
    store<u8>(at, 0x30);
    return at + 1;
  }
  if (size !== bits) store<u8>(at++, 0x2d);
  findDecimal(size);
  while (digits % 10 === 0) {
    digits /= 10;
    exponent++;
  }
  const count = countDigits(digits);
  const point = count + exponent;
  if (exponent >= 0 && point <= MOST_DIGITS_BEFORE_POINT) {
    writeDigits(digits, at + count, count);
    return fillZeros(at + count, exponent);
  }
  if (point > 0 && point <= MOST_DIGITS_BEFORE_POINT) {
    // One place further right, then those before the point back over it.
    writeDigits(digits, at + count + 1, count);
    for (let place = 0; place < point; place++) store<u8>(at + place, load<u8>(at + place + 1));
    store<u8>(at + point, 0x2e);
    return at + count + 1;
  }
  if (point <= 0 && point >= LEAST_POINT) {
    store<u16>(at, 0x2e30);
    at = fillZeros(at + 2, -point);
    writeDigits(digits, at + count, count);
    return at + count;
  }
  writeDigits(digits, at + count + 1, count);
  store<u8>(at, load<u8>(at + 1));
  if (count > 1) {
    store<u8>(at + 1, 0x2e);
    at += count + 1;
  } else at++;
  const tens = point - 1;
  store<u16>(at, tens < 0 ? 0x2d65 : 0x2b65);
  const power = <u32>abs(tens);
  const places = countDigits(power);
  writeDigits(power, at + 2 + places, places);
  return at + 2 + places;
}

/**
 * Writes rows, one after the other.
 *
 * @param values - FP32 [rows, columns]
 * @param ends - where each row's end goes (u32)
 */
export function write(values: usize, rows: i32, ends: usize, to: usize): void {
  let at = to;
  let value = values;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) {
      const entry = columns + ((<usize>column) << COLUMN_SHIFT);
      const length = load<u32>(entry, 4);
      memory.copy(at, load<u32>(entry), length);
      at = writeNumber(at + length, load<u32>(value));
      value += 4;
    }
    store<u8>(at++, 0x7d);
    store<u32>(ends + ((<usize>row) << 2), <u32>at);
  }
}
