import type { ColumnDrift } from './column_drift.ts';

/** A column of a window of predictions, compared with the training set; `prediction` compares scores with those of the version's first window. */
export interface DriftedColumn extends ColumnDrift {
  readonly column: string;
  readonly kind: 'feature' | 'prediction';
}

export interface DriftReport {
  readonly model: string;
  readonly version: number;
  readonly windowStartMs: number;
  readonly windowMs: number;
  /** Predictions of the window so far. */
  readonly rows: number;
  readonly columns: readonly DriftedColumn[];
  readonly reportedAtMs: number;
}
