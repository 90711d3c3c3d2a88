import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import {
  currentIds,
  type EventIdentity,
  fateOf,
  type IdFate,
  noIds,
  type RecentIds,
  rememberId,
} from '#pipelines/transforms/recent_ids';

const START = Date.UTC(2026, 0, 1);
const LATENESS_MS = 2 * DAY_MS;
const of = (eventId: string, userId?: string) => ({ eventId, userId });

interface Kept {
  readonly fate: IdFate;
  readonly forgotten: number;
}

/** As a view does it: kept when it is new. */
function addId(
  ids: RecentIds,
  identity: EventIdentity,
  content: number,
  timeMs: number,
  oldestMs: number,
  most?: number,
): Kept {
  const fate = fateOf(ids, identity, content);
  const forgotten = fate === 'new' ? rememberId(ids, identity, content, timeMs, oldestMs, most) : 0;
  return { fate, forgotten };
}

test('within the lateness an id is new exactly once, as a set of all ids says', () => {
  const arrival = fc.record({
    afterMs: fc.integer({ min: 0, max: 3 * HOUR_MS }),
    ageMs: fc.integer({ min: 0, max: LATENESS_MS }),
    repeats: fc.option(fc.nat(400), { nil: undefined }),
    isOther: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(arrival, { minLength: 1, maxLength: 400 }), (arrivals) => {
      const ids = noIds();
      const oracle = new Map<string, { timeMs: number; content: number }>();
      let nowMs = START;
      for (const [index, { afterMs, ageMs, repeats, isOther }] of arrivals.entries()) {
        nowMs += afterMs;
        const [repeatedId, repeated] = repeats === undefined ? [] : ([...oracle][repeats % oracle.size] ?? []);
        // A repetition can be accepted as long as its event is not too old.
        const isRepeat = repeated !== undefined && nowMs - repeated.timeMs <= LATENESS_MS;
        const id = isRepeat ? (repeatedId as string) : `id-${index}`;
        const timeMs = isRepeat ? repeated.timeMs : nowMs - ageMs;
        const content = isRepeat && !isOther ? repeated.content : index * 2_654_435_761;
        const expected = !isRepeat ? 'new' : isOther ? 'conflict' : 'repeated';
        expect(addId(ids, of(id), content | 0, timeMs, nowMs - LATENESS_MS)).toEqual({ fate: expected, forgotten: 0 });
        expect(timeMs).toBeGreaterThanOrEqual(ids.forgottenBeforeMs);
        if (!isRepeat) oracle.set(id, { timeMs, content });
      }
    }),
    { numRuns: 100 },
  );
});

test('a hot key forgets none: of 9,000 events 500 repeated ones are found', () => {
  const ids = noIds();
  const at = (index: number): number => START + index * 1_000;
  for (let index = 0; index < 9_000; index += 1) addId(ids, of(`e${index}`), index, at(index), at(index) - LATENESS_MS);
  for (let index = 0; index < 500; index += 1) {
    expect(addId(ids, of(`e${index}`), index, at(index), at(9_000) - LATENESS_MS).fate).toBe('repeated');
  }
  expect(ids.size).toBe(9_000);
});

test('what one key keeps is bounded by its lateness: ids that no event can have any more are dropped', () => {
  const ids = noIds();
  for (let index = 0; index < 200_000; index += 1) {
    const timeMs = START + index * MINUTE_MS;
    expect(addId(ids, of(`e${index}`), 1, timeMs, timeMs - LATENESS_MS)).toEqual({ fate: 'new', forgotten: 0 });
  }
  const live = LATENESS_MS / MINUTE_MS;
  expect(ids.size).toBeGreaterThanOrEqual(live);
  expect(ids.hashes.length).toBeLessThanOrEqual(8 * live);
});

test('beyond the most that is kept, ids of the oldest events are dropped and counted, and events of their time are unchecked', () => {
  const ids = noIds();
  let forgotten = 0;
  for (let index = 0; index < 20_000; index += 1) {
    const timeMs = START + index * MINUTE_MS;
    forgotten += addId(ids, of(`e${index}`), 1, timeMs, START, 5_000).forgotten;
    expect(ids.size).toBeLessThanOrEqual(5_000);
  }
  expect(forgotten).toBe(20_000 - ids.size);
  for (let index = 0; index < 20_000; index += 500) {
    const isKept = fateOf(ids, of(`e${index}`), 1) === 'repeated';
    // One that is not known any more is of before the time from which all are.
    expect(isKept).toBe(START + index * MINUTE_MS >= ids.forgottenBeforeMs);
  }
});

test('it is plain data, and what the release before has saved is read', () => {
  const ids = noIds();
  for (let index = 0; index < 50; index += 1) addId(ids, of(`a${index}`), index << 20, START, 0);
  const copy = structuredClone(ids);
  for (let index = 0; index < 50; index += 1) {
    expect(addId(copy, of(`a${index}`), index << 20, START, 0).fate).toBe('repeated');
    expect(addId(copy, of(`a${index}`), (index + 100) << 20, START, 0).fate).toBe('conflict');
  }
  const { hashes } = copy;
  const previous = { hashes, times: hashes.map(() => START), contents: hashes.map(() => 7 << 20), size: 50 };
  const read = currentIds(previous);
  expect(read.size).toBe(50);
  expect(addId(read, of('a7'), 7 << 20, START, 0).fate).toBe('repeated');
  expect(addId(read, of('b'), 0, START, 0).fate).toBe('new');
});

test('ids are unique for each user', () => {
  const ids = noIds();
  const fate = (eventId: string, content: number, userId?: string): IdFate =>
    addId(ids, of(eventId, userId), content << 20, START, 0).fate;
  expect(fate('e', 1, 'u1')).toBe('new');
  expect(fate('e', 2, 'u2')).toBe('new');
  expect(fate('e', 3)).toBe('new');
  expect(fate('e', 1, 'u1')).toBe('repeated');
  expect(fate('e', 2, 'u1')).toBe('conflict');
});
