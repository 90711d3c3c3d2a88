import { readdir, readFile } from 'node:fs/promises';
import type { UmzugStorage } from 'umzug';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { assetPath } from '#kernel/project_root';
import type { Logger } from '#monitoring/log';
import type { SqlExecutor } from './sql_executor.ts';
import { ENTITY_KEYS_MIGRATION, reportKeysLeft, viewIdentities } from './view_identities.ts';

const MIGRATIONS = assetPath('feature_store/database/migrations');

/** Of whatever changes tables. */
export const SCHEMA_LOCK = 'headwater migrations';

/**
 * Brings the schema up to date: SQL files in order, each in one transaction with the note that it was applied. Of processes that start at the same time one
 * applies them, and the others wait.
 *
 * @param views - those that are defined: rows of releases before entity keys are renamed by them
 */
export async function migrate(sql: SqlExecutor, log: Logger, views: readonly FeatureView[]): Promise<void> {
  if (await isUpToDate(sql)) return;
  const work = () => applyMissing(sql, log, views);
  await (sql.exclusively?.(SCHEMA_LOCK, work) ?? work());
}

const executedIn = async (sql: SqlExecutor): Promise<string[]> =>
  (await sql.query<{ name: string }>('SELECT name FROM headwater_migrations ORDER BY name')).map(({ name }) => name);

async function isUpToDate(sql: SqlExecutor): Promise<boolean> {
  const [found] = await sql.query<{ exists: boolean }>(
    // Of this schema: the search path may lead to the table of another namespace.
    `SELECT to_regclass(format('%I.headwater_migrations', current_schema())) IS NOT NULL AS exists`,
  );
  if (found?.exists !== true) return false;
  const applied = new Set(await executedIn(sql));
  const files = (await readdir(MIGRATIONS)).filter((file) => file.endsWith('.sql'));
  return files.every((file) => applied.has(file));
}

async function applyMissing(sql: SqlExecutor, log: Logger, views: readonly FeatureView[]): Promise<void> {
  await sql.script(
    'CREATE TABLE IF NOT EXISTS headwater_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
  );
  // Loading it takes longer than most commands do.
  const { Umzug } = await import('umzug');
  const applied: UmzugStorage = {
    executed: () => executedIn(sql),
    // The migration's own script records it, in the same transaction.
    logMigration: async () => {},
    unlogMigration: async () => {},
  };
  const umzug = new Umzug({
    migrations: {
      glob: ['*.sql', { cwd: MIGRATIONS }],
      resolve: ({ name, path }) => ({
        name,
        up: async () => {
          const text = await readFile(path as string, 'utf8');
          const isOfKeys = name === ENTITY_KEYS_MIGRATION;
          const identities = isOfKeys ? viewIdentities(views) : '';
          await sql.script(`${identities}${text};\nINSERT INTO headwater_migrations (name) VALUES ('${name}')`);
          log.info({ migration: name }, 'offline_store.migrated');
          if (isOfKeys) await reportKeysLeft(sql, log);
        },
      }),
    },
    storage: applied,
    logger: undefined,
  });
  await umzug.up();
}
