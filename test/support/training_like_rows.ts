import { readFileSync } from 'node:fs';
import type { FeatureStatistics } from '#feature_store/aggregation/statistics';
import { assetPath } from '#kernel/project_root';
import type { Random } from '#kernel/random';

const STATISTICS = JSON.parse(
  readFileSync(assetPath('examples/fraud/models/fraud_detector/statistics.json'), 'utf8'),
) as Readonly<Record<string, FeatureStatistics>>;

/** Columns of the shipped fraud detector, each distributed as in its training set, whatever the others are. */
export function trainingLikeRow(random: Random): Record<string, number | string | boolean> {
  return Object.fromEntries(
    Object.entries(STATISTICS).map(([column, { quantiles, top }]) => [
      column,
      quantiles.length > 0
        ? (quantiles[Math.ceil(random.next() * (quantiles.length - 1))] as number)
        : oneOf(top, random),
    ]),
  );
}

function oneOf(top: FeatureStatistics['top'], random: Random): string | boolean {
  let left = random.next();
  const [value] =
    top.find(([, share]) => {
      left -= share;
      return left < 0;
    }) ?? (top[0] as (typeof top)[number]);
  return value === 'true' || value === 'false' ? value === 'true' : value;
}
