-- A run of a workflow, with its own copy of the document (docs/adr/0026-workflow-documents.md).
CREATE TABLE workflow_runs (
  id text PRIMARY KEY,
  workflow text NOT NULL,
  document jsonb NOT NULL,
  input jsonb NOT NULL,
  status text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled')),
  output jsonb,
  error text,
  cause text,
  -- What started it: { "kind": "manual" | "schedule" | "backfill", … }.
  origin jsonb NOT NULL,
  concurrency_key text NOT NULL DEFAULT '',
  -- NULL: no limit.
  most_runs integer,
  most_runs_of_key integer,
  timeout_ms bigint,
  queued_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz,
  deadline timestamptz
);
CREATE INDEX workflow_runs_newest ON workflow_runs (queued_at DESC, id);
CREATE INDEX workflow_runs_active ON workflow_runs (workflow, concurrency_key) WHERE status IN ('queued', 'running');
CREATE INDEX workflow_runs_ended ON workflow_runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX workflow_runs_deadline ON workflow_runs (deadline) WHERE status = 'running' AND deadline IS NOT NULL;

-- Where a run is: one frame of its machine, and one of each branch of Parallel and item of Map.
CREATE TABLE workflow_frames (
  run_id text NOT NULL REFERENCES workflow_runs ON DELETE CASCADE,
  -- Empty for the run's own machine; <parent>/<step>.<state>[<branch>] for a branch.
  path text NOT NULL,
  parent_path text,
  parent_step integer,
  branch integer,
  machine jsonb NOT NULL,
  item jsonb,
  state text NOT NULL,
  phase text NOT NULL DEFAULT 'enter' CHECK (phase IN ('enter', 'wait', 'token', 'join')),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'succeeded', 'failed', 'cancelled')),
  step integer NOT NULL DEFAULT 1,
  -- Attempts of each state so far, for idempotency keys.
  attempts jsonb NOT NULL DEFAULT '{}',
  retries jsonb NOT NULL DEFAULT '[]',
  input jsonb NOT NULL,
  output jsonb,
  error text,
  cause text,
  -- The task of the state, by name and version: only workers that have it take the frame.
  task text,
  entered_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  -- When a worker takes it; for a frame that is held, when its lease ends.
  due timestamptz NOT NULL,
  owner text,
  fence bigint NOT NULL DEFAULT 0,
  -- How often it was taken since it last moved: a step that ends its worker is not taken for ever.
  claims integer NOT NULL DEFAULT 0,
  token text UNIQUE,
  token_deadline timestamptz,
  heartbeat_ms bigint,
  answer jsonb,
  -- Branches that have not ended.
  pending integer,
  PRIMARY KEY (run_id, path)
);
CREATE INDEX workflow_frames_due ON workflow_frames (due) WHERE status = 'open';

CREATE TABLE workflow_events (
  run_id text NOT NULL,
  n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  path text NOT NULL DEFAULT '',
  state text,
  attempt integer,
  kind text NOT NULL,
  detail jsonb,
  PRIMARY KEY (run_id, n)
);

-- Answers to waiting states: approvals, results of work elsewhere.
CREATE TABLE workflow_signals (
  run_id text NOT NULL,
  n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT now(),
  path text NOT NULL,
  state text NOT NULL,
  token text NOT NULL UNIQUE,
  answer jsonb NOT NULL,
  by text NOT NULL,
  PRIMARY KEY (run_id, n)
);

-- What steps print.
CREATE TABLE workflow_logs (
  run_id text NOT NULL,
  n bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT now(),
  path text NOT NULL,
  state text NOT NULL,
  attempt integer NOT NULL,
  stream text NOT NULL,
  line text NOT NULL,
  PRIMARY KEY (run_id, n)
);

CREATE TABLE workflow_schedules (
  name text PRIMARY KEY,
  workflow text NOT NULL,
  definition jsonb NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  -- The last scheduled time that was handled.
  last_time timestamptz,
  next_time timestamptz,
  -- Where next_time with its jitter falls.
  due timestamptz,
  changed_at timestamptz NOT NULL DEFAULT now()
);
