import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type EventIdentity,
  fateOf,
  type IdFate,
  MOST_IDS,
  noIds,
  type RecentIds,
  rememberId,
} from '#pipelines/transforms/recent_ids';

const of = (eventId: string, userId?: string) => ({ eventId, userId });

/** As a view does it: remembered when it is new. */
function addId(ids: RecentIds, identity: EventIdentity, content: number, timeMs: number, oldestMs: number): IdFate {
  const fate = fateOf(ids, identity, content);
  if (fate === 'new') rememberId(ids, identity, content, timeMs, oldestMs);
  return fate;
}

test('an id is new once, as long as it need not be forgotten', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(400), fc.nat(1_000)), { maxLength: 600 }), (list) => {
      const ids = noIds();
      const seen = new Map<number, number>();
      for (const [id, time] of list) {
        const isNew = addId(ids, of(`event-${id}`), id, time, 500) === 'new';
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
    expect(addId(ids, of(`id-${index}`), 7, index, Number.NEGATIVE_INFINITY)).toBe('new');
    expect(ids.size).toBeLessThanOrEqual(2 * MOST_IDS);
    if (index % 997 !== 0) continue;
    const earlier = `id-${Math.max(0, index - MOST_IDS / 4)}`;
    expect(addId(ids, of(earlier), 7, index, 0)).toBe('repeated');
    expect(addId(ids, of(earlier), 8, index, 0)).toBe('conflict');
  }
  expect(ids.hashes.length).toBeLessThanOrEqual(4 * MOST_IDS);
});

test('it is plain data', () => {
  const ids = noIds();
  for (let index = 0; index < 50; index += 1) addId(ids, of(`a${index}`), index, index, 0);
  const copy = structuredClone(ids);
  for (let index = 0; index < 50; index += 1) {
    expect(addId(copy, of(`a${index}`), index, index, 0)).toBe('repeated');
    expect(addId(copy, of(`a${index}`), index + 100, index, 0)).toBe('conflict');
  }
  expect(addId(copy, of('b'), 0, 0, 0)).toBe('new');
});

test('ids are unique for each user', () => {
  const ids = noIds();
  expect(addId(ids, of('e', 'u1'), 1, 0, 0)).toBe('new');
  expect(addId(ids, of('e', 'u2'), 2, 0, 0)).toBe('new');
  expect(addId(ids, of('e'), 3, 0, 0)).toBe('new');
  expect(addId(ids, of('e', 'u1'), 1, 0, 0)).toBe('repeated');
  expect(addId(ids, of('e', 'u1'), 2, 0, 0)).toBe('conflict');
});
