import type { SqlStatement } from '#feature_store/database/sql_executor';

/** Serializes what changes how many runs of a workflow run. */
export const lockWorkflow = (workflow: string): SqlStatement => ({
  text: `SELECT pg_advisory_xact_lock(hashtextextended('headwater workflow ' || $1, 0))`,
  parameters: [workflow],
});

const ADMIT = `
WITH running AS (
  SELECT concurrency_key, count(*) AS runs FROM workflow_runs WHERE workflow = $1 AND status = 'running' GROUP BY concurrency_key
), waiting AS (
  SELECT id, concurrency_key, most_runs, most_runs_of_key, queued_at,
    row_number() OVER (PARTITION BY concurrency_key ORDER BY queued_at, id) AS of_key
  FROM workflow_runs WHERE workflow = $1 AND status = 'queued'
), allowed AS (
  SELECT w.id, w.most_runs, row_number() OVER (ORDER BY w.queued_at, w.id) AS place
  FROM waiting w LEFT JOIN running r USING (concurrency_key)
  WHERE w.most_runs_of_key IS NULL OR w.of_key + coalesce(r.runs, 0) <= w.most_runs_of_key
), admitted AS (
  UPDATE workflow_runs r SET status = 'running', started_at = now(), deadline = now() + r.timeout_ms * interval '1 millisecond'
  FROM allowed a
  WHERE r.id = a.id AND (a.most_runs IS NULL OR a.place + (SELECT coalesce(sum(runs), 0) FROM running) <= a.most_runs)
  RETURNING r.id
), logged AS (
  INSERT INTO workflow_events (run_id, kind) SELECT id, 'run_started' FROM admitted
)
UPDATE workflow_frames f SET due = now(), entered_at = now() FROM admitted WHERE f.run_id = admitted.id AND f.path = ''
RETURNING f.run_id`;

/** Starts queued runs of a workflow, the oldest first, as far as its limits allow. */
export const admitStatements = (workflow: string): readonly SqlStatement[] => [
  lockWorkflow(workflow),
  { text: ADMIT, parameters: [workflow] },
];
