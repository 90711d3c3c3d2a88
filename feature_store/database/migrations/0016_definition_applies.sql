-- The definition whose history was computed, beside the one that rows are written with; NULL: no history yet.
ALTER TABLE definitions ADD COLUMN applied jsonb;
UPDATE definitions SET applied = definition;

-- The one `headwater apply` that runs, or was interrupted.
CREATE TABLE definition_apply (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  -- storage/process_identity.ts, and an id of the run.
  owner jsonb NOT NULL,
  heartbeat_at timestamptz NOT NULL DEFAULT now()
);

-- How fast back-fills were, for estimates.
CREATE TABLE backfill_rates (
  finished_at timestamptz NOT NULL DEFAULT now(),
  events bigint NOT NULL,
  seconds double precision NOT NULL
);
