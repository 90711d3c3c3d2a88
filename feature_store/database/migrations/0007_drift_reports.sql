-- How a window of a model's predictions compares with its training set, column by column; a window that is told again replaces itself.
CREATE TABLE drift_reports (
  model text NOT NULL,
  version integer NOT NULL,
  window_start timestamptz NOT NULL,
  window_ms bigint NOT NULL,
  rows integer NOT NULL,
  columns jsonb NOT NULL,
  reported_at timestamptz NOT NULL,
  PRIMARY KEY (model, version, window_ms, window_start)
);
CREATE INDEX drift_reports_by_time ON drift_reports (window_start);
