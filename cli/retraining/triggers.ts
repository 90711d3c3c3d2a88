import { aucStandardError } from '#monitoring/drift/estimated_performance';
import type { Retraining } from '../project/config/retraining_config.ts';
import { type Deciding, gainOf } from './compare_versions.ts';
import type { Trigger } from './retraining_run.ts';

/** A metric with how far chance alone moves it. */
export interface Measured {
  readonly value: number;
  readonly standardError: number;
}

/** What is known of a model at a check. */
export interface RetrainingFacts {
  readonly version: number;
  /** What decides; undefined where the version in production has no such metric. */
  readonly deciding: Deciding | undefined;
  /** What the version was judged by after its training. */
  readonly reference: number | undefined;
  /** Columns of inputs that had drifted, of the newest windows, the newest first. */
  readonly drifted: readonly (readonly string[])[];
  /** By what came true; undefined: too few outcomes are known. */
  readonly live: (Measured & { readonly outcomes: number }) | undefined;
  /** Area under the curve without labels, and of the version's first predictions; undefined: too few predictions. */
  readonly estimated: (Measured & { readonly first: number; readonly rows: number }) | undefined;
  /** Labels in the training window. */
  readonly labels: number;
  /** Labels since the newest version was registered. */
  readonly newLabels: number;
}

/** Standard errors that a drop must exceed besides: chance alone reaches it at one check of a thousand. */
const SURE = 3.1;

/** Returns why a model is to be trained again now; undefined: no trigger holds. */
export function triggerOf({ triggers }: Pick<Retraining, 'triggers'>, facts: RetrainingFacts): Trigger | undefined {
  const { deciding, reference, live, estimated, drifted, newLabels, version } = facts;
  const { performance, estimated: estimate, drift } = triggers;
  if (performance !== undefined && deciding !== undefined && live !== undefined && reference !== undefined) {
    const loss = -gainOf(deciding, live.value, reference);
    const allowed = deciding.better === 'lower' ? performance.drop * Math.abs(reference) : performance.drop;
    if (loss > allowed && loss > SURE * live.standardError) {
      const now = `${deciding.metric} ${shown(live.value)} by ${live.outcomes} outcomes`;
      return { kind: 'performance', detail: `${now}; version ${version} was judged at ${shown(reference)}` };
    }
  }
  if (estimate !== undefined && estimated !== undefined) {
    const loss = estimated.first - estimated.value;
    if (loss > estimate.drop && loss > SURE * estimated.standardError) {
      const now = `auc is estimated at ${shown(estimated.value)} over ${estimated.rows} predictions`;
      return { kind: 'estimated', detail: `${now}; ${shown(estimated.first)} when version ${version} was new` };
    }
  }
  if (drift !== undefined) {
    const newest = drifted.slice(0, drift.windows);
    if (newest.length === drift.windows && newest.every((columns) => columns.length >= drift.columns)) {
      return { kind: 'drift', detail: `${newest[0]?.join(', ')} drifted in the newest ${drift.windows} windows` };
    }
  }
  if (triggers.newLabels !== undefined && newLabels >= triggers.newLabels) {
    return { kind: 'new_labels', detail: `${newLabels} labels since the newest version` };
  }
  return undefined;
}

const shown = (value: number): string => value.toPrecision(4);

/** Returns how far chance alone moves a metric of so many rows. */
export function standardErrorOf(
  metric: string,
  value: number,
  { positives, negatives }: { readonly positives: number; readonly negatives: number },
): number {
  const rows = Math.max(1, positives + negatives);
  if (metric === 'auc') return aucStandardError(value, Math.max(1, positives), Math.max(1, negatives));
  if (value >= 0 && value <= 1) return Math.sqrt((value * (1 - value)) / rows);
  // Of a root mean square of errors that are about normal.
  return value / Math.sqrt(2 * rows);
}
