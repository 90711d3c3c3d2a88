import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { z } from 'zod';
import { first, last, top } from '#feature_store/definitions/aggregations';
import { type EventFeature, type Feature, field } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { eventSource } from '#feature_store/definitions/sources/source';
import { decimalText } from '#feature_store/definitions/values/decimal_text';
import type { FeatureRow, FeatureValue } from '#feature_store/definitions/values/feature_row';
import { timestampOfMicros } from '#feature_store/definitions/values/timestamp_text';
import { codecOf } from '#feature_store/definitions/values/value_codec';
import {
  array,
  decimal,
  embedding,
  type FeatureType,
  struct,
  typeOf,
  type ValueType,
} from '#feature_store/definitions/values/value_type';
import { isStorable } from '#kernel/text/unstorable_text';

/** Every kind of type, alone and in each other. */
export const TYPES: Readonly<Record<string, FeatureType>> = {
  a_double: 'double',
  a_long: 'long',
  a_boolean: 'boolean',
  a_string: 'string',
  an_int64: 'int64',
  a_timestamp: 'timestamp',
  some_bytes: 'bytes',
  money: decimal(18, 2),
  units: decimal(38, 0),
  fraction: decimal(38, 38),
  vector: embedding(3),
  doubles: array('double'),
  longs: array('long'),
  booleans: array('boolean'),
  strings: array('string'),
  integers: array('int64'),
  times: array('timestamp'),
  parts: array('bytes'),
  prices: array(decimal(9, 4)),
  vectors: array(embedding(2)),
  matrix: array(array('int64')),
  address: struct({
    zip: 'string',
    built: 'timestamp',
    paid: decimal(12, 3),
    inner: struct({ id: 'int64', on: 'boolean' }),
  }),
  orders: array(
    struct({ id: 'int64', lines: array(struct({ sku: 'string', price: decimal(10, 2), image: 'bytes' })) }),
  ),
  profile: struct({ vector: embedding(4), tags: array('string'), score: 'double', visits: 'long' }),
};

/** A feature that is the event's field, for each of {@link TYPES}, and lists of its values over time. */
const features: Readonly<Record<string, Feature>> = Object.fromEntries(
  Object.entries(TYPES).flatMap(([name, type]): (readonly [string, Feature])[] => [
    [name, field(name, type, name) as EventFeature],
    ...Object.entries<Feature>({
      ...last(name, type, 2, { as: `last_2_${name}` }).over('7d'),
      ...first(name, type, 1, { as: `first_${name}` }).over('7d'),
      ...top(name, type, 3, { as: `top_3_${name}` }).over('7d'),
    }),
  ]),
);

/** Of events whose fields hold the JSON form of each type. */
export const typedView: FeatureView = featureView({
  ...{
    name: 'typed',
    version: 1,
    entity: { name: 'thing', joinKeys: ['thing_id'] },
    ttl: '0s',
    owner: 'tests',
    description: 'Every type',
  },
  source: eventSource({
    ...{ name: 'things', eventTypes: ['thing'], schemaVersion: 1, eventIdField: 'id', timestampField: 'at' },
    schema: z.object({
      ...{ id: z.string(), at: z.string(), thing_id: z.string() },
      ...Object.fromEntries(Object.keys(TYPES).map((name) => [name, z.unknown()])),
    }),
  }),
  features,
});

/** Of embeddings alone, with a ttl; of another name in each process, since databases stay. */
export const nearView: FeatureView = featureView({
  ...{
    name: `near_${randomBytes(4).toString('hex')}`,
    version: 1,
    entity: typedView.entity,
    source: typedView.source,
    ttl: '30d',
    owner: 'tests',
  },
  description: 'Embeddings',
  features: { near: field('vector', embedding(3), 'Where it is') },
});

const LIMIT = 2n ** 63n;
/** The limits of 64 bits, and of exact doubles. */
const EDGES = [0n, 1n, -1n, LIMIT - 1n, -LIMIT, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n];

const int64s = fc.oneof(fc.constantFrom(...EDGES), fc.bigInt({ min: -LIMIT, max: LIMIT - 1n }));
const doubles = fc
  .oneof(
    fc.constantFrom(0, 0.1, -0.1, 5e-324, -5e-324, Number.MAX_VALUE, -Number.MAX_VALUE, 2 ** 53, 1e21, 1e-7),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  )
  .map((value) => value + 0);
const floats = fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const texts = fc
  .oneof(
    fc.constantFrom('', ' ', ',', '"', '\\', "o'clock", 'a,b', 'null', '5', '\u{1f600}', '\u0001', '\ufeff', 'é\n'),
    fc.string({ unit: 'grapheme' }),
  )
  .filter(isStorable);
const FIRST_MICROS = -62_135_596_800_000_000n;
const LAST_MICROS = 253_402_300_799_999_999n;
const micros = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, FIRST_MICROS, LAST_MICROS, 999_999n, -1_000_001n),
  fc.bigInt({ min: FIRST_MICROS, max: LAST_MICROS }),
);

/** Values of a type as the platform holds them, those of its edges among them. */
export function valuesOf(type: ValueType): fc.Arbitrary<FeatureValue> {
  switch (type.kind) {
    case 'double':
      return doubles;
    case 'long':
      return fc
        .oneof(fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER), fc.maxSafeInteger())
        .map((value) => value + 0);
    case 'boolean':
      return fc.boolean();
    case 'string':
      return texts;
    case 'int64':
      return int64s;
    case 'timestamp':
      return micros.map((value) => (timestampOfMicros(value) as { readonly timestamp: string }).timestamp);
    case 'bytes':
      return fc.uint8Array({ maxLength: 20 });
    case 'decimal': {
      const most = 10n ** BigInt(type.precision) - 1n;
      return fc
        .oneof(fc.constantFrom(0n, 1n, -1n, most, -most), fc.bigInt({ min: -most, max: most }))
        .map((unscaled) => decimalText(unscaled, type.scale));
    }
    case 'embedding':
      return fc
        .array(floats, { minLength: type.dimension, maxLength: type.dimension })
        .map((numbers) => Float32Array.from(numbers));
    case 'array':
      return fc.array(missing(valuesOf(type.element)), { maxLength: 4 });
    case 'struct':
      return fc.record(Object.fromEntries(type.fields.map((each) => [each.name, missing(valuesOf(each.type))])), {
        noNullPrototype: true,
      }) as fc.Arbitrary<FeatureValue>;
  }
}

const missing = (values: fc.Arbitrary<FeatureValue>): fc.Arbitrary<FeatureValue> =>
  fc.oneof({ weight: 9, arbitrary: values }, { weight: 1, arbitrary: fc.constant(null) });

/** One value of each of {@link TYPES}. */
export const typedValues = fc.record(
  Object.fromEntries(Object.entries(TYPES).map(([name, type]) => [name, missing(valuesOf(typeOf(type)))])),
  { noNullPrototype: true },
);

/** Reads values of {@link typedView} that came as JSON, or from a file. */
export const readAll = (stored: Readonly<Record<string, unknown>>): FeatureRow['values'] =>
  Object.fromEntries(
    Object.entries<Feature>(typedView.features).map(([name, { type }]) => [name, codecOf(type).read(stored[name])]),
  );
