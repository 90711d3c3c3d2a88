import type { EntityKey } from '#feature_store/definitions/values/entity_key';

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
  /** That assigned it; undefined when there was none. */
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

export interface PredictionFilter {
  readonly limit: number;
  readonly modelName?: string;
  /** Of one of these. */
  readonly entityKeys?: readonly EntityKey[];
  readonly sinceMs?: number;
  /** Before this time. */
  readonly untilMs?: number;
}

/** Where reading predictions in the order of their times stands: after this row. */
export type PredictionPosition = Pick<PredictionRow, 'predictedAtMs' | 'predictionId' | 'rowIndex'>;

/** A page of a model's predictions, the oldest first. */
export interface PredictionPage {
  readonly modelName: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** The last row of the page before; undefined: of the first page. */
  readonly after: PredictionPosition | undefined;
  readonly limit: number;
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

export interface VersionCount {
  readonly model: string;
  readonly version: number;
  readonly rows: number;
}

/** Every prediction that was answered, for audit and monitoring. */
export interface PredictionStore {
  /** Keeps predictions; repeating a row changes nothing. */
  write(rows: readonly NewPrediction[]): Promise<void>;
  count(): Promise<number>;
  /** Returns how many rows each version has answered since a time. */
  countByVersion(sinceMs: number): Promise<readonly VersionCount[]>;
  /** Returns the newest predictions first. */
  list(filter: PredictionFilter): Promise<readonly PredictionRow[]>;
  /** Returns the rows of the answers that an id names, as the platform or the caller gave it: the newest answer first, its rows in order. */
  named(id: string, limit: number): Promise<readonly PredictionRow[]>;
  /** Returns a page in the order of times, ids and rows. */
  page(page: PredictionPage): Promise<readonly PredictionRow[]>;
  /** Returns every prediction that has one of these request ids and rows, the oldest first. */
  find(rows: readonly RequestRow[]): Promise<readonly NamedPrediction[]>;
  /** Returns the models that answered each request, of those that are stored. */
  modelsOfRequests(requestIds: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
}
