import type { RetrainingReport } from '#cli/retraining/retraining_run';

/** Returns the report of a run that has promoted version 5 of a model `fraud`. */
export const retrainingReport = (changes: Partial<RetrainingReport> = {}): RetrainingReport => ({
  ...{ model: 'fraud', run: 'retrain_fraud@2026-11-29T00:00:00Z', trigger: 'call' },
  ...{ outcome: 'promoted', reason: 'better', version: 5, champion: 4, rows: 900, quarantined: 0 },
  ...{ metrics: {}, championMetrics: {}, approvedBy: 'ann', promotedAt: null },
  ...changes,
});
