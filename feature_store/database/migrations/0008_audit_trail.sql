-- What was done by whom, as a chain: each entry holds the hash of the one before it. Whoever changes or takes away an entry breaks the chain.
CREATE TABLE audit_trail (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text NOT NULL,
  entry jsonb NOT NULL,
  previous bytea,
  hash bytea NOT NULL
);
CREATE FUNCTION audit_hash(previous bytea, source text, entry jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256(convert_to(coalesce(encode(previous, 'hex'), '') || ' ' || source || ' ' || entry::text, 'UTF8'))
$$;
CREATE FUNCTION append_to_audit_trail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last bytea;
  added jsonb := to_jsonb(NEW);
BEGIN
  -- One after the other, until each transaction ends: the chain has no branches.
  PERFORM pg_advisory_xact_lock(hashtext('audit_trail'));
  SELECT hash INTO last FROM audit_trail ORDER BY id DESC LIMIT 1;
  INSERT INTO audit_trail (source, entry, previous, hash)
  VALUES (TG_TABLE_NAME, added, last, audit_hash(last, TG_TABLE_NAME, added));
  RETURN NULL;
END
$$;
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME;
END
$$;
-- What there is already.
DO $$
DECLARE
  kept record;
  last bytea;
BEGIN
  FOR kept IN
    SELECT source, entry FROM (
      SELECT at, 'model_audit' AS source, to_jsonb(model_audit) AS entry FROM model_audit
      UNION ALL SELECT at, 'model_routing', to_jsonb(model_routing) FROM model_routing
    ) AS every ORDER BY at
  LOOP
    INSERT INTO audit_trail (source, entry, previous, hash)
    VALUES (kept.source, kept.entry, last, audit_hash(last, kept.source, kept.entry)) RETURNING hash INTO last;
  END LOOP;
END
$$;
CREATE TRIGGER chained AFTER INSERT ON model_audit FOR EACH ROW EXECUTE FUNCTION append_to_audit_trail();
CREATE TRIGGER chained AFTER INSERT ON model_routing FOR EACH ROW EXECUTE FUNCTION append_to_audit_trail();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON model_audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON model_routing FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_trail FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
