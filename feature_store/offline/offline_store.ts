import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import type { EntityKey, KeyedEntity } from '#feature_store/definitions/entity_key';
import type { FeatureRow, FeatureValue, ViewReference } from '#feature_store/definitions/feature_row';
import type { ViewDescription } from '#feature_store/definitions/feature_view';
import type { Erasure, StoredErasures } from '#feature_store/erasure/erasures';
import type { JsonObject } from '#kernel/json';
import type { Service } from '#kernel/lifecycle';
import type { EventTime, ProcessingTime } from '#kernel/time';
import type { ColumnDrift } from '#monitoring/drift/column_drift';
import type { DefinitionStore } from './applied_definitions.ts';

/** Event times in [from, to). */
export interface TimeRange {
  readonly from: EventTime;
  readonly to: EventTime;
}

/** One labelled moment of one entity: "at `eventTime`, the answer turned out to be `label`". */
export interface LabelRow {
  readonly entityKey: EntityKey;
  readonly eventTime: EventTime;
  readonly label: number;
  /** Carried into the training row untouched, for slicing and audit (for example the event's id). */
  readonly labelId: string;
  /** What was known of that moment besides, for features computed on demand. */
  readonly request?: Readonly<Record<string, FeatureValue>>;
}

/** An entity at a time. */
export type Moment = Pick<LabelRow, 'entityKey' | 'eventTime'>;

export interface PointInTimeQuery {
  readonly view: ViewReference;
  /** A row older than this at label time counts as unknown; undefined: never. */
  readonly ttlMs?: number | undefined;
  /**
   * Only rows the platform had computed by then count; undefined: no limit. Guards against values that arrived late
   * being seen early.
   */
  readonly knownBy?: ProcessingTime | undefined;
  /**
   * Only rows that had been computed by their moment count: what serving could have read. For history that the stream has written; rows
   * of a back-fill were all computed later.
   */
  readonly knownAtMoment?: boolean | undefined;
}

export interface StatisticsFilter {
  readonly view?: ViewReference | undefined;
  readonly feature?: string | undefined;
  /** Windows that begin in [fromMs, toMs). */
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  readonly limit: number;
}

/** Which rows of a query come next: those after a time and id, in their order. */
export interface HistoryPage {
  readonly timestampField: string;
  readonly idField: string;
  readonly after: { readonly time: string; readonly id: string } | undefined;
  readonly limit: number;
}

/** One answered row of a prediction request, for audit and monitoring. */
export interface PredictionRow {
  /** Of the answer, given by the platform: no two answers have one. */
  readonly predictionId: string;
  /** As the caller sent it, or made for it: a caller may send one many times. */
  readonly requestId: string;
  /** Position within a batch request; 0 for single ones. */
  readonly rowIndex: number;
  readonly modelName: string;
  readonly modelVersion: number;
  /** Of an experiment; `production` when there is none. */
  readonly variant?: string | undefined;
  /** That dealt it; undefined when there was none. */
  readonly experiment?: string | undefined;
  readonly entityKey?: EntityKey | undefined;
  readonly features: Readonly<Record<string, unknown>>;
  readonly prediction: string;
  readonly probabilities?: Readonly<Record<string, number>> | undefined;
  readonly predictedAtMs: number;
}

/** A prediction on its way into the store: its features as they are, or as the JSON text that they came in. */
export interface NewPrediction extends Omit<PredictionRow, 'features'> {
  readonly features: Readonly<Record<string, unknown>> | string;
}

/** Kinds of history with how many rows of them. */
export interface Deleted {
  readonly featureRows: number;
  readonly predictions: number;
  readonly feedback: number;
  readonly labels: number;
  readonly statistics: number;
  readonly driftReports: number;
}

/** What was known of an entity, in rows. */
export interface Erased {
  readonly featureRows: number;
  readonly predictions: number;
  readonly feedback: number;
  readonly labels: number;
}

/** Join keys with their values as strings. */
export type JoinKeyValues = Readonly<Record<string, string>>;

/** Tables with rows of entities. */
export const ENTITY_TABLES = [
  'feature_rows',
  'feature_row_revisions',
  'predictions',
  'prediction_feedback',
  'labels',
] as const;
export type EntityTable = (typeof ENTITY_TABLES)[number];

/** An entry of the trail, and all before it. */
export interface AuditHash {
  readonly id: string;
  /** Hexadecimal. */
  readonly hash: string;
}

/** Whether the trail of what was done by whom is as it was written. */
export interface AuditCheck {
  readonly entries: number;
  /** Hash of the newest entry, hex: kept elsewhere, it tells later that none before it was taken away. */
  readonly head: string | undefined;
  /** Entries and rows that were changed, or are gone. */
  readonly problems: readonly string[];
}

export interface PredictionFilter {
  readonly limit: number;
  readonly modelName?: string;
  /** Of one of these. */
  readonly entityKeys?: readonly EntityKey[];
  readonly sinceMs?: number;
}

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

/** A row of a request, as callers name it. */
export interface RequestRow {
  readonly requestId: string;
  readonly rowIndex: number;
}

/** A prediction that a request id and row may mean. */
export interface NamedPrediction extends RequestRow {
  readonly predictionId: string;
  readonly modelName: string;
  readonly modelVersion: number;
  readonly predictedAtMs: number;
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

/** A change to how requests for a model are dealt to its versions. */
export interface RoutingRow {
  readonly model: string;
  /** Counts from 1; the highest holds. */
  readonly revision: number;
  readonly atMs: number;
  readonly by: string;
  readonly reason: string;
  readonly state: JsonObject;
}

/** What was done to a version of a model, by whom and why. */
export interface ModelAuditEntry {
  readonly model: string;
  readonly version: number;
  readonly action: string;
  readonly stage: string;
  /** The version that was in its place. */
  readonly replaced: number | undefined;
  readonly by: string;
  readonly reason: string;
  readonly gates: readonly object[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly atMs: number;
}

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

/** History of every feature row, in PostgreSQL (a server or PGlite). Writes are idempotent upserts. */
export interface OfflineStore extends Service, DefinitionStore {
  /** @throws {OfflineStoreError} while the database does not answer, or takes no writes */
  checkHealth(): Promise<void>;
  readonly kind: string;
  write(rows: readonly FeatureRow[]): Promise<void>;
  /**
   * Writes some features of rows that hold all of them: in a row that is there, the others stay; one that is new has the others of the newest row before it, or its own where there
   * is none. What a row held before stays as a revision.
   */
  writeFeatures(rows: readonly FeatureRow[], names: readonly string[]): Promise<void>;
  writeLabels(source: string, labels: readonly LabelRow[]): Promise<void>;
  /** Labels of a source in [from, to), by time. */
  readLabels(source: string, range: TimeRange): Promise<readonly LabelRow[]>;
  /**
   * Labels that a query of the store's database gives: entity_key or the join keys, event_time, label, label_id; its other columns are the request.
   *
   * @param of - whose keys they are
   */
  queryLabels(query: string, range: TimeRange, of: KeyedEntity): Promise<readonly LabelRow[]>;
  /** For each moment, in order: values of the newest row at or before it; undefined where none was known then. */
  pointInTimeJoin(
    moments: readonly Moment[],
    query: PointInTimeQuery,
  ): Promise<readonly (Readonly<Record<string, FeatureValue>> | undefined)[]>;
  /** Rows of a query of the store's database, by time and id. */
  readHistory(query: string, page: HistoryPage): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Keeps statistics; a window told again replaces itself. */
  writeStatistics(rows: readonly WindowStatistics[]): Promise<void>;
  /** The newest windows first. */
  listStatistics(filter: StatisticsFilter): Promise<readonly WindowStatistics[]>;
  countRows(view: ViewReference): Promise<number>;
  /** Event times of its oldest and newest row; undefined when there is none. */
  timesOf(view: ViewReference): Promise<{ readonly oldest: EventTime; readonly newest: EventTime } | undefined>;
  /** The newest row of each of the next `limit` entities, by key; `after` is the last key of the page before. */
  newestRows(
    view: ViewReference,
    page: { readonly after?: EntityKey; readonly limit: number },
  ): Promise<readonly FeatureRow[]>;
  /** Some of a view's entities, at random, at most so many. */
  sampleEntities(view: ViewReference, most: number): Promise<readonly EntityKey[]>;
  /** The newest row of each of these entities, in any order; those without one are left out. */
  newestOf(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly FeatureRow[]>;
  /**
   * Rows computed at `sinceMs` or later whose event time is at most two days older than that, by entity and time; `after` is the last row of
   * the page before.
   */
  rowsComputedSince(
    view: ViewReference,
    sinceMs: number,
    page: { readonly limit: number; readonly after: FeatureRow | undefined },
  ): Promise<readonly FeatureRow[]>;
  /** Rows with event times in [from, to), by entity and time; `after` is the last row of the page before. */
  rowsBetween(
    view: ViewReference,
    range: TimeRange,
    page: { readonly limit: number; readonly after: FeatureRow | undefined },
  ): Promise<readonly FeatureRow[]>;
  /**
   * Months of feature rows all of whose event times are older, and predictions and labels that are; deleted unless `dryRun`.
   *
   * @returns what was, or would be, deleted
   */
  deleteBefore(time: EventTime, dryRun: boolean): Promise<Deleted>;
  /**
   * Deletes all that is known of an entity, in one transaction; with `dryRun` only counts it.
   *
   * @param joinKeys - join keys with their values as strings: predictions and labels whose inputs hold all of them are the entity's too
   */
  eraseEntity(entityKey: EntityKey, dryRun: boolean, joinKeys?: JoinKeyValues): Promise<Erased>;
  /** Deletes an entity's feature rows that were computed at that time or before. @returns how many */
  eraseRowsComputedBy(entityKey: EntityKey, computedAtMs: number): Promise<number>;
  /** Removes what deleted rows have left in the store's files, where those are the store's own. */
  compact(): Promise<void>;
  /** Rows of a table that are an entity's, as JSON, `limit` after the first `offset`, in a stable order. */
  entityRows(
    table: EntityTable,
    entityKey: EntityKey,
    joinKeys: JoinKeyValues,
    page: { readonly offset: number; readonly limit: number },
  ): Promise<readonly JsonObject[]>;
  /** Erasures of that time and later. */
  readErasures(sinceMs: number): Promise<StoredErasures>;
  writeErasure(erasure: Erasure): Promise<void>;
  /** The feature pipeline has forgotten the entity. */
  markErasureApplied(erasure: Erasure): Promise<void>;
  isErasureApplied(fingerprint: string): Promise<boolean>;
  /** What a version of a view was when it was last in use; undefined when it never was. */
  readDefinition(view: ViewReference): Promise<ViewDescription | undefined>;
  writeDefinition(description: ViewDescription): Promise<void>;
  /** Keeps predictions; repeating a row changes nothing. */
  writePredictions(rows: readonly NewPrediction[]): Promise<void>;
  countPredictions(): Promise<number>;
  /** The newest predictions first. */
  listPredictions(filter: PredictionFilter): Promise<readonly PredictionRow[]>;
  /** Every prediction that has one of these request ids and rows, the oldest first. */
  findPredictions(rows: readonly RequestRow[]): Promise<readonly NamedPrediction[]>;
  writeModelAudit(entry: ModelAuditEntry): Promise<void>;
  /** The newest first. */
  listModelAudit(model: string, limit: number): Promise<readonly ModelAuditEntry[]>;
  /** @param head - a hash that an earlier check told */
  verifyAuditTrail(head?: string): Promise<AuditCheck>;
  /** Entries of the trail in their order, the first `from` left out. */
  readAuditHashes(from: number, limit: number): Promise<readonly AuditHash[]>;
  /** The newest change of each model. */
  readRouting(): Promise<readonly RoutingRow[]>;
  /** @returns false when there is a change of this revision already: nothing was written */
  appendRouting(row: RoutingRow): Promise<boolean>;
  /** The newest first. */
  listRouting(model: string, limit: number): Promise<readonly RoutingRow[]>;
  /** Keeps how predictions turned out; of several words about one, the newest. */
  writeFeedback(rows: readonly FeedbackRow[]): Promise<void>;
  /** Returns the models that answered each request, of those that are stored. */
  modelsOfRequests(requestIds: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  experimentOutcomes(query: OutcomesQuery): Promise<readonly ExperimentOutcomes[]>;
  /** Keeps how windows compare with training; a window told again replaces itself. */
  writeDriftReports(reports: readonly DriftReport[]): Promise<void>;
  /** The newest windows first. */
  listDriftReports(filter: DriftFilter): Promise<readonly DriftReport[]>;
  /** Predictions whose outcome was told since then, the newest `limit` of each version. */
  judgedPredictions(sinceMs: number, limit: number): Promise<readonly JudgedPrediction[]>;
}
