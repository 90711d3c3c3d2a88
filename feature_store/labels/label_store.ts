import type { EntityKey, KeyedEntity } from '#feature_store/definitions/values/entity_key';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { TimeRange } from '#feature_store/offline/offline_store';
import type { EventTime } from '#kernel/time';

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

/** What became known of entities later: what models learn to predict. */
export interface LabelStore {
  write(source: string, labels: readonly LabelRow[]): Promise<void>;
  /** Returns labels of a source in [from, to), by time. */
  read(source: string, range: TimeRange): Promise<readonly LabelRow[]>;
  /**
   * Returns labels that a query of the store's database gives: entity_key or the join keys, event_time, label, label_id; its other columns are the request.
   *
   * @param of - the entity that the keys identify
   */
  query(query: string, range: TimeRange, of: KeyedEntity): Promise<readonly LabelRow[]>;
}
