import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { last, max, sum } from '#feature_store/definitions/aggregations';
import { field, fromEvent } from '#feature_store/definitions/feature';
import { featureView, type RowOf } from '#feature_store/definitions/feature_view';
import { source } from '#feature_store/definitions/sources/source';
import { codecOf, jsonOfValue } from '#feature_store/definitions/values/value_codec';
import {
  array,
  decimal,
  embedding,
  type FeatureType,
  parseType,
  struct,
  typeOf,
} from '#feature_store/definitions/values/value_type';
import { TYPES, valuesOf } from '../../../support/definitions/typed_values.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exact = <T extends true>(is: T): T => is;

const visits = source('visits', {
  schema: z.object({
    visit_id: z.string(),
    at: z.string(),
    user_id: z.string(),
    paid: z.string(),
    n: z.number(),
    more: z.unknown(),
  }),
  ...{ id: 'visit_id', timestamp: 'at' },
});
const view = featureView({
  ...{ name: 'visits', version: 1, entity: { name: 'user', joinKeys: ['user_id'] }, source: visits, ttl: '1d' },
  ...{ owner: 'o', description: 'd', tags: ['money'] },
  features: {
    paid: field('paid', decimal(18, 2), ''),
    id: field('n', 'int64', ''),
    seen_at: fromEvent('timestamp', '', (_, ms) => new Date(ms)),
    taste: field('more', embedding(3), ''),
    tags: field('more', array('string'), ''),
    place: field('more', struct({ zip: 'string', number: 'int64' }), ''),
    ...sum('paid', { type: decimal(18, 2) }).over('1h'),
    ...max('n', { type: 'int64' }).over('1h'),
    ...last('n', 'long', 3).over('1h'),
  },
});
type Row = RowOf<typeof view>;

test('types of rows follow from the types of features', () => {
  expect([
    exact<Equal<Row['paid'], string | null>>(true),
    exact<Equal<Row['id'], bigint | null>>(true),
    exact<Equal<Row['seen_at'], string | null>>(true),
    exact<Equal<Row['taste'], Float32Array | null>>(true),
    exact<Equal<Row['tags'], readonly (string | null)[] | null>>(true),
    exact<Equal<Row['place'], { readonly zip: string | null; readonly number: bigint | null } | null>>(true),
    exact<Equal<Row['sum_paid_1h'], string>>(true),
    exact<Equal<Row['max_n_1h'], bigint | null>>(true),
    exact<Equal<Row['last_3_n_1h'], readonly number[]>>(true),
  ]).not.toContain(false);
  expect(view.tags).toEqual(['money']);
});

test.each<[FeatureType, unknown, unknown]>([
  ['double', Number.NaN, null],
  ['double', -0, 0],
  ['long', -0, 0],
  ['int64', '-9223372036854775808', -(2n ** 63n)],
  ['int64', 5, 5n],
  ['decimal(5,2)', -0, '0.00'],
  ['decimal(5,2)', '1e2', '100.00'],
  ['decimal(38,0)', 10n ** 38n - 1n, '9'.repeat(38)],
  ['timestamp', '2026-11-28t13:00:00.000001+01:00', '2026-11-28T12:00:00.000001Z'],
  ['timestamp', new Date(0), '1970-01-01T00:00:00.000000Z'],
  ['timestamp', '2026-11-28T12:00:00.1234560Z', '2026-11-28T12:00:00.123456Z'],
  ['bytes', 'AP8=', Uint8Array.of(0, 255)],
  ['bytes', Buffer.from([1]), Uint8Array.of(1)],
  ['embedding(2)', [0.1, -0], Float32Array.of(0.1, 0)],
  ['array<long>', [1, null], [1, null]],
  ['struct<a:long,b:string>', { a: 1 }, { a: 1, b: null }],
])('%s takes %p', (type, value, taken) => {
  expect(codecOf(type).take(value)).toStrictEqual(taken);
});

test.each<[FeatureType, unknown, RegExp]>([
  ['long', 1.5, /declared long, and the value is number 1.5/],
  ['long', 2 ** 53, /declared long/],
  ['double', Number.POSITIVE_INFINITY, /beyond the largest double/],
  ['int64', '9223372036854775808', /beyond 64 bits/],
  ['int64', 1.5, /declared int64/],
  ['int64', '05', /declared int64/],
  ['decimal(5,2)', 0.1 + 0.2, /more than 2 digits after the point/],
  ['decimal(5,2)', '1000', /more than 3 digits before the point/],
  ['decimal(5,2)', '1e9999', /no decimal number|exponent/],
  ['timestamp', '2026-11-28', /no time of RFC 3339/],
  ['timestamp', '2026-11-28T12:00:00.0000001Z', /finer than a microsecond/],
  ['timestamp', '0001-01-01T00:00:00+01:00', /years 1 to 9999/],
  ['bytes', 'not base64', /neither bytes nor their base64/],
  ['embedding(2)', [1], /has 1 numbers/],
  ['embedding(2)', [1, 1e39], /number 1 is no finite float32/],
  ['array<long>', '1,2', /declared array<long>, and the value is the string "1,2"/],
  ['array<array<long>>', [[1], [1.5]], /its part \[1\]\[0\] is number 1.5/],
  ['struct<a:long>', { b: 1 }, /field "b"/],
  ['struct<a:long>', { a: 'x' }, /its part \.a is the string "x"/],
  ['string', 'a\u0000', /no store takes/],
])('%s refuses %p', (type, value, message) => {
  expect(() => codecOf(type).take(value)).toThrow(message);
});

test.each([
  ...[
    'float',
    'decimal(39,0)',
    'decimal(2,3)',
    'decimal(18)',
    'embedding(0)',
    'embedding(16001)',
    'array<>',
    'array<long',
  ],
  ...[
    'struct<>',
    'struct<a:long,a:long>',
    'struct<a b:long>',
    'struct<__proto__:long>',
    `${'array<'.repeat(20)}long${'>'.repeat(20)}`,
  ],
])('%s is no type', (text) => {
  expect(typeof parseType(text)).toBe('string');
});

test('a value taken twice, or read of its JSON form, is itself', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(TYPES)).chain((type) => fc.tuple(fc.constant(type), valuesOf(typeOf(type)))),
      ([type, value]) => {
        const codec = codecOf(type);
        expect(codec.take(value)).toStrictEqual(value);
        expect(codec.take(JSON.parse(JSON.stringify(jsonOfValue(value))))).toStrictEqual(value);
      },
    ),
    { numRuns: 2_000 },
  );
});
