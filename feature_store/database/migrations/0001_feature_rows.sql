-- Every feature row ever computed, partitioned by month of the event time (partitions are made on demand).
CREATE TABLE feature_rows (
  view text NOT NULL,
  version integer NOT NULL,
  entity_key text NOT NULL,
  event_time timestamptz NOT NULL,
  computed_at timestamptz NOT NULL,
  "values" jsonb NOT NULL,
  PRIMARY KEY (view, version, entity_key, event_time)
) PARTITION BY RANGE (event_time);

-- What turned out to be true, by label source.
CREATE TABLE labels (
  source text NOT NULL,
  label_id text NOT NULL,
  entity_key text NOT NULL,
  event_time timestamptz NOT NULL,
  label double precision NOT NULL,
  PRIMARY KEY (source, label_id)
);
CREATE INDEX labels_by_time ON labels (source, event_time);

-- What was predicted, for audit and monitoring.
CREATE TABLE predictions (
  request_id text NOT NULL,
  row_index integer NOT NULL,
  model_name text NOT NULL,
  model_version integer NOT NULL,
  entity_key text,
  features jsonb NOT NULL,
  prediction text NOT NULL,
  probabilities jsonb,
  predicted_at timestamptz NOT NULL,
  PRIMARY KEY (request_id, row_index)
);
CREATE INDEX predictions_by_time ON predictions (model_name, predicted_at);
