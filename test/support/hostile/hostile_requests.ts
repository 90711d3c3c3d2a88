import fc from 'fast-check';

// Requests that mean harm, made out of good ones: for any route of any listener.

const WORDS = [
  ...[
    '',
    ' ',
    '.',
    '..',
    '../..',
    '%',
    '\u0000',
    '\ud800',
    '\udfff\ud800',
    '\u202e',
    '__proto__',
    'constructor',
    'toString',
  ],
  ...[
    'NaN',
    'Infinity',
    '-1',
    '0',
    '1e999',
    "';--",
    '{x}',
    '$where',
    '*',
    '?',
    '#',
    '|',
    'a|b',
    'null',
    'true',
    'é'.repeat(40),
  ],
  ...[
    '2026-13-45T99:99:99Z',
    '2026-11-28T12:00:00Z',
    '0000-00-00',
    'x'.repeat(5_000),
    'fraud@1',
    'fraud@999999999999999999',
  ],
];
/** Values as JSON text: some are no JSON of this language. */
const VALUES = [
  ...[
    'null',
    'true',
    '-0',
    '1e308',
    '1e-320',
    '1e400',
    '9007199254740993',
    '0.1234567890123456789',
    '-1',
    '2147483648',
  ],
  ...[
    '[]',
    '{}',
    '[[]]',
    '[null]',
    '[[[[]]]]',
    '{"a":{}}',
    '{"__proto__":{"x":1}}',
    '{"a":1,"a":2}',
    '{"constructor":{"prototype":1}}',
  ],
  ...[
    '"\\ud800"',
    '"\\u0000"',
    '""',
    'undefined',
    'NaN',
    `[${'1,'.repeat(300)}1]`,
    `${'['.repeat(600)}${']'.repeat(600)}`,
  ],
  ...WORDS.map((word) => JSON.stringify(word)),
];

/** One change to a JSON value: the place that `pick` leads to, and what becomes of it. */
interface Change {
  readonly pick: readonly number[];
  readonly how: 'replace' | 'delete' | 'wrap' | 'rename' | 'repeat';
  readonly value: string;
}

const change: fc.Arbitrary<Change> = fc.record({
  pick: fc.array(fc.nat(20), { minLength: 1, maxLength: 5 }),
  how: fc.constantFrom('replace', 'replace', 'replace', 'delete', 'wrap', 'rename', 'repeat'),
  value: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...VALUES) },
    fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)),
  ),
});

/** Text of a JSON value after a change. */
function changed(value: unknown, { pick, how, value: text }: Change, depth = 0): string {
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  const chosen = keys[(pick[depth] ?? 0) % Math.max(1, keys.length)];
  if (chosen === undefined || depth >= pick.length) {
    if (how === 'wrap') return `[${JSON.stringify(value)}]`;
    if (how === 'repeat') return `[${new Array(40).fill(JSON.stringify(value)).join()}]`;
    return text;
  }
  const isLast = depth === pick.length - 1;
  const entries = keys.flatMap((key): (readonly [string, string])[] => {
    const inner = (value as Record<string, unknown>)[key];
    if (key !== chosen) return [[key, JSON.stringify(inner)]];
    if (isLast && how === 'delete') return [];
    if (isLast && how === 'rename') return [[text.slice(0, 20), JSON.stringify(inner)]];
    return [[key, changed(inner, { pick, how, value: text }, depth + 1)]];
  });
  if (Array.isArray(value)) return `[${entries.map(([, inner]) => inner).join()}]`;
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${inner}`).join()}}`;
}

/** Bodies near to a good one, and some that are nothing of the kind. @param seeds - good bodies */
export function hostileBody(seeds: readonly unknown[]): fc.Arbitrary<Buffer> {
  const near = fc
    .tuple(fc.constantFrom(...seeds), change, fc.option(change, { freq: 3 }))
    .map(([seed, first, second]) => {
      const text = typeof seed === 'string' ? seed : changed(seed, first);
      if (second === null) return Buffer.from(text);
      try {
        return Buffer.from(changed(JSON.parse(text), second));
      } catch {
        return Buffer.from(text);
      }
    });
  const spoilt = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(10_000), fc.nat(255)), { minLength: 1, maxLength: 4 }))
    .map(([seed, bytes]) => {
      const body = Buffer.from(typeof seed === 'string' ? seed : JSON.stringify(seed));
      for (const [at, byte] of bytes) if (body.length > 0) body[at % body.length] = byte;
      return body;
    });
  const anything = fc.oneof(
    fc.constantFrom(...VALUES).map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  );
  return fc.oneof({ weight: 6, arbitrary: near }, { weight: 2, arbitrary: spoilt }, { weight: 1, arbitrary: anything });
}

/** A part of a path or query. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc
    .constantFrom(...WORDS.filter((word) => word.isWellFormed?.() ?? !/[\ud800-\udfff]/.test(word)))
    .map(encodeURIComponent),
  fc.constantFrom(
    '%2e%2e',
    '%2F',
    '%252e',
    '%00',
    '%ff',
    '%ed%a0%80',
    '%zz',
    '..%2f..%2fpackage.json',
    '1',
    '01',
    '1.0',
    '+1',
    '0x1',
  ),
  fc.string({ maxLength: 6 }).map((text) => encodeURIComponent(text)),
);

const VALUE_OF_HEADER = [
  '',
  '*',
  '*/*',
  'x',
  '-1',
  '1',
  '1e9',
  'é',
  'NaN',
  '0x10',
  'null',
  'a,b',
  '"',
  'x'.repeat(2_000),
  '\t',
  '%00',
  '{}',
];
const HEADERS = {
  accept: ['application/xml', 'text/html;q=x'],
  'accept-encoding': ['gzip;q=x', 'br, zstd, identity;q=0'],
  authorization: ['Bearer', 'Bearer x.y.z', 'Basic !!', 'Bearer  '],
  'x-api-key': ['k'.repeat(300)],
  origin: ['null', 'http://evil.test', 'file://', 'http://127.0.0.1:1', '://'],
  'sec-fetch-site': ['cross-site', 'same-origin'],
  'x-request-id': ['ok-1', 'a b', '../x', 'x'.repeat(200)],
  'x-request-timeout-ms': ['0', '1', '-5', '1e3', '99999999999999999999'],
  traceparent: ['00-0-0-0', `00-${'f'.repeat(32)}-${'0'.repeat(16)}-01`, `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-zz`],
  tracestate: ['=', 'a=b,'.repeat(40)],
  baggage: ['a=%', '='],
  cookie: ['a', 'a=b; __proto__=1'],
  range: ['bytes=0-', 'bytes=9-1,-'],
  'if-none-match': ['*', '"'],
  'if-modified-since': ['never'],
  'x-forwarded-for': ['1.1.1.1, ::1, x'],
  'x-forwarded-host': ['evil.test'],
  forwarded: ['for="[::1'],
  'content-encoding': ['gzip', 'br', 'identity', 'x, gzip'],
  'content-language': ['xx'],
  'ce-id': ['1'],
  'ce-source': ['%%'],
  'ce-specversion': ['1.0', '9'],
  'ce-type': ['transaction'],
  'ce-time': ['soon'],
  'inference-header-content-length': ['1', '999999', '-1'],
} as const;

/** Headers beside those that make it a request. */
export const hostileHeaders: fc.Arbitrary<Record<string, string>> = fc
  .array(
    fc
      .constantFrom(...(Object.keys(HEADERS) as (keyof typeof HEADERS)[]))
      .chain((name) => fc.tuple(fc.constant(name), fc.constantFrom(...HEADERS[name], ...VALUE_OF_HEADER))),
    { maxLength: 4 },
  )
  .map((pairs) => Object.fromEntries(pairs));

export const hostileType: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constant('application/json') },
  fc.constantFrom(
    'application/x-ndjson',
    'text/plain',
    'application/cloudevents+json',
    'application/cloudevents-batch+json',
  ),
  fc.constantFrom(
    '',
    ';',
    'garbage',
    'application/json; charset=x',
    'application/json;charset="utf-8"',
    'multipart/form-data',
    'a/b;',
  ),
);
