import { stableHash32 } from '#kernel/hash';

const SMALLEST = 16;
/** Ids that one key remembers at most: beyond, the oldest half is forgotten. */
export const MOST_IDS = 4_096;
const SECOND_HASH = 0x9747b28c;
const HIGH = 2 ** 21;

/**
 * Ids that a key has seen lately: hashes of 53 bits with their times, in an open-addressed table. Plain data. Two of the ids it holds at once share a hash with a probability of one in a billion.
 */
export interface RecentIds {
  /** 0 where nothing is; a power of two long, half full at most. */
  hashes: number[];
  times: number[];
  /** Hashes of what the events held. */
  contents: number[];
  size: number;
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
  times: zeros(SMALLEST),
  contents: zeros(SMALLEST),
  size: 0,
});

/** Returns what is known of an event's id, and changes nothing. @param content - hash of what the event holds */
export function fateOf({ hashes, contents }: RecentIds, identity: EventIdentity, content: number): IdFate {
  const hash = hashOf(identity);
  const at = placeOf(hashes, hash);
  if (hashes[at] !== hash) return 'new';
  return contents[at] === content ? 'repeated' : 'conflict';
}

/**
 * Remembers an id that is new ({@link fateOf}).
 *
 * @param content - hash of what its event holds
 * @param oldestMs - ids with earlier times may be forgotten
 */
export function rememberId(
  ids: RecentIds,
  identity: EventIdentity,
  content: number,
  timeMs: number,
  oldestMs: number,
): void {
  const hash = hashOf(identity);
  const at = placeOf(ids.hashes, hash);
  ids.hashes[at] = hash;
  ids.times[at] = timeMs;
  ids.contents[at] = content;
  ids.size += 1;
  if (2 * ids.size > ids.hashes.length) makeRoom(ids, ids.contents, oldestMs);
}

/** Returns a hash of 53 bits, never 0. */
export function hashOf({ userId = '', eventId }: EventIdentity): number {
  const id = `${userId}\0${eventId}`;
  return (stableHash32(id, SECOND_HASH) % HIGH) * 2 ** 32 + stableHash32(id) + 1;
}

/** Where the hash is, or would be. */
function placeOf(hashes: number[], hash: number): number {
  const mask = hashes.length - 1;
  let at = hash & mask;
  while (hashes[at] !== 0 && hashes[at] !== hash) at = (at + 1) & mask;
  return at;
}

function makeRoom(ids: RecentIds, before: readonly number[], oldestMs: number): void {
  let held = [...ids.hashes.keys()].filter((at) => ids.hashes[at] !== 0 && (ids.times[at] as number) >= oldestMs);
  if (held.length > MOST_IDS - 1) {
    held = held.sort((a, b) => (ids.times[b] as number) - (ids.times[a] as number)).slice(0, MOST_IDS / 2);
  }
  let length = SMALLEST;
  // A quarter full, so that room lasts for a while.
  while (length < 4 * held.length) length *= 2;
  const hashes = zeros(length);
  const times = zeros(length);
  const contents = zeros(length);
  for (const from of held) {
    const hash = ids.hashes[from] as number;
    const at = placeOf(hashes, hash);
    hashes[at] = hash;
    times[at] = ids.times[from] as number;
    contents[at] = before[from] as number;
  }
  Object.assign(ids, { hashes, times, contents, size: held.length });
}
