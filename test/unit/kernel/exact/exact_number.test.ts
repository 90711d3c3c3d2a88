import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { numberOfInteger, numberOfText } from '#kernel/exact/exact_number';
import { UnreadableValue } from '#kernel/text/unstorable_text';

test('an integer is the number with the same digits, or none', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }), (integer) => {
      const read = numberOfInteger(integer);
      if (read instanceof UnreadableValue) expect(Number.isSafeInteger(Number(integer))).toBe(false);
      else expect([BigInt(read), String(read)]).toEqual([integer, String(integer)]);
      for (const text of [String(integer), ` ${integer} `, `${integer}.0`]) {
        const ofText = numberOfText(text);
        if (ofText instanceof UnreadableValue) expect(Number.isSafeInteger(Number(integer))).toBe(false);
        else expect(String(ofText)).toBe(String(integer));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('every double comes back from the text that any language writes of it', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (value) => {
      expect(numberOfText(Object.is(value, -0) ? '-0' : String(value))).toBe(value);
      if (Math.abs(value) < 2 ** 53 && Math.abs(value) > 1e-300)
        expect(numberOfText(value.toExponential(16))).toBe(value);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ...(['', ' ', 'abc', '1,5', '1_000', 'NaN', '--1', '1e', '0x'] as const).map((text) => [text, undefined] as const),
  ...([
    ['.5', 0.5],
    ['5.', 5],
    ['+1e3', 1_000],
    ['0x10', 16],
    ['007', 7],
    ['-.25', -0.25],
  ] as const),
])('%s', (text, expected) => {
  expect(numberOfText(text)).toBe(expected);
});

test.each(['9007199254740993', '-9007199254740993.0', '0.1234567890123456789', '1e400', '1e-400', '0x20000000000001'])(
  '%s is named',
  (text) => {
    const read = numberOfText(text);
    expect(read).toBeInstanceOf(UnreadableValue);
    expect((read as UnreadableValue).problem).toContain(text);
    expect(JSON.stringify({ read })).toBe(JSON.stringify({ read: text }));
  },
);
