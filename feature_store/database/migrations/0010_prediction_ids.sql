-- Ids of the platform's own: a caller may send one request id many times. What was logged before has its request id as its own.
ALTER TABLE predictions ADD COLUMN prediction_id text;
UPDATE predictions SET prediction_id = request_id;
ALTER TABLE predictions DROP CONSTRAINT predictions_pkey;
ALTER TABLE predictions ADD PRIMARY KEY (prediction_id, row_index);
CREATE INDEX predictions_by_request ON predictions (request_id, row_index);
-- While roles are replaced one after the other, those of the version before go on writing rows without it.
CREATE FUNCTION prediction_id_of_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.prediction_id := NEW.request_id;
  RETURN NEW;
END
$$;
CREATE TRIGGER predictions_without_id BEFORE INSERT ON predictions
  FOR EACH ROW WHEN (NEW.prediction_id IS NULL) EXECUTE FUNCTION prediction_id_of_request();
-- For the same reason the column keeps its name.
COMMENT ON COLUMN prediction_feedback.request_id IS 'predictions.prediction_id';
