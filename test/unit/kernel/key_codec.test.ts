import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { avalanche } from '#kernel/hashes/hash';
import { decodeKey, encodeKey, type KeyValue, keyGroupOf, keyIdOf, ownerOfKeyGroup } from '#kernel/keys/key_codec';
import { InvalidKeyError, MalformedKeyError } from '#kernel/keys/key_errors';
import { keyTextOf, parseKeyText } from '#kernel/keys/key_text';

const RUNS = 2_000;
const NEAR_LIMITS = [2n ** 53n, 2n ** 63n, 2n ** 64n, 0n].flatMap((limit) =>
  [-2049n, -2n, -1n, 0n, 1n, 2n, 2047n].flatMap((by) => [limit + by, -(limit + by)]),
);
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.constantFrom(...NEAR_LIMITS.filter((value) => value >= -(2n ** 63n) && value < 2n ** 64n)),
);
const double = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(0, -0, 2 ** 53, -(2 ** 53), 2 ** 63, 2 ** 64, -(2 ** 63), Number.MAX_VALUE, Number.MIN_VALUE),
);
const string = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('', '\u0000', '\u0000\u00ff', 'a|b', '#5', '\\'),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 8 }),
  fc.constantFrom(Uint8Array.of(0), Uint8Array.of(0, 255), Uint8Array.of()),
);
const scalar = fc.oneof(fc.constant(null), fc.boolean(), double, int64, string, bytes);
const key: fc.Arbitrary<KeyValue> = fc.letrec<{ key: KeyValue }>((tie) => ({
  key: fc.oneof(
    { depthSize: 'small' },
    scalar,
    fc.array(tie('key'), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 3 }), tie('key'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).key;

/** The slow obvious order and identity: by type, then by value. */
function compare(a: KeyValue, b: KeyValue): number {
  const byRank = rankOf(a) - rankOf(b);
  if (byRank !== 0) return Math.sign(byRank);
  if (a === null) return 0;
  if (typeof a === 'number' || typeof a === 'bigint') return a < (b as number) ? -1 : a > (b as number) ? 1 : 0;
  if (typeof a === 'boolean') return Number(a) - Number(b);
  if (typeof a === 'string') return sequence([...a].map(codePoint), [...(b as string)].map(codePoint), compare);
  if (a instanceof Uint8Array) return sequence([...a], [...(b as Uint8Array)], compare);
  if (Array.isArray(a)) return sequence(a as KeyValue[], b as unknown as KeyValue[], compare);
  const flat = (struct: KeyValue): KeyValue[] =>
    Object.entries(struct as Record<string, KeyValue>)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .flat();
  return sequence(flat(a), flat(b), compare);
}
const codePoint = (char: string): number => char.codePointAt(0) as number;
function rankOf(value: KeyValue): number {
  if (value === null) return 0;
  if (typeof value === 'boolean') return 1;
  if (typeof value === 'number' || typeof value === 'bigint') return 2;
  if (typeof value === 'string') return 3;
  if (value instanceof Uint8Array) return 4;
  return Array.isArray(value) ? 5 : 6;
}
function sequence(a: readonly KeyValue[], b: readonly KeyValue[], by: (x: KeyValue, y: KeyValue) => number): number {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const order = by(a[at] as KeyValue, b[at] as KeyValue);
    if (order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}

test('equal keys give equal bytes, and bytes sort as keys do', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(Math.sign(Buffer.compare(encodeKey(a), encodeKey(b)))).toBe(compare(a, b));
    }),
    { numRuns: RUNS },
  );
});

test('numbers sort by value, whether they are integers, bigints or fractions', () => {
  const number = fc.oneof(double, int64);
  fc.assert(
    fc.property(number, number, (a, b) => {
      expect(Math.sign(Buffer.compare(encodeKey(a), encodeKey(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
    }),
    { numRuns: 5 * RUNS },
  );
});

test('a key is read back equal', () => {
  fc.assert(
    fc.property(key, (value) => {
      const encoded = encodeKey(value);
      const decoded = decodeKey(encoded);
      expect(compare(decoded, value)).toBe(0);
      expect(Buffer.compare(encodeKey(decoded), encoded)).toBe(0);
    }),
    { numRuns: RUNS },
  );
});

test('any bytes are a key that encodes to them, or are refused', () => {
  const mutated = fc.tuple(key, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([value, at, byte]) => {
    const encoded = encodeKey(value);
    encoded[at % encoded.length] = byte;
    return encoded;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), mutated), (input) => {
      try {
        expect(Buffer.from(encodeKey(decodeKey(input))).equals(input)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedKeyError);
      }
    }),
    { numRuns: 5 * RUNS },
  );
});

test('identities in a Map are equal for equal keys only', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      const same = new Map([[keyIdOf(a), true]]).has(keyIdOf(b));
      expect(same).toBe(compare(a, b) === 0);
    }),
    { numRuns: RUNS },
  );
  expect(keyIdOf('\u0000x')).not.toBe(keyIdOf([1]));
});

test.each([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['a Map', new Map()],
  ['a Set', new Set([1])],
  ['a Date', new Date(0)],
  ['an integer beyond 64 bits', 2n ** 64n],
  ['a lone surrogate', 'a\ud800'],
  ['a function', () => {}],
])('%s is no key, and the error names where it is', (_, value) => {
  expect(() => encodeKey({ list: [1, value] } as unknown as KeyValue)).toThrow(InvalidKeyError);
  expect(() => encodeKey({ list: [1, value] } as unknown as KeyValue)).toThrow('.list[1]');
});

test('key groups are stable, even and independent of how a number is held', () => {
  expect(keyGroupOf('acct_1')).toBe(keyGroupOf('acct_1'));
  expect(keyGroupOf(5)).toBe(keyGroupOf(5n));
  const counts = new Array<number>(128).fill(0);
  for (let index = 0; index < 128_000; index += 1)
    counts[keyGroupOf(`user_${index}`)] = (counts[keyGroupOf(`user_${index}`)] as number) + 1;
  expect(Math.min(...counts)).toBeGreaterThan(850);
  expect(Math.max(...counts)).toBeLessThan(1_150);
});

test('the group of a string or a number is that of its encoding', () => {
  const ofEncoding = (key: KeyValue): number => {
    let hash = 0x811c9dc5;
    for (const byte of encodeKey(key)) hash = Math.imul(hash ^ byte, 0x01000193);
    return (avalanche(hash) >>> 0) % 128;
  };
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string(), double, fc.constantFrom(0, -0, 2 ** 53, -1.5)),
      (key) => {
        expect(keyGroupOf(key)).toBe(ofEncoding(key));
      },
    ),
    { numRuns: RUNS },
  );
});

test.each([1, 2, 3, 4, 7, 128])('%i workers own all key groups, in ranges as even as they come', (workers) => {
  const owners = Array.from({ length: 128 }, (_, group) => ownerOfKeyGroup(group, workers));
  expect(owners).toEqual([...owners].sort((a, b) => a - b));
  const sizes = Array.from({ length: workers }, (_, worker) => owners.filter((owner) => owner === worker).length);
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
});

const textPart = fc.letrec<{ part: KeyValue }>((tie) => ({
  part: fc.oneof(
    { depthSize: 'small' },
    fc.boolean(),
    double,
    int64,
    string.filter((value) => !value.includes('\u0000')),
    bytes,
    fc.array(tie('part'), { maxLength: 3 }),
  ),
})).part;

test('key text is read back equal, and differs for different keys', () => {
  const parts = fc.array(textPart, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      expect(compare(parseKeyText(keyTextOf(a)), a)).toBe(0);
      expect(keyTextOf(a) === keyTextOf(b)).toBe(compare(a, b) === 0);
    }),
    { numRuns: 5 * RUNS },
  );
});

test('any text is a key that is written so, or is refused', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom('|', '\\', '(', ')', '#', 'a', '1', 'x', '-', '.') }),
  );
  fc.assert(
    fc.property(text, (input) => {
      let parts: KeyValue[];
      try {
        parts = parseKeyText(input);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedKeyError);
        return;
      }
      expect(compare(parseKeyText(keyTextOf(parts)), parts)).toBe(0);
    }),
    { numRuns: 5 * RUNS },
  );
});

test.each([
  [['acct_1'], 'acct_1'],
  [['a|b', 'c'], 'a\\|b|c'],
  [['a', 'b|c'], 'a|b\\|c'],
  [[5], '#5'],
  [['5'], '5'],
  [['#5'], '\\#5'],
  [[9007199254740993n], '#9007199254740993'],
  [[true, Uint8Array.of(0, 255)], '#true|#x00ff'],
])('%p is written %s', (parts, text) => {
  expect(keyTextOf(parts as KeyValue[])).toBe(text);
});

test.each([
  [[null], 'the key is null'],
  [['a', undefined], "the key's part [1] is missing"],
  [[Number.NaN], 'not finite'],
  [['a\u0000'], 'NUL'],
])('%p has no text, and the error names the part', (parts, message) => {
  expect(() => keyTextOf(parts as KeyValue[])).toThrow(message);
});
