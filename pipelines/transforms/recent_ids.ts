import { stableHash32 } from '#kernel/hashes/hash';
import { MINUTE_MS } from '#kernel/time';

const SMALLEST = 16;
/** Ids that one entity keeps at most by default: 64 MB, for each view, of an entity that has so many. */
export const MOST_IDS = 1_000_000;
const SECOND_HASH = 0x9747b28c;
const HIGH = 2 ** 21;
/** Facts have 25 bits of minutes, from 2000 to 2063, and 28 of the content. */
const CONTENTS = 2 ** 28;
const FIRST_MINUTE = Date.UTC(2000, 0, 1) / MINUTE_MS;
const MOST_MINUTES = 2 ** 25 - 1;

/**
 * Ids of an entity's events: an open-addressed table of 53-bit hashes, 16 bytes a place, half full at most. Plain data. Two of the ids it holds at once share a hash with a probability of one
 * in a billion for 4,000 ids, and of one in 18,000 for a million.
 */
export interface RecentIds {
  /** 0 where nothing is; a power of two long. */
  hashes: number[];
  /** The minute of each id's event, and the hash of what the event held. */
  facts: number[];
  size: number;
  /** Ids of events before this may have been dropped, ms. */
  forgottenBeforeMs: number;
}

/** What states of earlier releases hold. */
interface PreviousIds {
  readonly hashes: readonly number[];
  readonly times: readonly number[];
  readonly contents: readonly number[];
}

/** An event's identity: ids are unique for each user. */
export interface EventIdentity {
  readonly userId: string | undefined;
  readonly eventId: string;
}

/** What is known of an id: nothing; the same event; another event. */
export type IdFate = 'new' | 'repeated' | 'conflict';

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

export const noIds = (): RecentIds => ({
  hashes: zeros(SMALLEST),
  facts: zeros(SMALLEST),
  size: 0,
  forgottenBeforeMs: Number.NEGATIVE_INFINITY,
});

/** Returns what is known of an event's id, and changes nothing. @param content - hash of what the event holds */
export function fateOf({ hashes, facts }: RecentIds, identity: EventIdentity, content: number): IdFate {
  const hash = hashOf(identity);
  const at = placeOf(hashes, hash);
  if (hashes[at] !== hash) return 'new';
  return (facts[at] as number) % CONTENTS === content >>> 4 ? 'repeated' : 'conflict';
}

/**
 * Keeps an id that is new ({@link fateOf}).
 *
 * @param content - hash of what its event holds
 * @param oldestMs - ids of events before this may be dropped: none with them can still arrive and count
 * @param most - so many are kept; then those of the oldest events are dropped
 * @returns how many were dropped that should have been kept
 */
export function rememberId(
  ids: RecentIds,
  identity: EventIdentity,
  content: number,
  timeMs: number,
  oldestMs: number,
  most = MOST_IDS,
): number {
  const hash = hashOf(identity);
  const at = placeOf(ids.hashes, hash);
  ids.hashes[at] = hash;
  ids.facts[at] = factOf(timeMs, content);
  ids.size += 1;
  return 2 * ids.size > ids.hashes.length || ids.size > most ? makeRoom(ids, oldestMs, most) : 0;
}

/** Returns a hash of 53 bits, never 0. */
export function hashOf({ userId = '', eventId }: EventIdentity): number {
  const id = `${userId}\0${eventId}`;
  return (stableHash32(id, SECOND_HASH) % HIGH) * 2 ** 32 + stableHash32(id) + 1;
}

/** Where the hash is, or would be. */
function placeOf(hashes: readonly number[], hash: number): number {
  const mask = hashes.length - 1;
  let at = hash & mask;
  while (hashes[at] !== 0 && hashes[at] !== hash) at = (at + 1) & mask;
  return at;
}

const minuteOf = (timeMs: number): number =>
  Math.min(MOST_MINUTES, Math.max(0, Math.floor(timeMs / MINUTE_MS) - FIRST_MINUTE));
const factOf = (timeMs: number, content: number): number => minuteOf(timeMs) * CONTENTS + (content >>> 4);

/** Drops the minutes before `oldestMs`; beyond `most` ids, the oldest minutes of the rest too, until a quarter is free. */
function makeRoom(ids: RecentIds, oldestMs: number, most: number): number {
  const { hashes, facts } = ids;
  // The minute in which `oldestMs` lies is kept whole.
  let firstMinute = minuteOf(oldestMs);
  let live = 0;
  for (let at = 0; at < hashes.length; at += 1) {
    if (hashes[at] !== 0 && (facts[at] as number) >= firstMinute * CONTENTS) live += 1;
  }
  let dropped = 0;
  if (live > most) {
    for (const [minute, count] of minutesOf(ids, firstMinute)) {
      if (live - dropped <= (3 * most) / 4) break;
      dropped += count;
      firstMinute = minute + 1;
    }
  }
  const kept = live - dropped;
  if (kept < ids.size)
    ids.forgottenBeforeMs = Math.max(ids.forgottenBeforeMs, (firstMinute + FIRST_MINUTE) * MINUTE_MS);
  let length = SMALLEST;
  // A quarter full, so that room lasts for a while.
  while (length < 4 * kept) length *= 2;
  const next = { hashes: zeros(length), facts: zeros(length) };
  for (let from = 0; from < hashes.length; from += 1) {
    const hash = hashes[from] as number;
    const fact = facts[from] as number;
    if (hash === 0 || fact < firstMinute * CONTENTS) continue;
    const at = placeOf(next.hashes, hash);
    next.hashes[at] = hash;
    next.facts[at] = fact;
  }
  Object.assign(ids, next, { size: kept });
  return dropped;
}

/** How many ids there are of each minute from `firstMinute` on, oldest first. */
function minutesOf({ hashes, facts }: RecentIds, firstMinute: number): readonly (readonly [number, number])[] {
  const counts = new Map<number, number>();
  for (let at = 0; at < hashes.length; at += 1) {
    const minute = Math.floor((facts[at] as number) / CONTENTS);
    if (hashes[at] !== 0 && minute >= firstMinute) counts.set(minute, (counts.get(minute) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** Returns the ids of a saved state, also of one that the release before has saved. */
export function currentIds(saved: RecentIds | PreviousIds): RecentIds {
  if ('facts' in saved) return saved;
  const { hashes, times, contents } = saved;
  const facts = hashes.map((hash, at) => (hash === 0 ? 0 : factOf(times[at] as number, contents[at] as number)));
  const size = hashes.filter((hash) => hash !== 0).length;
  return { hashes: [...hashes], facts, size, forgottenBeforeMs: Number.NEGATIVE_INFINITY };
}
