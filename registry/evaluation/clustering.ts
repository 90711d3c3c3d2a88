import type { RowValues } from '../packages/model_package.ts';
import type { TaskEvaluation } from './evaluation.ts';

/** What a row is described by: a column with its values, NaN where missing. */
export interface Profile {
  readonly name: string;
  readonly values: ArrayLike<number>;
}

/**
 * How well rows lie in their clusters, and what the clusters are like.
 *
 * The silhouette is the simplified one (Hruschka, de Castro and Campello, 2004): by distances to centres, not to all other rows.
 *
 * @param distances - [rows, clusters], row-major
 */
export function evaluateClusters(
  distances: RowValues,
  clusters: readonly string[],
  profiles: readonly Profile[],
): TaskEvaluation {
  const width = clusters.length;
  const rows = distances.length / width;
  const sizes = new Array<number>(width).fill(0);
  const sums = profiles.map(() => clusters.map(() => ({ sum: 0, n: 0 })));
  let [silhouettes, nearestDistances] = [0, 0];
  for (let row = 0; row < rows; row += 1) {
    let nearest = 0;
    let second = Number.POSITIVE_INFINITY;
    for (let cluster = 1; cluster < width; cluster += 1) {
      const distance = distances[row * width + cluster] as number;
      const best = distances[row * width + nearest] as number;
      if (distance < best) {
        second = best;
        nearest = cluster;
      } else if (distance < second) second = distance;
    }
    const best = distances[row * width + nearest] as number;
    sizes[nearest] = (sizes[nearest] as number) + 1;
    nearestDistances += best;
    if (second > 0 && second !== Number.POSITIVE_INFINITY) silhouettes += (second - best) / second;
    for (const [at, { values }] of profiles.entries()) {
      const value = values[row] as number;
      if (Number.isNaN(value)) continue;
      const held = (sums[at] as (typeof sums)[number])[nearest] as { sum: number; n: number };
      held.sum += value;
      held.n += 1;
    }
  }
  return {
    metrics: {
      simplified_silhouette: silhouettes / rows,
      mean_distance: nearestDistances / rows,
      smallest_share: Math.min(...sizes) / rows,
      largest_share: Math.max(...sizes) / rows,
    },
    charts: [
      {
        title: 'Rows by cluster',
        ...{ x: 'cluster', y: 'rows', kind: 'bars' },
        series: [{ name: 'rows', points: sizes.map((size, cluster) => [cluster + 1, size] as const) }],
      },
    ],
    tables: [
      {
        title: 'Means by cluster',
        columns: ['column', ...clusters],
        rows: profiles.map(({ name }, at) => [
          name,
          ...(sums[at] as (typeof sums)[number]).map(({ sum, n }) => (n === 0 ? '' : sum / n)),
        ]),
      },
    ],
  };
}
