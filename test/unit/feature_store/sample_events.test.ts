import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { source } from '#feature_store/definitions/sources/source';
import { sampleEvents } from '#feature_store/testing/sample_events';

const common = { user_id: z.string() };
const SAMPLE = { events: 40, seed: 7, endMs: Date.parse('2026-11-29T12:00:00Z'), spanMs: 3_600_000 };

/** Each type of zod that JSON has. */
const TYPES: Readonly<Record<string, z.ZodType>> = {
  string: z.string().min(3).max(9),
  number: z.number(),
  int: z.int().min(-5).max(-2),
  multiple: z.number().multipleOf(5),
  'coerced bigint': z.coerce.bigint(),
  'coerced date': z.coerce.date(),
  'coerced number': z.coerce.number(),
  boolean: z.boolean(),
  null: z.null(),
  any: z.any(),
  unknown: z.unknown(),
  literals: z.literal(['a', 'b']),
  enum: z.enum(['x', 'y']),
  array: z.array(z.number()).min(2),
  tuple: z.tuple([z.string(), z.number()]),
  record: z.record(z.string(), z.number()),
  'partial record': z.partialRecord(z.enum(['a', 'b']), z.number()),
  object: z.object({ deep: z.object({ x: z.number().nullable() }) }),
  'loose object': z.looseObject({ a: z.string() }),
  union: z.union([z.string(), z.number()]),
  'discriminated union': z.discriminatedUnion('t', [
    z.object({ t: z.literal('a') }),
    z.object({ t: z.literal('b'), v: z.number() }),
  ]),
  intersection: z.intersection(z.object({ p: z.string() }), z.object({ q: z.number() })),
  lazy: z.lazy(() => z.string()),
  json: z.json(),
  nullish: z.string().nullish(),
  default: z.string().default('d'),
  catch: z.string().catch('c'),
  transform: z.string().transform((value) => value.length),
  pipe: z.string().pipe(z.string().max(60)),
  preprocess: z.preprocess((value) => value, z.string()),
  brand: z.string().brand('B'),
  readonly: z.array(z.number()).readonly(),
  template: z.templateLiteral(['a-', z.int()]),
  email: z.email(),
  url: z.url(),
  uuid: z.uuid(),
  nanoid: z.nanoid(),
  ulid: z.ulid(),
  jwt: z.jwt(),
  emoji: z.emoji(),
  base64: z.base64(),
  ipv4: z.ipv4(),
  ipv6: z.ipv6(),
  cidr: z.cidrv4(),
  e164: z.e164(),
  datetime: z.iso.datetime(),
  date: z.iso.date(),
  time: z.iso.time(),
  duration: z.iso.duration(),
};

test.each(Object.entries(TYPES))('events with a field of the type %s are taken by their schema', (_, type) => {
  const declared = source('clicks', { schema: z.strictObject({ ...common, held: type }) });
  for (const event of sampleEvents(declared, ['user_id'], SAMPLE)) {
    expect(declared.schema.safeParse(event).error?.issues).toBeUndefined();
  }
});

test.each([
  ['date', z.date(), 'z.iso.datetime(), or z.coerce.date()'],
  ['map', z.map(z.string(), z.number()), 'z.record()'],
  ['set', z.set(z.string()), 'z.array()'],
  ['symbol', z.symbol(), 'z.string()'],
  ['promise', z.promise(z.string()), 'the type itself'],
])('a field of the type %s, which JSON does not have, is refused with the type to take', (name, type, instead) => {
  const refused = `source clicks: field "in.held" is a ${name}, which JSON does not have: take ${instead}`;
  const schema = z.object({ ...common, in: z.object({ held: z.optional(type as z.ZodType) }) });
  expect(() => source('clicks', { schema })).toThrow(refused);
});
