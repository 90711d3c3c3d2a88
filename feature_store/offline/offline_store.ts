import type { FeatureRow, FeatureValue, ViewReference } from '#feature_store/definitions/feature_row';
import type { ViewDescription } from '#feature_store/definitions/feature_view';
import type { Service } from '#kernel/lifecycle';
import type { EventTime, ProcessingTime } from '#kernel/time';

/** One labelled moment of one entity: "at `eventTime`, the answer turned out to be `label`". */
export interface LabelRow {
  readonly entityKey: string;
  readonly eventTime: EventTime;
  readonly label: number;
  /** Carried into the training row untouched, for slicing and audit (for example the event's id). */
  readonly labelId: string;
}

export interface TrainingRow {
  readonly labelId: string;
  readonly entityKey: string;
  readonly eventTime: EventTime;
  readonly label: number;
  /** Feature values as of `eventTime`; null where no row was known then. Keys are feature names. */
  readonly values: Readonly<Record<string, FeatureValue>>;
}

export interface PointInTimeQuery {
  readonly view: ViewReference;
  readonly features: readonly string[];
  /** A row older than this at label time counts as unknown; undefined: never. */
  readonly ttlMs?: number | undefined;
  /**
   * Only rows the platform had computed by then count; undefined: no limit. Guards against values that arrived late
   * being seen early.
   */
  readonly knownBy?: ProcessingTime | undefined;
}

/** One answered row of a prediction request, for audit and monitoring. */
export interface PredictionRow {
  readonly requestId: string;
  /** Position within a batch request; 0 for single ones. */
  readonly rowIndex: number;
  readonly modelName: string;
  readonly modelVersion: number;
  readonly entityKey?: string | undefined;
  readonly features: Readonly<Record<string, unknown>>;
  readonly prediction: string;
  readonly probabilities?: Readonly<Record<string, number>> | undefined;
  readonly predictedAtMs: number;
}

/** Kinds of history with how many rows of them. */
export interface Deleted {
  readonly featureRows: number;
  readonly predictions: number;
  readonly labels: number;
}

export interface PredictionFilter {
  readonly limit: number;
  readonly modelName?: string;
  readonly entityKey?: string;
  readonly sinceMs?: number;
}

/** History of every feature row, in PostgreSQL (a server or PGlite). Writes are idempotent upserts. */
export interface OfflineStore extends Service {
  readonly kind: string;
  write(rows: readonly FeatureRow[]): Promise<void>;
  writeLabels(source: string, labels: readonly LabelRow[]): Promise<void>;
  /** For each label of `source` in [from, to): the newest feature row with event time <= label time. Ordered by time. */
  pointInTimeJoin(
    source: string,
    range: { readonly from: EventTime; readonly to: EventTime },
    query: PointInTimeQuery,
  ): Promise<readonly TrainingRow[]>;
  countRows(view: ViewReference): Promise<number>;
  /** Event times of its oldest and newest row; undefined when there is none. */
  timesOf(view: ViewReference): Promise<{ readonly oldest: EventTime; readonly newest: EventTime } | undefined>;
  /** The newest row of each of the next `limit` entities, by key; `after` is the last key of the page before. */
  newestRows(
    view: ViewReference,
    page: { readonly after?: string; readonly limit: number },
  ): Promise<readonly FeatureRow[]>;
  /** Some of a view's entities, at random, at most so many. */
  sampleEntities(view: ViewReference, most: number): Promise<readonly string[]>;
  /** The newest row of each of these entities, in any order; those without one are left out. */
  newestOf(view: ViewReference, entityKeys: readonly string[]): Promise<readonly FeatureRow[]>;
  /** Rows with event times in [from, to), by entity and time; `after` is the last row of the page before. */
  rowsBetween(
    view: ViewReference,
    range: { readonly from: EventTime; readonly to: EventTime },
    page: { readonly limit: number; readonly after: FeatureRow | undefined },
  ): Promise<readonly FeatureRow[]>;
  /**
   * Months of feature rows all of whose event times are older, and predictions and labels that are; deleted unless `dryRun`.
   *
   * @returns what was, or would be, deleted
   */
  deleteBefore(time: EventTime, dryRun: boolean): Promise<Deleted>;
  /** What a version of a view was when it was last in use; undefined when it never was. */
  readDefinition(view: ViewReference): Promise<ViewDescription | undefined>;
  writeDefinition(description: ViewDescription): Promise<void>;
  /** Keeps predictions; repeating a row changes nothing. */
  writePredictions(rows: readonly PredictionRow[]): Promise<void>;
  countPredictions(): Promise<number>;
  /** The newest predictions first. */
  listPredictions(filter: PredictionFilter): Promise<readonly PredictionRow[]>;
}
