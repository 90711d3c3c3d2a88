-- What became of models: promotions, rollbacks, with who and why, what the gates found, and the metrics of then.
CREATE TABLE model_audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  model text NOT NULL,
  version integer NOT NULL,
  action text NOT NULL,
  stage text NOT NULL,
  replaced integer,
  by_whom text NOT NULL,
  reason text NOT NULL,
  gates jsonb NOT NULL,
  metrics jsonb NOT NULL
);
CREATE INDEX model_audit_by_model ON model_audit (model, at);
