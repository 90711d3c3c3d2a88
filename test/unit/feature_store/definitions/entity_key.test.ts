import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { fromEvent } from '#feature_store/definitions/feature';
import { checkViews, featureView } from '#feature_store/definitions/feature_view';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import {
  entityKeyFromId,
  entityKeyFromRow,
  entityKeyFromText,
  entityKeyFromValues,
  entityKeyOf,
  entityOf,
  idOf,
  type KeyedEntity,
  parseEntityKey,
} from '#feature_store/definitions/values/entity_key';
import { entityKeyFromPrevious } from '#feature_store/definitions/values/previous_entity_key';
import { testView } from '../../../support/definitions/test_view.ts';

const keyed = (name: string, ...types: KeyedEntity['joinKeyTypes'][number][]): KeyedEntity => ({
  entity: { name, joinKeys: types.map((_, index) => `k${index}`) },
  joinKeyTypes: types,
});
const user = keyed('user', 'string');
const order = keyed('order', 'number');
const sensor = keyed('sensor', 'string', 'string');
const seat = keyed('seat', 'string', 'number', 'boolean');

const hostile = [
  'a|b',
  'user:x9',
  'a\\',
  '#5',
  '\\#5',
  '(a',
  ' ',
  '\n',
  '{x}',
  '😀',
  '%2F',
  '..',
  'null',
  'undefined',
  '__proto__',
];
const text = fc
  .oneof(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), fc.constantFrom(...hostile))
  .filter((id) => id.isWellFormed() && !id.includes('\u0000') && Buffer.byteLength(id) < 300);
const integer = fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));

test.each([
  [{ k0: undefined }, /identifies no user: k0 is missing/],
  [{ k0: null }, /k0 is null/],
  [{ k0: '' }, /k0 is empty/],
  [{ k0: Number.NaN }, /k0 is NaN, which is not finite/],
  [{ k0: Number.POSITIVE_INFINITY }, /k0 is Infinity/],
  [{ k0: 2 ** 53 }, /beyond 2\^53 a number is not exact/],
  [{ k0: 2n ** 64n }, /no integer of 64 bits/],
  [{ k0: 'a\u0000' }, /k0 holds NUL/],
  [{ k0: 'a\ud800' }, /k0 holds a lone surrogate/],
  [{ k0: new Date() }, /k0 is neither a string/],
  [{ k0: { a: 1 } }, /k0 is neither a string/],
  [{ k0: 'é'.repeat(600) }, /k0 take 1200 bytes, 1024 at most/],
])('an event that identifies no entity is refused, naming entity and field: %o', (event, problem) => {
  expect(() => entityKeyOf(user.entity, event)).toThrow(problem);
  expect(() => entityKeyOf(sensor.entity, { k0: 'fine', k1: event.k0 })).toThrow(
    /identifies no sensor: (k1|k0 and k1)/,
  );
});

test('an id is read as the key of the event that has it, and written as it was', () => {
  fc.assert(
    fc.property(text, (id) => {
      const key = entityKeyOf(user.entity, { k0: id });
      expect(entityKeyFromId(user, id)).toBe(key);
      expect(idOf(key)).toBe(id);
      expect(entityOf(key)).toBe('user');
      expect(parseEntityKey(key)).toEqual({ entity: 'user', parts: [id] });
      expect(entityKeyFromText(user, key)).toBe(key);
      expect(entityKeyFromRow(user, { k0: id })).toBe(key);
      expect(entityKeyFromRow(user, { entity_key: key, k0: 'another' })).toBe(key);
    }),
  );
});

test('numeric ids are one entity however they come: number, bigint, text, Parquet', () => {
  fc.assert(
    fc.property(integer, (id) => {
      const isExact = typeof id === 'bigint' || Number.isSafeInteger(id);
      const exact = BigInt(id);
      const key = entityKeyOf(order.entity, { k0: exact });
      expect(key).toBe(`order:#${exact}`);
      if (isExact) expect(entityKeyOf(order.entity, { k0: id })).toBe(key);
      for (const raw of [`${exact}`, exact]) {
        expect(entityKeyFromValues(order, [raw])).toBe(key);
        expect(entityKeyFromRow(order, { entity_key: raw })).toBe(key);
      }
      expect(entityKeyFromId(order, `${exact}`)).toBe(key);
      expect(idOf(key)).toBe(`${exact}`);
    }),
  );
  expect(() => entityKeyFromId(order, 'x5')).toThrow(/identifies no order: k0 is "x5", and no number/);
  expect(() => entityKeyFromId(order, '')).toThrow(/k0 is empty/);
  expect(entityKeyFromValues(user, [5n])).toBe('user:5');
});

test('parts stay distinct, whatever they hold; the id of several is their key text', () => {
  const parts = fc.tuple(text, fc.maxSafeInteger(), fc.boolean());
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      const [a, b] = [one, other].map(([k0, k1, k2]) => entityKeyOf(seat.entity, { k0, k1, k2 })) as [never, never];
      expect(a === b).toBe(JSON.stringify(one.map(String)) === JSON.stringify(other.map(String)));
      expect(entityKeyFromId(seat, idOf(a))).toBe(a);
    }),
  );
  expect(entityKeyOf(sensor.entity, { k0: 'a|b', k1: 'c' })).not.toBe(
    entityKeyOf(sensor.entity, { k0: 'a', k1: 'b|c' }),
  );
  expect(entityKeyFromId(seat, 'row 1|5|true')).toBe(entityKeyFromId(seat, 'row 1|#5|#true'));
  expect(() => entityKeyFromId(sensor, 'a|b|c')).toThrow(/"a\|b\|c" has 3 parts, not 2 \(k0\|k1\)/);
  expect(() => entityKeyFromId(sensor, 'a\\')).toThrow(/is no key text/);
  expect(() => entityKeyFromId(sensor, '#5|b')).toThrow(/k0 is a string/);
  expect(() => entityKeyFromText(user, 'account:x9')).toThrow(/does not begin with "user:"/);
  expect(() => entityKeyFromText(user, 'user:a|b')).toThrow(/has 2 parts, not 1/);
  expect(() => entityKeyFromRow(sensor, { k0: 'a' })).toThrow(/entity_key is missing, and so is k0 or k1/);
});

const sourceOf = (k: z.ZodType) =>
  eventSource({
    ...{ name: 's', eventTypes: ['e'], schemaVersion: 1, eventIdField: 'event_id', timestampField: 'timestamp' },
    schema: z.strictObject({ event_id: z.string(), timestamp: z.string(), event_type: z.literal('e'), k }),
  });
const viewBy = (k: z.ZodType, name = 'v', of = 'thing') =>
  featureView({
    ...{ name, version: 1, entity: entity(of, ['k']), source: sourceOf(k), ttl: '1d', owner: 'o', description: 'd' },
    features: { [`n_${name}`]: fromEvent('double', '', () => 1) },
  });

test('ids are read by the type that the schema declares; what has none cannot identify anything', () => {
  const types: [z.ZodType, string][] = [
    [z.string().optional(), 'string'],
    [z.uuid(), 'string'],
    [z.enum(['a', 'b']), 'string'],
    [z.literal(5), 'number'],
    [z.int().nullable().default(1), 'number'],
    [z.int64(), 'bigint'],
    [z.coerce.bigint(), 'bigint'],
    [z.boolean().readonly(), 'boolean'],
    [z.union([z.string(), z.email()]), 'string'],
    [z.string().transform(Number).pipe(z.number()), 'number'],
  ];
  for (const [type, expected] of types) expect(viewBy(type).joinKeyTypes).toEqual([expected]);
  for (const type of [z.any(), z.union([z.string(), z.number()]), z.array(z.string()), z.object({})]) {
    expect(() => viewBy(type)).toThrow(/join key k must be a string, a number, a bigint or a boolean/);
  }
  expect(() => viewBy(z.string(), 'v', 'Thing:x')).toThrow(/entity "Thing:x": a name is lower-case/);
  expect(() => checkViews([viewBy(z.string(), 'a'), viewBy(z.number(), 'b')])).toThrow(
    /views a@1 and b@1 identify thing differently: by k \(string\) and by k \(number\)/,
  );
});

test('keys of the release before are read where they can be told, and refused where they cannot', () => {
  const account = testView({ amount: fromEvent('double', '', () => 1) });
  const before = (event: Readonly<Record<string, unknown>>, fields: readonly string[]): string =>
    fields.map((field) => String(event[field])).join('|');
  fc.assert(
    fc.property(text, (id) => {
      expect(entityKeyFromPrevious(account, before({ account_id: id }, ['account_id']))).toEqual({
        key: entityKeyFromId(account, id),
      });
      const pair = {
        ...viewBy(z.string()),
        ...sensor,
        events: { ...account.events, schema: z.object({ k0: z.string(), k1: z.string() }) },
      };
      const read = entityKeyFromPrevious(pair, before({ k0: id, k1: 'm' }, ['k0', 'k1']));
      // For a while `\` and `|` of a part had `\` before them: whether a `\` there is one of the id is ambiguous.
      if (id.includes('|') || /\\[|\\]/.test(`${id}|m`))
        expect(read).toMatchObject({ problem: expect.stringMatching(/ambiguous/) });
      else expect(read).toEqual({ key: entityKeyOf(sensor.entity, { k0: id, k1: 'm' }) });
    }),
  );
  const numeric = viewBy(z.number());
  expect(entityKeyFromPrevious(numeric, '5')).toEqual({ key: 'thing:#5' });
  expect(entityKeyFromPrevious(numeric, 'NaN')).toMatchObject({ problem: expect.stringMatching(/another type/) });
  expect(entityKeyFromPrevious(numeric, '9007199254740992')).toMatchObject({
    problem: expect.stringMatching(/several ids were one/),
  });
  expect(entityKeyFromPrevious(viewBy(z.string().optional()), 'undefined')).toMatchObject({
    problem: expect.stringMatching(/was missing/),
  });
  expect(entityKeyFromPrevious(viewBy(z.string()), 'undefined')).toEqual({ key: 'thing:undefined' });
});
