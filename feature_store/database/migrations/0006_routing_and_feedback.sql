-- How requests are dealt to versions of a model: every change there was; the newest holds.
CREATE TABLE model_routing (
  model text NOT NULL,
  revision integer NOT NULL,
  at timestamptz NOT NULL,
  by_whom text NOT NULL,
  reason text NOT NULL,
  state jsonb NOT NULL,
  PRIMARY KEY (model, revision)
);
-- What a prediction was dealt by; null where there was no experiment.
ALTER TABLE predictions ADD COLUMN experiment text;
CREATE INDEX predictions_by_experiment ON predictions (model_name, experiment) WHERE experiment IS NOT NULL;
-- How predictions turned out; the newest word counts.
CREATE TABLE prediction_feedback (
  request_id text NOT NULL,
  row_index integer NOT NULL,
  label text,
  value double precision,
  received_at timestamptz NOT NULL,
  PRIMARY KEY (request_id, row_index)
);
