import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { JsonObject } from '#kernel/json';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { EntityTable, Erased, JoinKeyValues, SubjectRows } from './subject_rows.ts';

// What is known of one entity, in SQL.

interface Subject {
  readonly entityKey: EntityKey;
  readonly joinKeys: JoinKeyValues;
}

/** $1 the key, $2 names and $3 values of the join keys: rows under the key, and those whose inputs hold all of its join keys. */
const isOf = (inputs: string): string =>
  `(entity_key = $1 OR cardinality($2::text[]) > 0 AND NOT EXISTS (
     SELECT 1 FROM unnest($2::text[], $3::text[]) AS k(name, value) WHERE ${inputs} ->> k.name IS DISTINCT FROM k.value))`;

/** Rows under the key alone; the other parameters are named so that each statement has three. */
const isUnderKey = 'entity_key = $1 AND ($2::text[] IS NOT NULL OR $3::text[] IS NOT NULL)';

const ROWS_OF: Readonly<Record<EntityTable, string>> = {
  feature_rows: `FROM feature_rows r WHERE ${isUnderKey}`,
  feature_row_revisions: `FROM feature_row_revisions r WHERE ${isUnderKey}`,
  predictions: `FROM predictions r WHERE ${isOf('features')}`,
  prediction_feedback: `FROM prediction_feedback r WHERE EXISTS (
    SELECT 1 FROM predictions p WHERE p.prediction_id = r.request_id AND p.row_index = r.row_index AND ${isOf('p.features')})`,
  labels: `FROM labels r WHERE ${isOf('request')}`,
};

/** Copies of what the newest feature rows hold. */
const ERASED_EMBEDDINGS = ', near AS (DELETE FROM feature_embeddings WHERE entity_key = $1)';

const ORDER_OF: Readonly<Record<EntityTable, string>> = {
  feature_rows: 'r.view, r.version, r.event_time',
  feature_row_revisions: 'r.view, r.version, r.event_time, r.computed_at',
  predictions: 'r.predicted_at, r.prediction_id, r.row_index',
  prediction_feedback: 'r.request_id, r.row_index',
  labels: 'r.source, r.label_id',
};

const parametersOf = ({ entityKey, joinKeys }: Subject): readonly unknown[] => [
  entityKey,
  Object.keys(joinKeys),
  Object.values(joinKeys),
];

/** Everything in one statement: an entity is gone, or it is as it was. */
async function eraseEntity(sql: SqlExecutor, subject: Subject, dryRun: boolean): Promise<Erased> {
  const part = (table: EntityTable): string =>
    dryRun ? `SELECT 1 ${ROWS_OF[table]}` : `DELETE ${ROWS_OF[table]} RETURNING 1`;
  const [found] = await sql.query<{ rows: number; feedback: number; predictions: number; labels: number }>(
    `WITH rows AS (${part('feature_rows')}), revised AS (${part('feature_row_revisions')}), feedback AS (${part('prediction_feedback')}),
          predicted AS (${part('predictions')}), labelled AS (${part('labels')})${dryRun ? '' : ERASED_EMBEDDINGS}
     SELECT (SELECT count(*) FROM rows)::integer AS rows, (SELECT count(*) FROM feedback)::integer AS feedback,
            (SELECT count(*) FROM predicted)::integer AS predictions, (SELECT count(*) FROM labelled)::integer AS labels`,
    parametersOf(subject),
  );
  const { rows = 0, feedback = 0, predictions = 0, labels = 0 } = found ?? {};
  return { featureRows: rows, predictions, feedback, labels };
}

async function entityRows(
  sql: SqlExecutor,
  table: EntityTable,
  subject: Subject,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<readonly JsonObject[]> {
  const rows = await sql.query<{ readonly row: JsonObject }>(
    `SELECT to_jsonb(r) AS row ${ROWS_OF[table]} ORDER BY ${ORDER_OF[table]} OFFSET $4 LIMIT $5`,
    [...parametersOf(subject), offset, limit],
  );
  return rows.map(({ row }) => row);
}

export const sqlSubjectRows = (sql: SqlExecutor): SubjectRows => ({
  erase: (entityKey, dryRun, joinKeys = {}) => eraseEntity(sql, { entityKey, joinKeys }, dryRun),
  read: (table, entityKey, joinKeys, page) => entityRows(sql, table, { entityKey, joinKeys }, page),
});
