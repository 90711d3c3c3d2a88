import type { Logger } from '#monitoring/log';
import { SCHEMA_LOCK } from './migrate.ts';
import type { SqlExecutor } from './sql_executor.ts';

const CHUNK = '7 days';

/**
 * Where the TimescaleDB extension is in the database, feature rows lie in a hypertable instead of partitions by month; rows that are there
 * already move over, in one transaction.
 *
 * @returns whether they do
 */
export async function ensureHypertable(sql: SqlExecutor, log: Logger): Promise<boolean> {
  const [extension] = await sql.query("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'");
  if (extension === undefined) return false;
  if (await isHypertable(sql)) return true;
  const work = () => becomeHypertable(sql, log);
  await (sql.exclusively?.(SCHEMA_LOCK, work) ?? work());
  return true;
}

async function isHypertable(sql: SqlExecutor): Promise<boolean> {
  const [found] = await sql.query(
    "SELECT 1 FROM timescaledb_information.hypertables WHERE hypertable_name = 'feature_rows' AND hypertable_schema = current_schema()",
  );
  return found !== undefined;
}

async function becomeHypertable(sql: SqlExecutor, log: Logger): Promise<void> {
  // Another process may have been here before.
  if (await isHypertable(sql)) return;
  log.info({ table: 'feature_rows' }, 'offline_store.becoming_hypertable');
  await sql.script(`
    ALTER TABLE feature_rows RENAME TO feature_rows_by_month;
    CREATE TABLE feature_rows (LIKE feature_rows_by_month INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE feature_rows ADD PRIMARY KEY (view, version, entity_key, event_time);
    SELECT create_hypertable('feature_rows', 'event_time', chunk_time_interval => interval '${CHUNK}', create_default_indexes => false);
    INSERT INTO feature_rows SELECT * FROM feature_rows_by_month;
    DROP TABLE feature_rows_by_month;
    CREATE TRIGGER feature_rows_revised AFTER UPDATE ON feature_rows
      FOR EACH ROW WHEN (OLD.computed_at <> NEW.computed_at AND OLD."values" <> NEW."values")
      EXECUTE FUNCTION keep_feature_row_revision()`);
}
