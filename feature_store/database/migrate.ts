import { readdir, readFile } from 'node:fs/promises';
import type { UmzugStorage } from 'umzug';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { assetPath } from '#kernel/project_root';
import type { Logger } from '#monitoring/log';
import type { SqlExecutor } from './sql_executor.ts';
import { ENTITY_KEYS_MIGRATION, reportKeysLeft, viewIdentities } from './view_identities.ts';

const MIGRATIONS = assetPath('feature_store/database/migrations');

/**
 * Brings the schema up to date: SQL files in order, each in one transaction with the note that it was applied.
 *
 * @param views - those that are defined: rows of releases before entity keys are renamed by them
 */
export async function migrate(sql: SqlExecutor, log: Logger, views: readonly FeatureView[]): Promise<void> {
  await sql.script(
    'CREATE TABLE IF NOT EXISTS headwater_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
  );
  const executed = async (): Promise<string[]> =>
    (await sql.query<{ name: string }>('SELECT name FROM headwater_migrations ORDER BY name')).map(({ name }) => name);
  const before = new Set(await executed());
  const files = (await readdir(MIGRATIONS)).filter((file) => file.endsWith('.sql'));
  if (files.every((file) => before.has(file))) return;
  // Loading it takes longer than most commands do.
  const { Umzug } = await import('umzug');
  const applied: UmzugStorage = {
    executed,
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
