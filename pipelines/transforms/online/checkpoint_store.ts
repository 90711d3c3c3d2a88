import type { OnlineCheckpoint } from './online_learner.ts';

/** Whose weights they are. */
export interface OnlineModel {
  readonly model: string;
  /** `fraud@1` */
  readonly service: string;
}

/** How a prediction turned out, as the database has it. */
export interface Outcome {
  /** `prediction_id#row_index` */
  readonly id: string;
  readonly features: Readonly<Record<string, unknown>>;
  readonly label: string | null;
  readonly predictedAtMs: number;
  readonly receivedAtMs: number;
  /** Where the next page begins. */
  readonly place: OutcomePlace;
}

/** Time as the database writes it, and the key of the row. */
export interface OutcomePlace {
  readonly receivedAt: string;
  readonly predictionId: string;
  readonly rowIndex: number;
}

export interface OutcomesPage {
  readonly model: string;
  readonly after: OutcomePlace | undefined;
  /** Received before, ms since 1970. */
  readonly untilMs: number;
  readonly limit: number;
}

/** What online learners read and write. */
export interface CheckpointStore {
  /** Returns outcomes of a model's predictions in the order in which they were received. */
  outcomes(page: OutcomesPage): Promise<readonly Outcome[]>;
  /** Keeps checkpoints; one that is written again replaces itself. Old ones make room: the newest 200 stay, and the last of each day for 90 days. */
  write(checkpoints: readonly (OnlineModel & OnlineCheckpoint)[]): Promise<void>;
  /** Returns the newest checkpoint that has learned from no features of `beforeMs` or later; undefined where there is none. */
  newest(of: OnlineModel, beforeMs: number): Promise<OnlineCheckpoint | undefined>;
}
