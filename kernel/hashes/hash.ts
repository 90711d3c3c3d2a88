/**
 * Hashes a string to 32 bits without sign: FNV-1a over UTF-16 code units, then {@link avalanche}, so that low bits are usable for partitioning.
 * Stable across releases: partition of a key, shard of a key and variant of an entity depend on it.
 */
export function stableHash32(text: string, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return avalanche(hash) >>> 0;
}

/** Mixes 32 bits so that each depends on all: the finaliser of MurmurHash3 (Appleby, fmix32). Returns a signed integer. */
export function avalanche(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
