-- Each definition in use, as data: everything that decides its values (feature_store/definitions/definition_data.ts).
CREATE TABLE definitions (
  kind text NOT NULL CHECK (kind IN ('view', 'on_demand', 'service')),
  id text NOT NULL,
  definition jsonb NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, id)
);
