/** What a customer is segmented by, with the segment. */
export interface Assigned {
  readonly customer_id: string;
  readonly segment_id: string;
  readonly recency_days: number;
  readonly frequency: number;
  readonly monetary: number;
  readonly basket: number;
}

const MEANS = ['recency_days', 'frequency', 'monetary', 'basket'] as const;
export type Profile = Readonly<Record<'size' | 'share' | (typeof MEANS)[number], number>> & {
  readonly segment_id: string;
};

/** Returns size, share and means of each segment, the largest first. */
export function profilesOf(customers: readonly Assigned[]): readonly Profile[] {
  const bySegment = new Map<string, Assigned[]>();
  for (const each of customers) {
    const others = bySegment.get(each.segment_id);
    if (others === undefined) bySegment.set(each.segment_id, [each]);
    else others.push(each);
  }
  return [...bySegment]
    .map(([segment, members]) => {
      const mean = (name: (typeof MEANS)[number]): number =>
        members.reduce((sum, member) => sum + member[name], 0) / members.length;
      return {
        ...{ segment_id: segment, size: members.length, share: members.length / customers.length },
        ...{ recency_days: mean('recency_days'), frequency: mean('frequency') },
        ...{ monetary: mean('monetary'), basket: mean('basket') },
      };
    })
    .sort((a, b) => b.size - a.size);
}

/**
 * Returns how well two groupings agree, of 1 at most; 0 on average for groupings by chance: the adjusted Rand index (Hubert and Arabie, 1985).
 *
 * @param pairs - for each member its group in one grouping and in the other
 */
export function adjustedRandIndex(pairs: readonly (readonly [string, string])[]): number {
  const both = new Map<string, number>();
  const left = new Map<string, number>();
  const right = new Map<string, number>();
  for (const [one, other] of pairs) {
    both.set(`${one}\n${other}`, (both.get(`${one}\n${other}`) ?? 0) + 1);
    left.set(one, (left.get(one) ?? 0) + 1);
    right.set(other, (right.get(other) ?? 0) + 1);
  }
  const couples = (counts: Iterable<number>): number => [...counts].reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
  const expected = (couples(left.values()) * couples(right.values())) / couples([pairs.length]);
  const largest = (couples(left.values()) + couples(right.values())) / 2;
  return largest === expected ? 1 : (couples(both.values()) - expected) / (largest - expected);
}

/** Returns the grouping of a rule without a model: quarters of the customers by the sum of their ranks in recency, frequency and money. */
export function quartersByRank(customers: readonly Assigned[]): ReadonlyMap<string, string> {
  const score = new Map<string, number>();
  const rank = (value: (each: Assigned) => number): void => {
    const sorted = [...customers].sort((a, b) => value(a) - value(b));
    for (const [at, { customer_id: id }] of sorted.entries()) score.set(id, (score.get(id) ?? 0) + at);
  };
  rank(({ recency_days: days }) => -days);
  rank(({ frequency }) => frequency);
  rank(({ monetary }) => monetary);
  const sorted = [...score].sort(([, a], [, b]) => a - b);
  return new Map(sorted.map(([id], at) => [id, `quarter_${Math.floor((4 * at) / sorted.length) + 1}`]));
}
