-- In the region that writes (wal_level = logical), once for each database: psql -v publication=NAME -v tables='ALL TABLES' or 'TABLE a, b'.
CREATE PUBLICATION :publication FOR :tables;
-- Changes of tables without a primary key name the whole row.
SELECT format('ALTER TABLE %I.%I REPLICA IDENTITY FULL', schemaname, tablename)
FROM pg_publication_tables
WHERE pubname = :'publication'
  AND NOT EXISTS (
    SELECT FROM pg_index
    WHERE indrelid = format('%I.%I', schemaname, tablename)::regclass AND indisprimary
  )
\gexec
