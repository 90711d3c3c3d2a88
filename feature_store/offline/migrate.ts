import { readFile } from 'node:fs/promises';
import { Umzug, type UmzugStorage } from 'umzug';
import { assetPath } from '#kernel/project_root';
import type { Logger } from '#monitoring/log';
import type { SqlExecutor } from './sql_executor.ts';

/** Brings the schema up to date: SQL files in order, each in one transaction with the note that it was applied. */
export async function migrate(sql: SqlExecutor, log: Logger): Promise<void> {
  await sql.script(
    'CREATE TABLE IF NOT EXISTS headwater_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
  );
  const applied: UmzugStorage = {
    executed: async () =>
      (await sql.query<{ name: string }>('SELECT name FROM headwater_migrations ORDER BY name')).map(
        ({ name }) => name,
      ),
    // The migration's own script records it, in the same transaction.
    logMigration: async () => {},
    unlogMigration: async () => {},
  };
  const umzug = new Umzug({
    migrations: {
      glob: ['*.sql', { cwd: assetPath('feature_store/offline/migrations') }],
      resolve: ({ name, path }) => ({
        name,
        up: async () => {
          const text = await readFile(path as string, 'utf8');
          await sql.script(`${text};\nINSERT INTO headwater_migrations (name) VALUES ('${name}')`);
          log.info({ migration: name }, 'offline_store.migrated');
        },
      }),
    },
    storage: applied,
    logger: undefined,
  });
  await umzug.up();
}
