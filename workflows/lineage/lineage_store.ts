import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { LineageOfRun } from './open_lineage.ts';

const OF_RUN = `
  SELECT r.id AS run, r.workflow AS job, r.status AS outcome, to_json(coalesce(r.started_at, r.queued_at))#>>'{}' AS "startedAt",
    to_json(r.ended_at)#>>'{}' AS "endedAt", coalesce(d.datasets, '[]'::jsonb) AS datasets
  FROM workflow_runs r LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('direction', direction, 'name', name, 'version', version) ORDER BY direction, name, version) AS datasets
    FROM workflow_datasets WHERE run_id = r.id
  ) d ON true`;

/** Reads what a run has read and made; undefined for a run that does not exist. */
export async function lineageOfRun(sql: SqlExecutor, run: string): Promise<LineageOfRun | undefined> {
  const [found] = await sql.query<LineageOfRun>(`${OF_RUN} WHERE r.id = $1`, [run]);
  return found;
}

/** Reads runs that have ended and whose events were not sent, the first that ended first. */
export const unsentLineage = (sql: SqlExecutor, limit: number): Promise<readonly LineageOfRun[]> =>
  sql.query<LineageOfRun>(
    `${OF_RUN} WHERE r.ended_at IS NOT NULL AND r.lineage_sent_at IS NULL ORDER BY r.ended_at LIMIT $1`,
    [limit],
  );

/** Keeps that the events of a run were sent, unless it was redriven meanwhile. */
export async function markLineageSent(sql: SqlExecutor, { run, endedAt }: LineageOfRun): Promise<void> {
  await sql.query('UPDATE workflow_runs SET lineage_sent_at = now() WHERE id = $1 AND ended_at = $2::timestamptz', [
    run,
    endedAt,
  ]);
}
