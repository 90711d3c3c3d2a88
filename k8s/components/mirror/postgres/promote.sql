-- In the region that takes over, once the other is gone: psql -v publication=NAME. From here on its tables may be written.
ALTER SUBSCRIPTION :publication DISABLE;
ALTER SUBSCRIPTION :publication SET (slot_name = NONE);
DROP SUBSCRIPTION :publication;
-- Sequences are not replicated: each continues after the largest number in its column.
SELECT format('SELECT setval(%L, greatest((SELECT max(%I) FROM %I.%I), 0) + 1, false)',
  pg_get_serial_sequence(format('%I.%I', table_schema, table_name), column_name), column_name, table_schema, table_name)
FROM information_schema.columns
WHERE table_schema = 'public' AND pg_get_serial_sequence(format('%I.%I', table_schema, table_name), column_name) IS NOT NULL
\gexec
