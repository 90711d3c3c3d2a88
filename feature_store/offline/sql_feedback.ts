import { upsertStatement } from '#connectors/postgres/upsert';
import type { ExperimentOutcomes, FeedbackRow, OutcomesQuery } from './offline_store.ts';
import type { SqlExecutor } from './sql_executor.ts';

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

export async function writeFeedback(sql: SqlExecutor, rows: readonly FeedbackRow[]): Promise<void> {
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

export async function modelsOfRequests(
  sql: SqlExecutor,
  requestIds: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await sql.query<{ readonly id: string; readonly models: readonly string[] }>(
    `SELECT id, array_agg(DISTINCT model_name) AS models
     FROM (
       SELECT request_id AS id, model_name FROM predictions WHERE request_id = ANY($1::text[])
       UNION SELECT prediction_id, model_name FROM predictions WHERE prediction_id = ANY($1::text[])
     ) named GROUP BY id`,
    [requestIds],
  );
  return new Map(rows.map(({ id, models }) => [id, models]));
}

/** Sums over entities: they are what variants are assigned to, and what is independent. */
export async function experimentOutcomes(
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
