-- What a row said before a back-fill or a repetition changed its values: features as they were known at a time stay as they were.
CREATE TABLE feature_row_revisions (
  view text NOT NULL,
  version integer NOT NULL,
  entity_key text NOT NULL,
  event_time timestamptz NOT NULL,
  computed_at timestamptz NOT NULL,
  "values" jsonb NOT NULL,
  PRIMARY KEY (view, version, entity_key, event_time, computed_at)
);
CREATE FUNCTION keep_feature_row_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO feature_row_revisions VALUES (OLD.view, OLD.version, OLD.entity_key, OLD.event_time, OLD.computed_at, OLD."values")
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER feature_rows_revised AFTER UPDATE ON feature_rows
  FOR EACH ROW WHEN (OLD.computed_at <> NEW.computed_at AND OLD."values" <> NEW."values")
  EXECUTE FUNCTION keep_feature_row_revision();
