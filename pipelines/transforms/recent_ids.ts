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
  size: number;
}

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

export const noIds = (): RecentIds => ({
  hashes: zeros(SMALLEST),
  times: zeros(SMALLEST),
  size: 0,
});

/**
 * @param oldestMs - ids with earlier times may be forgotten
 * @returns false when the id was there already
 */
export const addId = (ids: RecentIds, id: string, timeMs: number, oldestMs: number): boolean =>
  addHash(ids, hashOf(id), timeMs, oldestMs);

/** Whether the id of this hash was added. */
export const hasHash = ({ hashes }: RecentIds, hash: number): boolean => hashes[placeOf(hashes, hash)] === hash;

/** As {@link addId}, with the hash of the id. */
export function addHash(ids: RecentIds, hash: number, timeMs: number, oldestMs: number): boolean {
  const at = placeOf(ids.hashes, hash);
  if (ids.hashes[at] === hash) return false;
  ids.hashes[at] = hash;
  ids.times[at] = timeMs;
  ids.size += 1;
  if (2 * ids.size > ids.hashes.length) makeRoom(ids, oldestMs);
  return true;
}

/** Never 0. */
export function hashOf(id: string): number {
  return (stableHash32(id, SECOND_HASH) % HIGH) * 2 ** 32 + stableHash32(id) + 1;
}

/** Where the hash is, or would be. */
function placeOf(hashes: number[], hash: number): number {
  const mask = hashes.length - 1;
  let at = hash & mask;
  while (hashes[at] !== 0 && hashes[at] !== hash) at = (at + 1) & mask;
  return at;
}

function makeRoom(ids: RecentIds, oldestMs: number): void {
  let held = [...ids.hashes.keys()].filter((at) => ids.hashes[at] !== 0 && (ids.times[at] as number) >= oldestMs);
  if (held.length > MOST_IDS - 1) {
    held = held.sort((a, b) => (ids.times[b] as number) - (ids.times[a] as number)).slice(0, MOST_IDS / 2);
  }
  let length = SMALLEST;
  // A quarter full, so that room lasts for a while.
  while (length < 4 * held.length) length *= 2;
  const hashes = zeros(length);
  const times = zeros(length);
  for (const from of held) {
    const hash = ids.hashes[from] as number;
    const at = placeOf(hashes, hash);
    hashes[at] = hash;
    times[at] = ids.times[from] as number;
  }
  Object.assign(ids, { hashes, times, size: held.length });
}
