/**
 * The population stability index between two samples: Σ (p − q) ln(p / q) over bins that each hold the same share of the reference. Below 0.1 they are
 * commonly taken as alike, above 0.25 as different. Each bin counts half a value more than it has, so that an empty one does not decide everything;
 * by chance alone the index comes to about (bins − 1)(1/n + 1/m).
 *
 * @param reference - not empty; values that are no numbers are left out of both
 */
export function populationStability(reference: ArrayLike<number>, sample: ArrayLike<number>, bins = 10): number {
  const sorted = Array.from(reference)
    .filter((value) => !Number.isNaN(value))
    .sort((a, b) => a - b);
  // Upper bounds; values that are often there make fewer bins.
  const bounds = new Set<number>();
  for (let bin = 1; bin < bins; bin += 1) bounds.add(sorted[Math.floor((bin * sorted.length) / bins)] as number);
  const edges = [...bounds];
  const expected = countsIn(edges, sorted);
  const found = countsIn(edges, sample);
  return indexOf(expected, found);
}

/**
 * The same where of the reference only its shares by bin are known.
 *
 * @param shares - of the reference, adding up to 1
 * @param counts - of the sample, by the same bins
 */
export function stabilityOfShares(shares: readonly number[], counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  // An empty bin counts half a value here too.
  const half = 0.5 / Math.max(1, total);
  return indexOf(
    Float64Array.from(shares, (share) => share + half),
    Float64Array.from(counts, (count) => count + 0.5),
  );
}

function indexOf(expected: Float64Array, found: Float64Array): number {
  const all = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);
  const [expectedTotal, foundTotal] = [all(expected), all(found)];
  let index = 0;
  for (let bin = 0; bin < expected.length; bin += 1) {
    const p = (expected[bin] as number) / expectedTotal;
    const q = (found[bin] as number) / foundTotal;
    index += (p - q) * Math.log(p / q);
  }
  return index;
}

/** @param edges - ascending; a value goes to the bin of the edges that are not above it */
function countsIn(edges: readonly number[], values: ArrayLike<number>): Float64Array {
  const counts = new Float64Array(edges.length + 1).fill(0.5);
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at] as number;
    if (Number.isNaN(value)) continue;
    let bin = 0;
    while (bin < edges.length && value >= (edges[bin] as number)) bin += 1;
    counts[bin] = (counts[bin] as number) + 1;
  }
  return counts;
}
