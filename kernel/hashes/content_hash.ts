import { avalanche } from './hash.ts';

const PRIME = 0x01000193;
const MOST_KEYS = 10_000;
const LONGEST_KEY = 64;

/** Kinds of values begin differently, so that `1`, `"1"`, `[1]` and `{"1":1}` differ. */
const START = { number: 1, string: 2, array: 3, object: 4, true: 5, false: 6, null: 7, bigint: 8, date: 9 } as const;

const double = new Float64Array(1);
const words = new Int32Array(double.buffer);

/** Hashes of keys: events of one type have the same ones. */
const keys = new Map<string, number>();
/** Keys that do not count have none. */
type HashOfKey = (key: string) => number | undefined;

/**
 * Hashes the content of a JSON object, whatever the order of keys at any level: a signed 32-bit integer. Two different contents share one with a
 * probability of one in four billion; it is no defence against a sender that looks for such a pair.
 */
export const contentHash = (fields: Readonly<Record<string, unknown>>): number => hashOfMembers(fields, hashOfKey);

/** Makes a {@link contentHash} for which some keys of the outermost object do not count. */
export function contentHashWithout(names: readonly string[]): typeof contentHash {
  const excluded = new Set(names);
  const counted = new Map<string, number>();
  // One search a key tells both: whether it counts, and its hash.
  const of = (key: string): number | undefined => {
    const known = counted.get(key);
    if (known !== undefined) return known;
    if (excluded.has(key)) return undefined;
    const hash = hashOfKey(key);
    if (key.length <= LONGEST_KEY && counted.size < MOST_KEYS) counted.set(key, hash);
    return hash;
  };
  return (fields) => hashOfMembers(fields, of);
}

function hashOfMembers(fields: Readonly<Record<string, unknown>>, of: HashOfKey): number {
  let sum: number = START.object;
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined) continue;
    const seed = of(key);
    if (seed === undefined) continue;
    // Members are added up: their order does not matter.
    sum = (sum + avalanche(hashOfValue(value, seed))) | 0;
  }
  return avalanche(sum);
}

function hashOfKey(key: string): number {
  const known = keys.get(key);
  if (known !== undefined) return known;
  const hash = hashOfText(key, START.object);
  if (key.length <= LONGEST_KEY && keys.size < MOST_KEYS) keys.set(key, hash);
  return hash;
}

function hashOfValue(value: unknown, seed: number): number {
  if (typeof value === 'string') return hashOfText(value, seed ^ START.string);
  if (typeof value === 'number') {
    // 0 and -0 are one.
    double[0] = value + 0;
    return Math.imul(Math.imul(seed ^ START.number ^ (words[0] as number), PRIME) ^ (words[1] as number), PRIME);
  }
  if (typeof value === 'bigint') {
    // What a number holds exactly is that number.
    const number = Number(value);
    return Number.isSafeInteger(number) ? hashOfValue(number, seed) : hashOfText(`${value}`, seed ^ START.bigint);
  }
  if (Array.isArray(value)) {
    let hash = seed ^ START.array;
    for (const item of value) hash = avalanche(hashOfValue(item, hash));
    return Math.imul(hash ^ value.length, PRIME);
  }
  // A schema may have made one of a text; it has no keys of its own.
  if (value instanceof Date) return hashOfValue(value.getTime(), seed ^ START.date);
  if (typeof value === 'object' && value !== null) {
    return Math.imul(seed ^ contentHash(value as Readonly<Record<string, unknown>>), PRIME);
  }
  return Math.imul(seed ^ (value === true ? START.true : value === false ? START.false : START.null), PRIME);
}

/** FNV-1a over UTF-16 code units, two at a time. */
function hashOfText(text: string, seed: number): number {
  const { length } = text;
  let hash = seed ^ length;
  let index = 0;
  for (; index < length - 1; index += 2) {
    hash = Math.imul(hash ^ text.charCodeAt(index) ^ (text.charCodeAt(index + 1) << 16), PRIME);
    hash ^= hash >>> 15;
  }
  return index < length ? Math.imul(hash ^ text.charCodeAt(index), PRIME) : hash;
}
