/** Returns the share of the relevant items that are among the first k. */
export function recallAt(k: number, ranked: readonly string[], relevant: ReadonlySet<string>): number {
  return ranked.slice(0, k).filter((item) => relevant.has(item)).length / relevant.size;
}

/** Returns the normalised discounted cumulative gain of the first k, with gains of 0 and 1 (Järvelin and Kekäläinen, 2002). */
export function ndcgAt(k: number, ranked: readonly string[], relevant: ReadonlySet<string>): number {
  const discount = (rank: number): number => 1 / Math.log2(rank + 2);
  const gained = ranked.slice(0, k).reduce((sum, item, rank) => sum + (relevant.has(item) ? discount(rank) : 0), 0);
  const best = Array.from({ length: Math.min(k, relevant.size) }, (_, rank) => discount(rank));
  return gained / best.reduce((sum, gain) => sum + gain, 0);
}
