import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addId, MOST_IDS, noIds } from '#pipelines/transforms/recent_ids';

test('an id is new once, as long as it need not be forgotten', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(400), fc.nat(1_000)), { maxLength: 600 }), (list) => {
      const ids = noIds();
      const seen = new Map<number, number>();
      for (const [id, time] of list) {
        const isNew = addId(ids, `event-${id}`, time, 500);
        const held = seen.get(id);
        if (held === undefined) expect(isNew).toBe(true);
        // Older than it has to be remembered: it may be either.
        else if (held >= 500) expect(isNew).toBe(false);
        if (isNew) seen.set(id, time);
      }
    }),
  );
});

test('what one key remembers is bounded, and the newest are remembered', () => {
  const ids = noIds();
  for (let index = 0; index < 100_000; index += 1) {
    expect(addId(ids, `id-${index}`, index, Number.NEGATIVE_INFINITY)).toBe(true);
    expect(ids.size).toBeLessThanOrEqual(2 * MOST_IDS);
    if (index % 997 === 0) expect(addId(ids, `id-${Math.max(0, index - MOST_IDS / 4)}`, index, 0)).toBe(false);
  }
  expect(ids.hashes.length).toBeLessThanOrEqual(4 * MOST_IDS);
});

test('it is plain data', () => {
  const ids = noIds();
  for (let index = 0; index < 50; index += 1) addId(ids, `a${index}`, index, 0);
  const copy = structuredClone(ids);
  for (let index = 0; index < 50; index += 1) expect(addId(copy, `a${index}`, index, 0)).toBe(false);
  expect(addId(copy, 'b', 0, 0)).toBe(true);
});
