-- Entity keys begin with the name of their entity: `x9` becomes `user:x9` (docs/adr/0017). What cannot be told stays as it is, and is listed.
-- `view_identities` is made before by feature_store/offline/view_identities.ts: how each view that is defined identifies its entity.
SET LOCAL statement_timeout = 0;
CREATE TABLE entity_keys_left (
  source text NOT NULL,
  scope text NOT NULL,
  entity_key text NOT NULL,
  rows bigint NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (source, scope, entity_key)
);
-- Views that are no longer defined, by what they were when rows were last written with them; join keys were strings then.
INSERT INTO view_identities
SELECT view, version, description ->> 'entity', array_fill('string'::text, ARRAY[n]), array_fill(true, ARRAY[n])
FROM (SELECT *, jsonb_array_length(description -> 'joinKeys') AS n FROM feature_views WHERE jsonb_typeof(description -> 'joinKeys') = 'array') AS known
WHERE NOT EXISTS (SELECT 1 FROM view_identities i WHERE i.view = known.view AND i.version = known.version);

-- As kernel/keys/key_text.ts writes a part; null for what it would not have come from.
CREATE FUNCTION entity_key_part(part text, type text, optional boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN part = '' THEN NULL
    WHEN type = 'string' AND optional AND part IN ('undefined', 'null') THEN NULL
    WHEN type = 'string' THEN CASE WHEN left(part, 1) = '#' THEN '\' ELSE '' END || regexp_replace(part, '([\\|()])', '\\\1', 'g')
    WHEN type = 'boolean' AND part IN ('true', 'false') THEN '#' || part
    WHEN type = 'bigint' AND part ~ '^-?(0|[1-9][0-9]*)$' THEN '#' || part
    WHEN type = 'number' AND part ~ '^-?(0|[1-9][0-9]*)$' THEN
      CASE WHEN abs(part::numeric) < 9007199254740992 THEN '#' || part END
    WHEN type = 'number' AND part ~ '^-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?$' THEN '#' || part
  END
$$;
CREATE FUNCTION entity_key_of(previous text, entity text, types text[], optional boolean[]) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  parts text[] := CASE cardinality(types) WHEN 1 THEN ARRAY[previous] ELSE string_to_array(previous, '|') END;
  written text[] := '{}';
  part text;
BEGIN
  -- For a while `\` and `|` of a part had `\` before them.
  IF cardinality(parts) <> cardinality(types) OR cardinality(types) > 1 AND previous ~ '\\[|\\]' THEN
    RETURN NULL;
  END IF;
  FOR at IN 1 .. cardinality(types) LOOP
    part := entity_key_part(parts[at], types[at], optional[at]);
    IF part IS NULL THEN
      RETURN NULL;
    END IF;
    written := written || part;
  END LOOP;
  RETURN entity || ':' || array_to_string(written, '|');
END
$$;

CREATE TEMPORARY TABLE renamed ON COMMIT DROP AS
SELECT k.view, k.version, k.entity_key AS before, k.rows, i.entity,
  entity_key_of(k.entity_key, i.entity, i.types, i.optional) AS after,
  -- How often the name of the entity precedes the key already: ids may look like keys.
  (length(k.entity_key) - length(regexp_replace(k.entity_key, '^(' || i.entity || ':)+', ''))) / (length(i.entity) + 1) AS depth
FROM (SELECT view, version, entity_key, count(*) AS rows FROM feature_rows GROUP BY view, version, entity_key) AS k
LEFT JOIN view_identities i ON i.view = k.view AND i.version = k.version;
CREATE INDEX ON renamed (view, version, before);
-- A key that stays must not be met by another one.
UPDATE renamed r SET after = NULL
WHERE EXISTS (SELECT 1 FROM renamed s WHERE s.view = r.view AND s.version = r.version AND s.before = r.after AND s.after IS NULL);
INSERT INTO entity_keys_left
SELECT 'feature_rows', view || '@' || version, before, rows,
  CASE WHEN entity IS NULL THEN 'the view is not defined' ELSE 'its parts cannot be told apart, or one was missing or of another type' END
FROM renamed WHERE after IS NULL;
DO $$
BEGIN
  -- The deepest first: each makes room for the one before it.
  FOR at IN REVERSE coalesce((SELECT max(depth) FROM renamed), 0) .. 0 LOOP
    UPDATE feature_rows r SET entity_key = n.after FROM renamed n
    WHERE r.view = n.view AND r.version = n.version AND r.entity_key = n.before AND n.after IS NOT NULL AND n.depth = at;
  END LOOP;
END
$$;

-- Labels and predictions name no view: they are of the entity whose rows have all of their keys that any rows have.
CREATE TEMPORARY TABLE identities ON COMMIT DROP AS
SELECT DISTINCT ON (entity) entity, types, optional FROM view_identities WHERE entity IS NOT NULL ORDER BY entity, view, version DESC;
CREATE TEMPORARY TABLE known_keys ON COMMIT DROP AS SELECT DISTINCT entity, before FROM renamed WHERE entity IS NOT NULL;
CREATE INDEX ON known_keys (before);
CREATE TEMPORARY TABLE kept_keys ON COMMIT DROP AS
SELECT 'labels' AS source, source AS scope, entity_key AS before, count(*) AS rows FROM labels GROUP BY source, entity_key
UNION ALL
SELECT 'predictions', model_name, entity_key, count(*) FROM predictions WHERE entity_key IS NOT NULL GROUP BY model_name, entity_key;
CREATE TEMPORARY TABLE scopes ON COMMIT DROP AS
WITH matched AS (
  SELECT k.source, k.scope, e.entity, count(*) AS keys FROM kept_keys k JOIN known_keys e USING (before) GROUP BY k.source, k.scope, e.entity
), known AS (
  SELECT k.source, k.scope, count(*) AS keys FROM kept_keys k WHERE EXISTS (SELECT 1 FROM known_keys e WHERE e.before = k.before) GROUP BY k.source, k.scope
)
SELECT source, scope, min(m.entity) AS entity FROM matched m JOIN known n USING (source, scope)
WHERE m.keys = n.keys GROUP BY source, scope HAVING count(*) = 1;
-- With one entity there is no other.
INSERT INTO scopes
SELECT DISTINCT k.source, k.scope, (SELECT entity FROM identities) FROM kept_keys k
WHERE (SELECT count(*) FROM identities) = 1 AND NOT EXISTS (SELECT 1 FROM scopes s WHERE s.source = k.source AND s.scope = k.scope);
CREATE TEMPORARY TABLE renamed_kept ON COMMIT DROP AS
SELECT k.source, k.scope, k.before, k.rows, s.entity, entity_key_of(k.before, i.entity, i.types, i.optional) AS after
FROM kept_keys k LEFT JOIN scopes s USING (source, scope) LEFT JOIN identities i USING (entity);
CREATE INDEX ON renamed_kept (source, scope, before);
INSERT INTO entity_keys_left
SELECT source, scope, before, rows,
  CASE WHEN entity IS NULL THEN 'no feature rows say which entity it is, or those of several do' ELSE 'its parts cannot be told apart, or one was missing or of another type' END
FROM renamed_kept WHERE after IS NULL;
UPDATE labels l SET entity_key = n.after FROM renamed_kept n
WHERE n.source = 'labels' AND l.source = n.scope AND l.entity_key = n.before AND n.after IS NOT NULL;
UPDATE predictions p SET entity_key = n.after FROM renamed_kept n
WHERE n.source = 'predictions' AND p.model_name = n.scope AND p.entity_key = n.before AND n.after IS NOT NULL;

DROP FUNCTION entity_key_of(text, text, text[], boolean[]);
DROP FUNCTION entity_key_part(text, text, boolean);
