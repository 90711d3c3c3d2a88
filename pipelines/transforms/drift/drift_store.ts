import type { DriftReport } from '#monitoring/drift/drift_report';

export interface DriftFilter {
  readonly model?: string | undefined;
  readonly version?: number | undefined;
  readonly sinceMs?: number | undefined;
  readonly limit: number;
}

/** A prediction, and how it turned out. */
export interface JudgedPrediction {
  readonly model: string;
  readonly version: number;
  readonly prediction: string;
  readonly probabilities: Readonly<Record<string, number>> | null;
  readonly label: string | null;
  readonly value: number | null;
}

/** How predictions compare with training, window by window. */
export interface DriftStore {
  /** Keeps reports; a window that is written again replaces itself. */
  write(reports: readonly DriftReport[]): Promise<void>;
  /** Returns the newest windows first. */
  list(filter: DriftFilter): Promise<readonly DriftReport[]>;
  /** Returns predictions whose outcome was received since then, the newest `limit` of each version. */
  judgedPredictions(sinceMs: number, limit: number): Promise<readonly JudgedPrediction[]>;
}
