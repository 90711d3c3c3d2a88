-- Distributions of features, by window of event time: what drift is measured on.
CREATE TABLE feature_statistics (
  view text NOT NULL,
  version integer NOT NULL,
  feature text NOT NULL,
  window_start timestamptz NOT NULL,
  window_ms bigint NOT NULL,
  statistics jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (view, version, feature, window_ms, window_start)
);
CREATE INDEX feature_statistics_by_time ON feature_statistics (window_start);
-- What a label's moment brought along: for features computed on demand.
ALTER TABLE labels ADD COLUMN request jsonb;
