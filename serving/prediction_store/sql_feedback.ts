import { upsertStatement } from '#connectors/postgres/upsert';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { ExperimentOutcomes, FeedbackRow, FeedbackStore, OutcomesQuery } from './feedback_store.ts';

// How predictions turned out, in SQL.

const UPSERT_FEEDBACK = upsertStatement({
  table: 'prediction_feedback',
  columns: ['request_id', 'row_index', 'label', 'value', 'received_at'],
  key: ['request_id', 'row_index'],
  source: 'jsonb_to_recordset($1::jsonb)',
  types: {
    ...{ request_id: 'text', row_index: 'integer', label: 'text', value: 'double precision' },
    received_at: 'timestamptz',
  },
  replace: { unlessNewer: 'received_at' },
});

async function writeFeedback(sql: SqlExecutor, rows: readonly FeedbackRow[]): Promise<void> {
  const batch = rows.map(({ predictionId, rowIndex, label, value, receivedAtMs }) => ({
    // The column is named as before there were ids of the platform's own.
    request_id: predictionId,
    row_index: rowIndex,
    label: label ?? null,
    value: value ?? null,
    received_at: new Date(receivedAtMs),
  }));
  await sql.query(UPSERT_FEEDBACK, [JSON.stringify(batch)]);
}

async function readFeedback(
  sql: SqlExecutor,
  rows: readonly Pick<FeedbackRow, 'predictionId' | 'rowIndex'>[],
): Promise<readonly FeedbackRow[]> {
  const found = await sql.query<{
    readonly id: string;
    readonly row: number;
    readonly label: string | null;
    readonly value: number | null;
    readonly at: number;
  }>(
    `SELECT f.request_id AS id, f.row_index AS row, f.label, f.value, (extract(epoch FROM f.received_at) * 1000)::double precision AS at
     FROM prediction_feedback f JOIN unnest($1::text[], $2::integer[]) AS r(request_id, row_index) USING (request_id, row_index)`,
    [rows.map(({ predictionId }) => predictionId), rows.map(({ rowIndex }) => rowIndex)],
  );
  return found.map(({ id, row, label, value, at }) => ({
    ...{ predictionId: id, rowIndex: row, label: label ?? undefined, value: value ?? undefined, receivedAtMs: at },
  }));
}

/** Sums over entities: they are what variants are assigned to, and what is independent. */
async function experimentOutcomes(
  sql: SqlExecutor,
  { model, experiment, outcome, sinceMs }: OutcomesQuery,
): Promise<readonly ExperimentOutcomes[]> {
  const measured = outcome === 'correct' ? '(f.label = p.prediction)::integer' : 'f.value';
  return sql.query<ExperimentOutcomes>(
    `WITH units AS (
       SELECT p.variant, count(*) AS predictions, count(${measured})::double precision AS n,
              coalesce(sum(${measured}), 0)::double precision AS total
       FROM predictions p LEFT JOIN prediction_feedback f ON f.request_id = p.prediction_id AND f.row_index = p.row_index
       WHERE p.model_name = $1 AND p.experiment = $2 AND ($3::timestamptz IS NULL OR p.predicted_at >= $3)
       GROUP BY p.variant, coalesce(p.entity_key, p.prediction_id || '#' || p.row_index)
     )
     SELECT variant, sum(predictions)::double precision AS predictions, count(*)::double precision AS "assignedUnits",
            (count(*) FILTER (WHERE n > 0))::double precision AS units, sum(n) AS outcomes, sum(total) AS total,
            sum(total * total) AS "totalSquared", sum(n * n) AS "outcomesSquared", sum(total * n) AS product
     FROM units GROUP BY variant ORDER BY variant`,
    [model, experiment, sinceMs === undefined ? null : new Date(sinceMs)],
  );
}

export const sqlFeedbackStore = (sql: SqlExecutor): FeedbackStore => ({
  write: (rows) => writeFeedback(sql, rows),
  read: (rows) => readFeedback(sql, rows),
  experimentOutcomes: (query) => experimentOutcomes(sql, query),
});
