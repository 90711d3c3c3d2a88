import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import type { DeliveryDeps } from '#connectors/delivery';
import { postgresTable, type TableRow, type TableSettings } from '#connectors/postgres/table_writer';
import { createUrlPool } from '#connectors/postgres/url_pool';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { named } from '#pipelines/model/transforms';
import { writeTo } from './sink.ts';

/** Which table of PostgreSQL is written, and how rows that exist are treated. */
export interface WritePostgresSettings extends TableSettings {
  /** `postgres://user:password@host:port/database`. */
  readonly url: string;
  /** Rows of a transaction. Default 1,000. */
  readonly batchRows?: number;
  /** Transactions under way at once. Default 4. */
  readonly connections?: number;
  /** After so long without success the job fails, and starts again from its snapshot. Default 10 minutes. */
  readonly giveUpAfterMs?: number;
  readonly name?: string;
  /** Where waits and failures are logged and counted. */
  readonly deps?: DeliveryDeps;
}

const BATCH_ROWS = 1_000;
const CONNECTIONS = 4;
const STATEMENT_TIMEOUT_MS = 120_000;

/**
 * Writes rows into a table of PostgreSQL, batch by batch in transactions, each row once by its key however often the job restarts. Outages are waited out; rows that PostgreSQL refuses for good, such as by a
 * constraint, come out as dead letters.
 */
export function writePostgres<T extends TableRow = TableRow>(
  settings: WritePostgresSettings,
): PTransform<PCollection<T>, PCollection<DeadLetter>> {
  const { url, table, batchRows = BATCH_ROWS, connections = CONNECTIONS, giveUpAfterMs, name, deps } = settings;
  let write: ((rows: readonly TableRow[]) => Promise<void>) | undefined;
  const open = () => {
    const pool = createUrlPool({
      url,
      maxConnections: connections,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      applicationName: 'headwater table',
    });
    return postgresTable(pool, settings);
  };
  return named(name ?? `Write ${table}`, (rows: PCollection<T>) =>
    rows.apply(
      writeTo<T>(deps ?? { log: silentLogger, metrics: createMetricsRegistry({ process: false }) }, {
        target: `table ${table}`,
        write(batch) {
          write ??= open();
          return write(batch);
        },
        maxRecords: batchRows,
        maxInFlight: connections,
        payloadOf: payloadText,
        ...(giveUpAfterMs === undefined ? {} : { giveUpAfterMs }),
      }),
    ),
  );
}

/** A row as JSON; integers that no number holds are strings, bytes are hexadecimal. */
const payloadText = (row: TableRow): string =>
  JSON.stringify(row, (_, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
  });
