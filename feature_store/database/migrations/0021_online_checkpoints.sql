-- Weights of online learners, after so many examples (docs/adr/0040-online-learner.md).
CREATE TABLE online_checkpoints (
  model text NOT NULL,
  -- Feature service that the columns are of.
  service text NOT NULL,
  -- The first example: a learner that began again is another one.
  started_at timestamptz NOT NULL,
  examples bigint NOT NULL,
  -- Newest features that it has learned from: it may be judged on rows that are newer.
  newest_at timestamptz NOT NULL,
  loss double precision NOT NULL,
  went_back_to bigint,
  weights jsonb NOT NULL,
  PRIMARY KEY (model, service, started_at, examples)
);
-- Outcomes in the order in which they came.
CREATE INDEX prediction_feedback_by_time ON prediction_feedback (received_at, request_id, row_index);
