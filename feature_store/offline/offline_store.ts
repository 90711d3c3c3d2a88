import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow, FeatureValue, ViewReference } from '#feature_store/definitions/values/feature_row';
import type { EventTime, ProcessingTime } from '#kernel/time';

/** Event times in [from, to). */
export interface TimeRange {
  readonly from: EventTime;
  readonly to: EventTime;
}

/** An entity at a time. */
export interface Moment {
  readonly entityKey: EntityKey;
  readonly eventTime: EventTime;
}

/** Which rows of a view a point-in-time join may use. */
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

/** A page of rows: how many, and after which. */
export interface RowPage {
  readonly limit: number;
  /** The last row of the page before. */
  readonly after: FeatureRow | undefined;
}

/** Who writes rows. */
export interface RowWriter {
  /** Id of a back-fill; undefined: the stream. */
  readonly backfill?: string | undefined;
}

/** What the stream has written without the events of before, to be replaced by what a back-fill has computed. */
export interface BackfillSettlement {
  readonly backfill: string;
  /** Since when the stream has computed the view, or these features. */
  readonly sinceMs: number;
  /** When the rows that change count as computed. */
  readonly computedAt: ProcessingTime;
  /** Those that were back-filled beside the others; undefined: all. */
  readonly features?: readonly string[] | undefined;
  /** Since which event time the back-fill has read all events; undefined: not known. Minus infinity: of all times. */
  readonly completeSinceMs?: number | undefined;
}

/** History of every feature row. Writes are idempotent upserts. */
export interface OfflineStore {
  write(rows: readonly FeatureRow[], writer?: RowWriter): Promise<void>;
  /**
   * Writes some features of rows that hold all of them: in a row that is there, the others stay; one that is new has the others of the newest row before it, or its own where there
   * is none. What a row held before stays as a revision.
   */
  writeFeatures(rows: readonly FeatureRow[], names: readonly string[], writer?: RowWriter): Promise<void>;
  /**
   * Of the rows that the stream has computed since a view was new, makes those a back-fill has not computed what it says of their time: a row that the stream replaced is restored, one at a time for
   * which the back-fill has none is removed or, of some features, gets theirs as of its time. Rows before the back-fill's first of an entity stay where it may lack events of their time; otherwise the back-fill has none for them. To be called while the stream does not write.
   *
   * @returns how many rows were changed
   */
  settleBackfill(view: ViewReference, settlement: BackfillSettlement): Promise<number>;
  /** For each moment, in order: values of the newest row at or before it; undefined where none was known then. */
  pointInTimeJoin(
    moments: readonly Moment[],
    query: PointInTimeQuery,
  ): Promise<readonly (Readonly<Record<string, FeatureValue>> | undefined)[]>;
  countRows(view: ViewReference): Promise<number>;
  /** Event times of its oldest and newest row; undefined when there is none. */
  timesOf(view: ViewReference): Promise<{ readonly oldest: EventTime; readonly newest: EventTime } | undefined>;
  /** The newest row of each of the next `limit` entities, by key; `after` is the last key of the page before. */
  newestRows(
    view: ViewReference,
    page: { readonly after?: EntityKey; readonly limit: number },
  ): Promise<readonly FeatureRow[]>;
  /** The newest row of each of these entities, in any order; those without one are left out. */
  newestOf(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly FeatureRow[]>;
  /** The newest row of an entity at or before a time; undefined where there is none. */
  newestBy(view: ViewReference, moment: Moment): Promise<FeatureRow | undefined>;
  /** Some of a view's entities, at random, at most so many. */
  sampleEntities(view: ViewReference, most: number): Promise<readonly EntityKey[]>;
  /**
   * Rows computed at `sinceMs` or later whose event time is at most two days older than that, by entity and time; `after` is the last row of
   * the page before.
   */
  rowsComputedSince(view: ViewReference, sinceMs: number, page: RowPage): Promise<readonly FeatureRow[]>;
  /** Rows with event times in [from, to), by entity and time; `after` is the last row of the page before. */
  rowsBetween(view: ViewReference, range: TimeRange, page: RowPage): Promise<readonly FeatureRow[]>;
  /** Deletes an entity's feature rows that were computed at that time or before. @returns how many */
  eraseRowsComputedBy(entityKey: EntityKey, computedAtMs: number): Promise<number>;
}
