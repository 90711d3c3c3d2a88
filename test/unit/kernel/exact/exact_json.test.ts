import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  DEEPEST_JSON,
  decodeUtf8,
  InvalidJsonError,
  isExactNumber,
  parseExactJson,
  parseExactJsonBytes,
} from '#kernel/exact/exact_json';

const fieldsOf = (text: string | Buffer): readonly string[] | undefined => {
  try {
    if (typeof text === 'string') parseExactJson(text);
    else parseExactJsonBytes(text);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidJsonError);
    return (error as InvalidJsonError).fields.map(({ field }) => field);
  }
};

// --- The oracle: a document is made as a tree, whose faults are known before it is written.

type Node =
  | { readonly kind: 'literal'; readonly text: string; readonly isFaulty: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'array'; readonly items: readonly Node[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [string, Node])[] };

const LITERALS = [
  ...[
    '0',
    '-0',
    '1',
    '-17',
    '0.1',
    '12.34',
    '1e3',
    '1E-2',
    '1e2',
    '12e3',
    '1e-3',
    '5e-2',
    '1e15',
    '1.0',
    '-1e-5',
    'true',
    'false',
    'null',
    '9007199254740991',
    '-9007199254740991',
  ],
  ...[
    '9007199254740992',
    '9007199254740994',
    '18014398509481984',
    '1e23',
    '0.30000000000000004',
    '0.10000000000000001',
  ],
  ...[
    '1234567890.1234567',
    '0.1000000000000000055511151231257827',
    '5e-324',
    '1.7976931348623157e308',
    '1.50',
    '100000000000000000000',
    '100000000000000000000000',
    '1152921504606847000',
  ],
];
const LOSSY = [
  ...[
    '9007199254740993',
    '-9007199254740993',
    '9007199254740993.0',
    '9007199254740993e0',
    '12345678901234567890',
    '1e400',
    '-1e400',
  ],
  ...[
    '1e-400',
    '0.12345678901234567890',
    '1234567890123.456789',
    '0.50000000000000000001',
    '1152921504606846976',
    '1.234567890123456789e-5',
  ],
  `0.${'0'.repeat(400)}1`,
  '9'.repeat(400),
];
const text = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    'event_id',
    'constructor',
    'prototype',
    '__proto__',
    'proto',
    ':x',
    'a"b',
    'é',
    '€',
    '😀',
    'x\\',
    '1234567890123456789',
    '',
  ),
  fc.string({ maxLength: 6 }),
  fc.constantFrom('w\0b', '\ud800', 'x\udc00y', '\udfff\ud800'),
);
const tree = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.constantFrom(...LITERALS).map((each): Node => ({ kind: 'literal', text: each, isFaulty: false })),
    fc.constantFrom(...LOSSY).map((each): Node => ({ kind: 'literal', text: each, isFaulty: true })),
    text.map((value): Node => ({ kind: 'text', value })),
    fc.array(tie('node'), { maxLength: 4 }).map((items): Node => ({ kind: 'array', items })),
    fc.array(fc.tuple(text, tie('node')), { maxLength: 5 }).map((members): Node => ({ kind: 'object', members })),
  ),
})).node;

const isBad = (value: string): boolean =>
  value.includes('\0') || /[\ud800-\udfff]/.test(value.replace(/[\ud800-\udbff][\udc00-\udfff]/g, ''));

function isFaulty(node: Node, parent = ''): boolean {
  if (node.kind === 'literal') return node.isFaulty;
  if (node.kind === 'text') return isBad(node.value);
  if (node.kind === 'array') return node.items.some((item) => isFaulty(item));
  const keys = node.members.map(([key]) => key);
  if (new Set(keys).size < keys.length || keys.includes('__proto__')) return true;
  if (parent === 'constructor' && keys.includes('prototype')) return true;
  return node.members.some(([key, value]) => isBad(key) || isFaulty(value, key));
}

/** Writes a tree with spaces and escapes as they please. */
function write(node: Node, dice: () => number): string {
  const space = (): string => ['', '', '', ' ', '\n\t', ' \r\n'][dice() % 6] as string;
  const quoted = (value: string): string =>
    dice() % 3 === 0
      ? `"${[...Array(value.length).keys()].map((at) => `\\u${value.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`
      : JSON.stringify(value);
  if (node.kind === 'literal') return node.text;
  if (node.kind === 'text') return quoted(node.value);
  const parts =
    node.kind === 'array'
      ? node.items.map((item) => space() + write(item, dice) + space())
      : node.members.map(
          ([key, value]) => `${space()}${quoted(key)}${space()}:${space()}${write(value, dice)}${space()}`,
        );
  const inside = parts.length === 0 ? space() : parts.join(',');
  return node.kind === 'array' ? `[${inside}]` : `{${inside}}`;
}

test('whatever is written, it is refused when it has a fault, and read as JSON.parse reads it when it has none', () => {
  let good = 0;
  fc.assert(
    fc.property(tree, fc.infiniteStream(fc.nat(1_000)), (node, dice) => {
      const document = write(node, () => dice.next().value);
      const found = fieldsOf(document);
      expect({ document, isRefused: found !== undefined }).toEqual({ document, isRefused: isFaulty(node) });
      if (found !== undefined) return;
      good += 1;
      expect(parseExactJson(document)).toEqual(JSON.parse(document));
    }),
    { numRuns: 5_000 },
  );
  expect(good).toBeGreaterThan(500);
});

test('mutated bytes: refused, or JSON.parse reads the same; never another error', () => {
  const seed = Buffer.from(
    '{"event_id":"e1","user":{"a":[1,2.5,"é\\n😀",null,true]},"n":9007199254740991, "k" : -0.5e3}',
  );
  let kept = 0;
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 3 }), (mutations) => {
      const bytes = Buffer.from(seed);
      for (const [at, byte] of mutations) bytes[at] = byte;
      if (fieldsOf(bytes) !== undefined) return;
      kept += 1;
      expect(parseExactJsonBytes(bytes)).toEqual(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    }),
    { numRuns: 5_000 },
  );
  expect(kept).toBeGreaterThan(100);
});

test('doubles are exact as JavaScript and Python write them, decimals also with 17 digits; integers when they come back with the same digits', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const literals = [JSON.stringify(value), ...(Number.isInteger(value) ? [] : [value.toPrecision(17)])];
      for (const literal of literals) expect([literal, isExactNumber(literal)]).toEqual([literal, true]);
    }),
    { numRuns: 5_000 },
  );
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.nat(70), (value, shift) => {
      const integer = String((value >> BigInt(shift)) << BigInt(shift % 40));
      expect([integer, isExactNumber(integer)]).toEqual([integer, JSON.stringify(Number(integer)) === integer]);
    }),
    { numRuns: 5_000 },
  );
});

test.each([
  ['{"a":1,"b":{"c":1,"c":2}}', ['b.c']],
  ['{"a":[{"x":1},{"x":9007199254740993}]}', ['a.1.x']],
  ['{"__proto__":{"x":1}}', ['__proto__']],
  ['{"a":{"constructor":{"prototype":{}}}}', ['a.constructor.prototype']],
  ['{"\\u005f_proto__":1}', ['__proto__']],
  ['{"a\\u0000":"b"}', ['a\\u0000']],
  ['{"a":"\\ud800"}', ['a']],
  ['{"a":1,"\\u0061":2}', ['a']],
  ['{"a":1,"a" :2}', ['a']],
  ['["a":1]', ['']],
  ['', ['']],
  ['9007199254740993', ['']],
])('%s is refused with the path', (document, fields) => expect(fieldsOf(document)).toEqual(fields));

test('every problem is named, up to twenty of them', () => {
  expect(fieldsOf('{"a":1,"a":2,"b":9007199254740993,"c":"\\u0000"}')).toEqual(['a', 'b', 'c']);
  expect(fieldsOf(`[${new Array(1_000).fill('1e999').join(',')}]`)).toHaveLength(20);
});

test('constructor as a key is nothing special without prototype', () => {
  expect(parseExactJson('{"constructor":"x","prototype":1}')).toEqual({ constructor: 'x', prototype: 1 });
});

test('depth is bounded, also where JSON.parse does not mind', () => {
  const nested = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  expect(fieldsOf(nested(DEEPEST_JSON))).toBeUndefined();
  for (const levels of [DEEPEST_JSON + 1, 1_000, 100_000]) expect(fieldsOf(nested(levels))).toHaveLength(1);
  expect(fieldsOf(`{"a":"\\n","b":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`)).toHaveLength(1);
});

test('bytes that are not UTF-8 are refused, a byte order mark is not', () => {
  for (const bytes of [
    [0x22, 0xff, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0x22, 0xc0, 0xaf, 0x22],
    [0x22, 0xe2, 0x82, 0x22],
  ]) {
    expect(fieldsOf(Buffer.from(bytes))).toEqual(['']);
  }
  expect(parseExactJsonBytes(Buffer.from('\ufeff{"a":"é€😀"}'))).toEqual({ a: 'é€😀' });
  expect(decodeUtf8(Buffer.from('\ufeffa\ufeffb'))).toBe('a\ufeffb');
});

test('a key of a megabyte is not echoed whole', () => {
  const error = (() => {
    try {
      return parseExactJson(`{"${'k'.repeat(1_000_000)}":1e999}`);
    } catch (thrown) {
      return thrown as Error;
    }
  })();
  expect((error as Error).message.length).toBeLessThan(1_000);
});
