import type { ExperimentOutcomes, FeedbackRow, OutcomesQuery } from './offline_store.ts';
import type { SqlExecutor } from './sql_executor.ts';

// How predictions turned out, in SQL.

export async function writeFeedback(sql: SqlExecutor, rows: readonly FeedbackRow[]): Promise<void> {
  // A statement may not touch one row twice: the last word counts.
  const unique = new Map(rows.map((row) => [`${row.rowIndex}|${row.predictionId}`, row]));
  const batch = [...unique.values()].map(({ predictionId, rowIndex, label, value, receivedAtMs }) => ({
    // The column is named as before there were ids of the platform's own.
    request_id: predictionId,
    row_index: rowIndex,
    label: label ?? null,
    value: value ?? null,
    received_at: new Date(receivedAtMs),
  }));
  await sql.query(
    `INSERT INTO prediction_feedback
     SELECT * FROM jsonb_to_recordset($1::jsonb) AS r(request_id text, row_index integer, label text, value double precision, received_at timestamptz)
     ON CONFLICT (request_id, row_index) DO UPDATE
     SET label = excluded.label, value = excluded.value, received_at = excluded.received_at
     WHERE prediction_feedback.received_at <= excluded.received_at`,
    [JSON.stringify(batch)],
  );
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
