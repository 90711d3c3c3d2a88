import { upsertStatement } from '#connectors/postgres/upsert';
import type { FeatureStatistics, WindowStatistics } from '#feature_store/aggregation/statistics';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { StatisticsFilter, StatisticsStore } from './statistics_store.ts';

// Statistics of features, in SQL.

const UPSERT_STATISTICS = upsertStatement({
  table: 'feature_statistics',
  columns: ['view', 'version', 'feature', 'window_start', 'window_ms', 'statistics'],
  key: ['view', 'version', 'feature', 'window_ms', 'window_start'],
  source: 'jsonb_to_recordset($1::jsonb)',
  types: {
    ...{ view: 'text', version: 'integer', feature: 'text', window_start: 'timestamptz', window_ms: 'bigint' },
    statistics: 'jsonb',
  },
  replace: 'always',
  also: 'updated_at = now()',
});

async function writeStatistics(sql: SqlExecutor, rows: readonly WindowStatistics[]): Promise<void> {
  const batch = rows.map(({ view, version, feature, windowStartMs, windowMs, statistics }) => ({
    view,
    version,
    feature,
    window_start: new Date(windowStartMs),
    window_ms: windowMs,
    statistics,
  }));
  await sql.query(UPSERT_STATISTICS, [JSON.stringify(batch)]);
}

/** The newest windows first. */
async function listStatistics(
  sql: SqlExecutor,
  { view, feature, fromMs, toMs, limit }: StatisticsFilter,
): Promise<readonly WindowStatistics[]> {
  interface Stored {
    readonly view: string;
    readonly version: number;
    readonly feature: string;
    readonly at: string;
    readonly window_ms: string;
    readonly statistics: FeatureStatistics;
  }
  const rows = await sql.query<Stored>(
    `SELECT view, version, feature, (extract(epoch FROM window_start) * 1000)::bigint::text AS at, window_ms::text, statistics
     FROM feature_statistics
     WHERE ($1::text IS NULL OR (view = $1 AND version = $2)) AND ($3::text IS NULL OR feature = $3)
       AND ($4::timestamptz IS NULL OR window_start >= $4) AND ($5::timestamptz IS NULL OR window_start < $5)
     ORDER BY window_start DESC, view, version, feature
     LIMIT $6`,
    [
      view?.view ?? null,
      view?.version ?? null,
      feature ?? null,
      fromMs === undefined ? null : new Date(fromMs),
      toMs === undefined ? null : new Date(toMs),
      limit,
    ],
  );
  return rows.map(({ at, window_ms: windowMs, ...row }) => ({
    ...row,
    windowStartMs: Number(at),
    windowMs: Number(windowMs),
  }));
}

export const sqlStatisticsStore = (sql: SqlExecutor): StatisticsStore => ({
  write: (rows) => writeStatistics(sql, rows),
  list: (filter) => listStatistics(sql, filter),
});
