-- Steps that run as Kubernetes Jobs: what each is ordered to do, and its result (docs/adr/0034-steps-as-jobs.md).
CREATE TABLE workflow_jobs (
  -- run:state:attempt, the idempotency key of the attempt.
  key text PRIMARY KEY,
  run_id text NOT NULL REFERENCES workflow_runs ON DELETE CASCADE,
  path text NOT NULL,
  state text NOT NULL,
  attempt integer NOT NULL,
  workflow text NOT NULL,
  task text NOT NULL,
  token text,
  input jsonb NOT NULL,
  -- { "output": …, "effects": […] }, or { "error": …, "cause": … }.
  result jsonb,
  heartbeats integer NOT NULL DEFAULT 0,
  ordered_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX workflow_jobs_of_run ON workflow_jobs (run_id);

-- What a run has read and made, as its tasks name it.
CREATE TABLE workflow_datasets (
  run_id text NOT NULL REFERENCES workflow_runs ON DELETE CASCADE,
  direction text NOT NULL CHECK (direction IN ('input', 'output')),
  name text NOT NULL,
  version text NOT NULL DEFAULT '',
  PRIMARY KEY (run_id, direction, name, version)
);
-- When the OpenLineage events of a run that has ended were sent.
ALTER TABLE workflow_runs ADD COLUMN lineage_sent_at timestamptz;
CREATE INDEX workflow_runs_unsent ON workflow_runs (ended_at) WHERE ended_at IS NOT NULL AND lineage_sent_at IS NULL;
