/** How a prediction turned out. */
export interface FeedbackRow {
  readonly predictionId: string;
  readonly rowIndex: number;
  /** What the prediction should have been. */
  readonly label?: string | undefined;
  /** What came of it: 1 for success, an amount of money. */
  readonly value?: number | undefined;
  readonly receivedAtMs: number;
}

export interface OutcomesQuery {
  readonly model: string;
  readonly experiment: string;
  /** What is summed: the feedback's value, or whether its label was the prediction. */
  readonly outcome: 'value' | 'correct';
  readonly sinceMs?: number | undefined;
}

/** Sums over the entities that a variant has answered; a prediction without an entity counts as one of its own. */
export interface ExperimentOutcomes {
  readonly variant: string;
  readonly predictions: number;
  readonly assignedUnits: number;
  /** Those of which an outcome is known. */
  readonly units: number;
  readonly outcomes: number;
  readonly total: number;
  readonly totalSquared: number;
  readonly outcomesSquared: number;
  readonly product: number;
}

/** How predictions turned out. */
export interface FeedbackStore {
  /** Keeps outcomes; of several about one prediction, the newest. */
  write(rows: readonly FeedbackRow[]): Promise<void>;
  /** Returns what is known of rows of answers, by the platform's ids. */
  read(rows: readonly Pick<FeedbackRow, 'predictionId' | 'rowIndex'>[]): Promise<readonly FeedbackRow[]>;
  experimentOutcomes(query: OutcomesQuery): Promise<readonly ExperimentOutcomes[]>;
}
