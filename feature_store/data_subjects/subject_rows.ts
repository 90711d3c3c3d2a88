import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { JsonObject } from '#kernel/json';

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

/** Rows of one entity in every table of the offline database. */
export interface SubjectRows {
  /**
   * Deletes the rows of an entity in every table, in one transaction; with `dryRun` only counts them.
   *
   * @param joinKeys - join keys with their values as strings: predictions and labels whose inputs hold all of them are the entity's too
   */
  erase(entityKey: EntityKey, dryRun: boolean, joinKeys?: JoinKeyValues): Promise<Erased>;
  /** Returns rows of a table that are an entity's, as JSON, `limit` after the first `offset`, in a stable order. */
  read(
    table: EntityTable,
    entityKey: EntityKey,
    joinKeys: JoinKeyValues,
    page: { readonly offset: number; readonly limit: number },
  ): Promise<readonly JsonObject[]>;
}
