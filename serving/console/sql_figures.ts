import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { FigureRange, FigureStore, Figures, TimedFigures } from './figures.ts';

// The history of the console's figures, in SQL.

async function readFigures(
  sql: SqlExecutor,
  { sinceMs, untilMs, stepMs }: FigureRange,
): Promise<readonly TimedFigures[]> {
  const rows = await sql.query<{ readonly at: string; readonly figures: Figures }>(
    `SELECT at::text, jsonb_object_agg(name, value) AS figures
     FROM (
       SELECT floor(extract(epoch FROM f.at) * 1000 / $3) * $3 AS at, each.key AS name, avg(each.value::float8) AS value
       FROM console_figures f, jsonb_each_text(f.figures) AS each
       WHERE f.at >= $1 AND f.at < $2
       GROUP BY 1, 2
     ) AS points
     GROUP BY at ORDER BY points.at`,
    [new Date(sinceMs), new Date(untilMs), stepMs],
  );
  return rows.map(({ at, figures }) => ({ atMs: Number(at), figures }));
}

export const sqlFigureStore = (sql: SqlExecutor): FigureStore => ({
  async write({ atMs, figures }) {
    await sql.query('INSERT INTO console_figures (at, figures) VALUES ($1, $2::jsonb) ON CONFLICT DO NOTHING', [
      new Date(atMs),
      JSON.stringify(figures),
    ]);
  },
  read: (range) => readFigures(sql, range),
  async deleteBefore(timeMs) {
    await sql.query('DELETE FROM console_figures WHERE at < $1', [new Date(timeMs)]);
  },
});
