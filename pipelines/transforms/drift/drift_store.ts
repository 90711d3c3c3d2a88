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

export interface VersionOfModel {
  readonly model: string;
  readonly version: number;
}

export interface ScoresQuery {
  readonly sinceMs: number;
  readonly order: 'oldest' | 'newest';
  readonly limit: number;
}

/** How predictions compare with training, window by window. */
export interface DriftStore {
  /** Keeps reports; a window that is written again replaces itself. */
  write(reports: readonly DriftReport[]): Promise<void>;
  /** Returns the newest windows first. */
  list(filter: DriftFilter): Promise<readonly DriftReport[]>;
  /** Returns predictions whose outcome was received since then, the newest `limit` of each version; or of one version alone. */
  judgedPredictions(sinceMs: number, limit: number, of?: VersionOfModel): Promise<readonly JudgedPrediction[]>;
  /**
   * Returns the probabilities that a version of two classes gave one of them, the same in each row, of its oldest or newest predictions since then. The database
   * keeps no order of classes, and areas under the curve need none.
   */
  scores(of: VersionOfModel, query: ScoresQuery): Promise<readonly number[]>;
}
