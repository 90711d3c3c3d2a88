-- The back-fill that a row was last computed by; NULL: the stream. What the stream has written before it took a back-fill's state over can be told from it.
ALTER TABLE feature_rows ADD COLUMN backfill text;
ALTER TABLE feature_row_revisions ADD COLUMN backfill text;
CREATE OR REPLACE FUNCTION keep_feature_row_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO feature_row_revisions (view, version, entity_key, event_time, computed_at, "values", backfill)
  VALUES (OLD.view, OLD.version, OLD.entity_key, OLD.event_time, OLD.computed_at, OLD."values", OLD.backfill)
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;
-- Since when rows are written with a definition.
ALTER TABLE definitions ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
-- The newest back-fills, also where two ended in one millisecond.
ALTER TABLE backfill_rates ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
