-- What each version of a view was when rows were last written with it.
CREATE TABLE feature_views (
  view text NOT NULL,
  version integer NOT NULL,
  description jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (view, version)
);
