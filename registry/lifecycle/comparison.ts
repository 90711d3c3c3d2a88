import { z } from 'zod';
import type { ModelVersion } from '../model_registry.ts';

const metrics = z.record(z.string(), z.number());
const comparisonSchema = z.object({
  champion: z.int().positive(),
  rows: z.int().positive(),
  metrics,
  championMetrics: metrics,
});

/** What a version and the one in production came to on the same rows. */
export interface Comparison {
  /** The version in production then. */
  readonly champion: number;
  readonly rows: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly championMetrics: Readonly<Record<string, number>>;
}

/** On a version: its {@link Comparison}, as JSON. */
export const COMPARISON_TAG = 'headwater.comparison';

/** Returns how a version compares with a champion on the same rows; undefined where the two were not compared, or its tag is no comparison. */
export function comparisonWith({ tags }: ModelVersion, champion: ModelVersion | undefined): Comparison | undefined {
  const tag = tags[COMPARISON_TAG];
  if (tag === undefined || champion === undefined) return undefined;
  try {
    const parsed = comparisonSchema.safeParse(JSON.parse(tag));
    return parsed.success && parsed.data.champion === champion.version ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
