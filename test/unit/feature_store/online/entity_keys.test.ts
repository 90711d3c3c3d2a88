import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { onlineStoreConfigSchema } from '#feature_store/config';
import { EntityKeyError } from '#feature_store/definitions/errors';
import { type EntityKey, entityKeyOf } from '#feature_store/definitions/values/entity_key';
import { countersKey, rowKey } from '#feature_store/online/redis/redis_keys';

/** What of a key Redis hashes, as its cluster specification says. */
function hashedPart(key: string): string {
  const open = key.indexOf('{');
  const close = key.indexOf('}', open + 1);
  return open < 0 || close < 0 || close === open + 1 ? key : key.slice(open + 1, close);
}

const id = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'ab|\\{}:@\0'), maxLength: 6 }),
  fc.string({ unit: 'binary' }),
);

const pair = { name: 'pair', joinKeys: ['a', 'b'] };

/** Undefined for what no entity has: empty parts, NUL, lone surrogates. */
function keyOrNone(event: { readonly a: string; readonly b: string }): EntityKey | undefined {
  try {
    return entityKeyOf(pair, event);
  } catch (error) {
    if (!(error instanceof EntityKeyError)) throw error;
    return undefined;
  }
}

test('different values of several join keys never give one entity key', () => {
  fc.assert(
    fc.property(id, id, id, id, (a, b, c, d) => {
      fc.pre(a !== c || b !== d);
      const [first, second] = [keyOrNone({ a, b }), keyOrNone({ a: c, b: d })];
      fc.pre(first !== undefined && second !== undefined);
      expect(first).not.toBe(second);
    }),
    { numRuns: 5_000 },
  );
  expect(entityKeyOf(pair, { a: 'u1', b: 'm2' })).toBe('pair:u1|m2');
});

test('an entity’s keys share a slot, other than those of other views they differ, and no two entities share one', () => {
  const [one, two] = [
    { view: 'spending', version: 1 },
    { view: 'fraud', version: 12 },
  ];
  fc.assert(
    fc.property(id, id, (first, other) => {
      const [a, b] = [first as EntityKey, other as EntityKey];
      const keys = [rowKey('headwater', one, a), rowKey('headwater', two, a), countersKey('headwater', a)];
      expect(new Set(keys.map(hashedPart)).size).toBe(1);
      expect(new Set(keys).size).toBe(3);
      if (a !== b) expect(keys).not.toContain(rowKey('headwater', one, b));
    }),
    { numRuns: 5_000 },
  );
  expect(rowKey('headwater', one, 'user:u1' as EntityKey)).toBe('headwater:row:spending@1:{user:u1}');
  for (const keyPrefix of ['{a}', '', 'a b', 'a*']) {
    expect(onlineStoreConfigSchema.safeParse({ kind: 'redis', keyPrefix }).success).toBe(false);
  }
});
