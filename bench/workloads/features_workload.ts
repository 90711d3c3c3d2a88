import { account, transactions } from '#examples/fraud/features/transactions';
import { count, mean, session, sum } from '#feature_store/definitions/aggregations';
import { field, hourOfDay, isWeekend } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { eventTime, processingTime } from '#kernel/time';

/** Fifteen features of an account. */
export const fifteen = featureView({
  name: 'fifteen',
  version: 1,
  entity: account,
  source: transactions,
  ttl: '30d',
  owner: 'bench',
  description: 'fifteen features',
  features: {
    amount: field('amount', 'double', 'Amount'),
    merchant_category: field('merchant_category', 'string', 'Category'),
    hour_of_day: hourOfDay(),
    is_weekend: isWeekend(),
    ...count().over('1h', '24h', '7d'),
    ...sum('amount').over('1h', '24h', '7d'),
    ...mean('amount').over('24h', '7d'),
    ...session('30m'),
  },
});

export const entityOf = (index: number): string => `account-${index}`;

/** Its key. */
export const keyOf = (id: string): EntityKey => entityKeyFromId(fifteen, id);

export function rowOf(entity: string, timeMs: number, seed: number): FeatureRow {
  const values = Object.fromEntries(
    Object.entries(fifteen.features).map(([name, { type }], index) => {
      if (type === 'boolean') return [name, (seed + index) % 2 === 0];
      return [name, type === 'string' ? 'grocery' : Math.round(((seed * 7_919 + index * 104_729) % 100_000) / 7) / 100];
    }),
  );
  const { view, version } = fifteen;
  return {
    view,
    version,
    entityKey: keyOf(entity),
    eventTime: eventTime(timeMs),
    computedAt: processingTime(timeMs),
    values,
  };
}

/** Ranks by Zipf's law with exponent `s`, by looking up cumulated shares. */
export function zipf(ranks: number, s: number, random: () => number): () => number {
  const cumulated = new Float64Array(ranks);
  let total = 0;
  for (let rank = 0; rank < ranks; rank += 1) {
    total += 1 / (rank + 1) ** s;
    cumulated[rank] = total;
  }
  return () => {
    const wanted = random() * total;
    let [low, high] = [0, ranks - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulated[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** Marsaglia's xorshift32: the same numbers in every run. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1))] as number;
}
