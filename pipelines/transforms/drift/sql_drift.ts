import { upsertStatement } from '#connectors/postgres/upsert';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { DriftReport } from '#monitoring/drift/drift_report';
import type { DriftFilter, DriftStore, JudgedPrediction, ScoresQuery, VersionOfModel } from './drift_store.ts';

// How models fare, in SQL.

const UPSERT_REPORTS = upsertStatement({
  table: 'drift_reports',
  columns: ['model', 'version', 'window_start', 'window_ms', 'rows', 'columns', 'reported_at'],
  key: ['model', 'version', 'window_ms', 'window_start'],
  source: 'jsonb_to_recordset($1::jsonb)',
  types: {
    ...{ model: 'text', version: 'integer', window_start: 'timestamptz', window_ms: 'bigint', rows: 'integer' },
    ...{ columns: 'jsonb', reported_at: 'timestamptz' },
  },
  replace: 'always',
});

async function writeDriftReports(sql: SqlExecutor, reports: readonly DriftReport[]): Promise<void> {
  const batch = reports.map(({ model, version, windowStartMs, windowMs, rows, columns, reportedAtMs }) => ({
    ...{ model, version, rows, columns, window_ms: windowMs },
    window_start: new Date(windowStartMs),
    reported_at: new Date(reportedAtMs),
  }));
  await sql.query(UPSERT_REPORTS, [JSON.stringify(batch)]);
}

/** The newest windows first. */
async function listDriftReports(
  sql: SqlExecutor,
  { model, version, sinceMs, limit }: DriftFilter,
): Promise<readonly DriftReport[]> {
  interface Stored extends Pick<DriftReport, 'model' | 'version' | 'rows' | 'columns'> {
    readonly start_ms: string;
    readonly window_ms: string;
    readonly reported_ms: string;
  }
  const rows = await sql.query<Stored>(
    `SELECT model, version, rows, columns, window_ms::text, (extract(epoch FROM window_start) * 1000)::bigint::text AS start_ms,
            (extract(epoch FROM reported_at) * 1000)::bigint::text AS reported_ms
     FROM drift_reports
     WHERE ($1::text IS NULL OR model = $1) AND ($2::integer IS NULL OR version = $2)
       AND ($3::timestamptz IS NULL OR window_start >= $3)
     ORDER BY window_start DESC, model, version DESC LIMIT $4`,
    [model ?? null, version ?? null, sinceMs === undefined ? null : new Date(sinceMs), limit],
  );
  return rows.map(({ start_ms, window_ms, reported_ms, ...report }) => ({
    ...report,
    windowStartMs: Number(start_ms),
    windowMs: Number(window_ms),
    reportedAtMs: Number(reported_ms),
  }));
}

/** The newest predictions of each version whose outcome was reported since then, at most so many of a version. */
async function judgedPredictions(
  sql: SqlExecutor,
  sinceMs: number,
  limit: number,
  of: VersionOfModel | undefined,
): Promise<readonly JudgedPrediction[]> {
  return sql.query<JudgedPrediction>(
    `SELECT model, version, prediction, probabilities, label, value FROM (
       SELECT p.model_name AS model, p.model_version AS version, p.prediction, p.probabilities, f.label, f.value,
              row_number() OVER (PARTITION BY p.model_name, p.model_version ORDER BY p.predicted_at DESC) AS place
       FROM prediction_feedback f JOIN predictions p ON p.prediction_id = f.request_id AND p.row_index = f.row_index
       WHERE f.received_at >= $1 AND ($3::text IS NULL OR (p.model_name = $3 AND p.model_version = $4))
     ) judged WHERE place <= $2`,
    [new Date(sinceMs), limit, of?.model ?? null, of?.version ?? null],
  );
}

async function scores(
  sql: SqlExecutor,
  { model, version }: VersionOfModel,
  { sinceMs, order, limit }: ScoresQuery,
): Promise<readonly number[]> {
  const rows = await sql.query<{ readonly probabilities: Readonly<Record<string, number>> }>(
    `SELECT probabilities FROM predictions
     WHERE model_name = $1 AND model_version = $2 AND predicted_at >= $3 AND probabilities IS NOT NULL
     ORDER BY predicted_at ${order === 'oldest' ? 'ASC' : 'DESC'} LIMIT $4`,
    [model, version, new Date(sinceMs), limit],
  );
  return rows.flatMap(({ probabilities }) => {
    const values = Object.values(probabilities);
    return values.length === 2 ? [values[1] as number] : [];
  });
}

export const sqlDriftStore = (sql: SqlExecutor): DriftStore => ({
  write: (reports) => writeDriftReports(sql, reports),
  list: (filter) => listDriftReports(sql, filter),
  judgedPredictions: (sinceMs, limit, of) => judgedPredictions(sql, sinceMs, limit, of),
  scores: (of, query) => scores(sql, of, query),
});
