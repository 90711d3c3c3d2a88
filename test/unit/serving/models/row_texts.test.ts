import { describe, expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { RowTexts } from '#serving/models/kernels/row_texts';

const textOf = (values: readonly number[]): readonly string[] =>
  new RowTexts(['value']).write(Float32Array.from(values), 0, values.length).map((row) => row.slice(9, -1));

/** Of two decimals that are equally near, either will do; FP64 rounds their distances. */
const TIE = 1 + 1e-6;

/** The fewest digits that are read as the same FP32, found by trying. */
function shortest(value: number): string {
  for (let digits = 1; digits < 9; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return text;
  }
  return value.toPrecision(9);
}

const significantOf = (text: string): string =>
  text
    .replace(/e.*$/, '')
    .replace(/^-?[0.]*|\./g, '')
    .replace(/0+$/, '');

describe('rows of FP32 as JSON', () => {
  test('has names, in their order, and each row by itself', () => {
    const texts = new RowTexts(['amount', 'a "b"', 'größe']);
    const rows = Float32Array.of(0.1, 1, -2.5, 123_456.7, 1e21, Number.NaN);
    expect(texts.write(rows, 0, 2)).toEqual([
      '{"amount":0.1,"a \\"b\\"":1,"größe":-2.5}',
      '{"amount":123456.7,"a \\"b\\"":1e+21,"größe":null}',
    ]);
    expect(texts.write(rows, 1, 2)).toEqual(['{"amount":123456.7,"a \\"b\\"":1e+21,"größe":null}']);
  });

  test('writes numbers in the form that JavaScript has for them', () => {
    const exact = [0, 1, -1, 10, 16_777_216, 0.5, -0.25, 2 ** 60];
    expect(textOf(exact)).toEqual(['0', '1', '-1', '10', '16777216', '0.5', '-0.25', '1152921500000000000']);
    expect(textOf([0.000_001, 1e-7, 1e20, 1e21, -0, 3.402_823_466e38, 1.4e-45, 12_345.678])).toEqual([
      ...['0.000001', '1e-7', '100000000000000000000', '1e+21', '0', '3.4028235e+38', '1e-45', '12345.678'],
    ]);
    expect(textOf([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])).toEqual(['null', 'null', 'null']);
  });

  test('is read as the same number, with the fewest digits and none nearer, for numbers of every size', () => {
    const random = new Random(3);
    const bits = new Uint32Array(20_000);
    // Every power of two, and the numbers beside it.
    for (let power = 0; power < 255; power += 1) {
      for (const beside of [-1, 0, 1]) bits[power * 3 + beside + 1] = Math.max(0, power * 2 ** 23 + beside);
    }
    for (let at = 800; at < bits.length; at += 1) bits[at] = Math.floor(random.between(0, 2 ** 32));
    const values = Array.from(new Float32Array(bits.buffer)).filter((value) => Number.isFinite(value) && value !== 0);
    for (const [at, text] of textOf(values).entries()) {
      const value = values[at] as number;
      const [read, tried] = [Number(text), shortest(value)];
      const more = significantOf(text).length - significantOf(tried).length;
      const isFurther = Math.abs(read - value) > Math.abs(Number(tried) - value) * TIE;
      if (Math.fround(read) !== value || more > 0 || (more === 0 && isFurther)) {
        throw new Error(`${value} is written as ${text}; ${tried} would do`);
      }
    }
  });
});
