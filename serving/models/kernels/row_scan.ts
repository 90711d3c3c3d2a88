// AssemblyScript, compiled to WebAssembly by `npm run kernels`: reads a row out of the bytes of JSON straight into the numbers of a model's input.
//
// It reads numbers of columns that take numbers; whatever else a column takes (strings, true, null, integers) it finds the end of and hands to
// `encode`. It gives up on all that is not plain: then the body is parsed as usual, which also says what is wrong.

/** What the model sees for the value at these bytes, which are one JSON token; infinity: it is not taken. */
declare function encode(column: i32, from: usize, to: usize): f64;

/** Where the tables of the caller may begin. */
export const TABLES = __heap_base;

// A column takes 16 bytes: where its name stands, in quotes (u32), the bytes of that (u32), whether it takes plain numbers (u32), and what the model
// sees where it is missing (f32; infinity: it must be there).
const COLUMN_SHIFT = 4;
/** Numbers with more digits are left to `encode`. */
const MOST_DIGITS = 15;
const POWERS = memory.data<f64>([1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15]);

let columns: usize = 0;
let width: i32 = 0;
/** Of each column, and of the beginning: the column that came after it in the row before (i32). */
let followers: usize = 0;
/** Of each column, the last row that had it (i32). */
let seen: usize = 0;
/** FP32 [width]. */
let values: usize = 0;
let row: i32 = 0;

export function configure(columnsAt: usize, count: i32, followersAt: usize, seenAt: usize, valuesAt: usize): void {
  columns = columnsAt;
  width = count;
  followers = followersAt;
  seen = seenAt;
  values = valuesAt;
}

function skipSpaces(from: usize): usize {
  let at = from;
  let code = load<u8>(at);
  while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = load<u8>(++at);
  return at;
}

function isAt(at: usize, text: usize, length: usize): bool {
  let done: usize = 0;
  for (; done + 8 <= length; done += 8) if (load<u64>(at + done) !== load<u64>(text + done)) return false;
  if (done + 4 <= length) {
    if (load<u32>(at + done) !== load<u32>(text + done)) return false;
    done += 4;
  }
  for (; done < length; done++) if (load<u8>(at + done) !== load<u8>(text + done)) return false;
  return true;
}

/** @returns the column whose name stands here; -1: none of them. The one that is expected is looked at first. */
function columnAt(at: usize, expected: i32): i32 {
  let column = expected;
  for (let tried = 0; tried < width; tried++) {
    const entry = columns + ((<usize>column) << COLUMN_SHIFT);
    if (isAt(at, load<u32>(entry), load<u32>(entry, 4))) return column;
    column++;
    if (column === width) column = 0;
  }
  return -1;
}

function isDigit(code: u32): bool {
  return code - 0x30 < 10;
}

/** @returns where the text at this quote ends; 0: it has escapes, or no end */
function textEnd(from: usize): usize {
  let at = from + 1;
  let code = load<u8>(at);
  while (code !== 0x22) {
    if (code === 0x5c || code < 0x20) return 0;
    code = load<u8>(++at);
  }
  return at + 1;
}

function lettersEnd(from: usize): usize {
  let at = from;
  while (load<u8>(at) - 0x61 < 26) at++;
  return at;
}

/** Where what was read ends; 0: it is no number. */
let numberEnd: usize = 0;
/** Whether the digits are few enough to be exact: divided by a power of ten that FP64 holds exactly (Clinger, 1990). */
let isExact: bool = false;

function readNumber(from: usize): f64 {
  const isNegative = load<u8>(from) === 0x2d;
  let at = isNegative ? from + 1 : from;
  let code = <u32>load<u8>(at);
  numberEnd = 0;
  if (!isDigit(code)) return 0;
  let mantissa: i64 = 0;
  let digits = 0;
  // JSON has no leading zeros.
  if (code === 0x30) {
    code = load<u8>(++at);
    if (isDigit(code)) return 0;
  }
  for (; isDigit(code); code = load<u8>(++at)) {
    mantissa = mantissa * 10 + (code - 0x30);
    digits++;
  }
  let fraction = 0;
  if (code === 0x2e) {
    const point = at;
    code = load<u8>(++at);
    for (; isDigit(code); code = load<u8>(++at)) mantissa = mantissa * 10 + (code - 0x30);
    fraction = <i32>(at - point) - 1;
    if (fraction === 0) return 0;
  }
  isExact = digits + fraction <= MOST_DIGITS;
  if ((code | 0x20) === 0x65) {
    isExact = false;
    code = load<u8>(++at);
    if (code === 0x2b || code === 0x2d) code = load<u8>(++at);
    if (!isDigit(code)) return 0;
    while (isDigit(code)) code = load<u8>(++at);
  }
  numberEnd = at;
  if (!isExact) return 0;
  const size = <f64>mantissa / load<f64>(POWERS + ((<usize>fraction) << 3));
  return isNegative ? -size : size;
}

/** @param from - where the row's brace is; a byte of zero ends the body. @returns where the text continues after the row; -1: given up */
export function scan(from: usize): i32 {
  if (load<u8>(from) !== 0x7b) return -1;
  row++;
  let at = skipSpaces(from + 1);
  let found = 0;
  let follower = followers + ((<usize>width) << 2);
  if (load<u8>(at) !== 0x7d) {
    for (;;) {
      const column = columnAt(at, load<i32>(follower));
      if (column === -1) return -1;
      const place = (<usize>column) << 2;
      if (load<i32>(seen + place) === row) return -1;
      store<i32>(seen + place, row);
      store<i32>(follower, column);
      follower = followers + place;
      found++;
      const entry = columns + ((<usize>column) << COLUMN_SHIFT);
      at = skipSpaces(at + load<u32>(entry, 4));
      if (load<u8>(at) !== 0x3a) return -1;
      at = skipSpaces(at + 1);
      const code = <u32>load<u8>(at);
      let end: usize;
      let value: f64;
      if (code === 0x2d || isDigit(code)) {
        value = readNumber(at);
        end = numberEnd;
        if (end === 0) return -1;
        if (!isExact || load<u32>(entry, 8) === 0) value = encode(column, at, end);
      } else {
        end = code === 0x22 ? textEnd(at) : lettersEnd(at);
        if (end === 0 || end === at) return -1;
        value = encode(column, at, end);
      }
      if (value === Infinity) return -1;
      store<f32>(values + place, <f32>value);
      at = skipSpaces(end);
      const next = load<u8>(at);
      if (next === 0x7d) break;
      if (next !== 0x2c) return -1;
      at = skipSpaces(at + 1);
    }
  }
  for (let column = 0; found < width && column < width; column++) {
    const place = (<usize>column) << 2;
    if (load<i32>(seen + place) === row) continue;
    const missing = load<f32>(columns + ((<usize>column) << COLUMN_SHIFT), 12);
    if (missing === <f32>Infinity) return -1;
    store<f32>(values + place, missing);
  }
  return <i32>at + 1;
}
