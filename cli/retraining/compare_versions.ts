import type { GatesConfig } from '#registry/lifecycle/gates_config';
import type { ModelVersion } from '#registry/model_registry';
import type { Retraining } from '../project/config/retraining_config.ts';

/** Metrics that are better when they are lower. */
const LOWER_IS_BETTER = new Set(['rmse', 'mae', 'mape', 'logloss', 'brier', 'cost_per_row']);
const USUAL = ['auc', 'accuracy', 'rmse'];

/** Which metric decides between versions of a model, and which way. */
export interface Deciding {
  readonly metric: string;
  readonly better: 'higher' | 'lower';
}

/** Returns what decides: the retraining's metric, that of the gates, or the first usual one that is known. */
export function decidingMetric(
  { metric, better }: Pick<Retraining, 'metric' | 'better'>,
  gates: Pick<GatesConfig, 'metric' | 'better'> | undefined,
  known: Readonly<Record<string, number>>,
): Deciding | undefined {
  const chosen = metric ?? gates?.metric ?? USUAL.find((name) => known[name] !== undefined);
  if (chosen === undefined) return undefined;
  const usual = LOWER_IS_BETTER.has(chosen) ? 'lower' : 'higher';
  return { metric: chosen, better: better ?? (chosen === gates?.metric ? gates.better : usual) };
}

/** Returns by how much `value` is better than `other`; below 0: worse. */
export const gainOf = ({ better }: Deciding, value: number, other: number): number =>
  better === 'higher' ? value - other : other - value;

/** Judges a version against the one in production on the same rows. */
export function judge(
  deciding: Deciding,
  metrics: Readonly<Record<string, number>>,
  champion:
    | { readonly version: ModelVersion['version']; readonly metrics: Readonly<Record<string, number>> }
    | undefined,
  minGain: number,
): { readonly isBetter: boolean; readonly reason: string } {
  const { metric } = deciding;
  const value = metrics[metric];
  if (value === undefined || Number.isNaN(value)) return { isBetter: false, reason: `it has no ${metric}` };
  const held = champion?.metrics[metric];
  const shown = value.toPrecision(4);
  if (champion === undefined || held === undefined)
    return { isBetter: true, reason: `${metric} ${shown}; nothing in production to compare with` };
  const gain = gainOf(deciding, value, held);
  const isBetter = gain > 0 && gain >= minGain;
  const against = `${metric} ${shown} against ${held.toPrecision(4)} of version ${champion.version} on the same rows`;
  return { isBetter, reason: isBetter || minGain === 0 ? against : `${against}; ${minGain} better is required` };
}
