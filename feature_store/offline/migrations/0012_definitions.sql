-- What was applied of each definition, as data: everything that decides its values (feature_store/definitions/definition_data.ts).
CREATE TABLE definitions (
  kind text NOT NULL CHECK (kind IN ('view', 'on_demand', 'service')),
  id text NOT NULL,
  definition jsonb NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, id)
);

-- The one `headwater apply` that runs, or was interrupted.
CREATE TABLE definition_apply (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  owner text NOT NULL,
  heartbeat_at timestamptz NOT NULL DEFAULT now(),
  -- Back-fills that are still to be done.
  steps jsonb NOT NULL
);

-- How fast back-fills were, for estimates.
CREATE TABLE backfill_rates (
  finished_at timestamptz NOT NULL DEFAULT now(),
  events bigint NOT NULL,
  seconds double precision NOT NULL
);
