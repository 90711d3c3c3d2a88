import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { OfflineStoreError } from '../errors.ts';
import { ensureHypertable } from './hypertable.ts';
import { migrate } from './migrate.ts';
import { MonthPartitions } from './month_partitions.ts';
import type { SqlExecutor } from './sql_executor.ts';

const READ_ONLY_SQL_TRANSACTION = '25006';

/** The offline database, a PostgreSQL server or PGlite, with its schema up to date: stores are made over it. */
export class SqlDatabase implements Service {
  readonly kind: string;
  readonly name: string;
  readonly sql: SqlExecutor;
  readonly partitions: MonthPartitions;
  readonly #log: Logger;
  /** Those that are defined: their types say how stored values are read. */
  readonly views: readonly FeatureView[];

  /** @param deps - `views`: those that are defined, for rows of releases before entity keys */
  constructor(deps: { sql: SqlExecutor; log: Logger; views?: readonly FeatureView[] }, kind: string) {
    this.kind = kind;
    this.name = `offline store (${kind})`;
    this.sql = deps.sql;
    this.partitions = new MonthPartitions(deps.sql);
    this.views = deps.views ?? [];
    this.#log = deps.log.child({ component: 'feature_store.offline' });
  }

  async start(): Promise<void> {
    await this.sql.open();
    await migrate(this.sql, this.#log, this.views);
    this.partitions.isHypertable = await ensureHypertable(this.sql, this.#log);
  }

  /** @throws {@link OfflineStoreError} while the database does not answer, or takes no writes */
  async checkHealth(): Promise<void> {
    const [state] = await this.sql.query<{ readonly recovering: boolean; readonly read_only: string }>(
      `SELECT pg_is_in_recovery() AS recovering, current_setting('transaction_read_only') AS read_only`,
    );
    const isReadOnly = state?.recovering === true || state?.read_only === 'on';
    if (!isReadOnly) return;
    const why = state.recovering ? 'it is a standby' : 'default_transaction_read_only is on';
    const cause = Object.assign(new Error(`the database is read-only: ${why}`), { code: READ_ONLY_SQL_TRANSACTION });
    throw new OfflineStoreError('take a write', cause, 'transient');
  }

  /** Removes what deleted rows have left in the database's files, where those are its own. */
  async compact(): Promise<void> {
    await this.sql.compact?.();
  }

  /** Copies the database's files into a folder that does not exist yet. @throws {@link OfflineStoreError} where those are a server's */
  async copyFiles(folder: string): Promise<void> {
    if (this.sql.copyFiles === undefined) {
      throw new OfflineStoreError(
        'copy its files',
        new Error("they are a server's: pg_basebackup copies them"),
        'target',
      );
    }
    await this.sql.copyFiles(folder);
  }

  /** Returns the number of rows of each table of the schema, by name. */
  async countRows(): Promise<Readonly<Record<string, number>>> {
    const tables = await this.sql.query<{ readonly name: string; readonly quoted: string }>(
      `SELECT c.relname AS name, c.oid::regclass::text AS quoted FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = current_schema() ORDER BY c.relname`,
    );
    const counts: Record<string, number> = {};
    for (const { name, quoted } of tables) {
      const [row] = await this.sql.query<{ readonly rows: string | number }>(`SELECT count(*) AS rows FROM ${quoted}`);
      counts[name] = Number(row?.rows);
    }
    return counts;
  }

  async drain(): Promise<void> {}

  stop(): Promise<void> {
    return this.sql.close();
  }
}
