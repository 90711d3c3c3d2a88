-- In the region that reads, whose tables exist already: psql -v publication=NAME -v tables='ALL TABLES' or 'TABLE a, b' -v source='host=… dbname=… user=…'. Rows in these tables are replaced by
-- those of the source; of tables that may only be added to, the source's are refused where this region has rows.
SELECT 'TRUNCATE ' || string_agg(relation::text, ', ') || ' CASCADE'
FROM (
  SELECT c.oid::regclass AS relation
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname = 'public'
    AND (:'tables' = 'ALL TABLES' OR c.relname = ANY (regexp_split_to_array(replace(:'tables', 'TABLE ', ''), '\s*,\s*')))
) AS chosen
WHERE (xpath('/table/row/rows/text()', query_to_xml(format('SELECT count(*) AS rows FROM %s', relation), false, false, '')))[1]::text <> '0'
HAVING count(*) > 0
\gexec
CREATE SUBSCRIPTION :publication CONNECTION :'source' PUBLICATION :publication;
