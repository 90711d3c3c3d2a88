import { join } from 'node:path';
import { openDuckDb, quotedText } from '#connectors/files/duckdb/duckdb';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';

/** Card transactions in Parquet files, whose names follow time. */
export interface TransactionFiles {
  readonly events: number;
  readonly accounts: number;
  /** Between one event and the next, of whichever account, ms. */
  readonly everyMs: number;
  readonly files: number;
  /** Begins the names of accounts and events, so that runs on one database do not meet. */
  readonly prefix: string;
}

export const START_MS = Date.UTC(2026, 2, 1);

/** The event by number, in SQL: accounts, merchants and amounts come in no order, and the same in every run. */
const eventsSql = ({ accounts, everyMs, prefix }: TransactionFiles): string => `
  SELECT ${quotedText(`${prefix}-e`)} || n AS event_id,
    ${quotedText(`${prefix}-`)} || (hash(n) % ${accounts}) AS account_id,
    ${quotedText(`${prefix}-`)} || (hash(n) % ${accounts}) AS user_id,
    'transaction' AS event_type,
    make_timestamp((${START_MS} + n * ${everyMs}) * 1000) AS timestamp,
    (100 + hash(n + 7) % 50000) / 100 AS amount,
    'EUR' AS currency,
    'm' || (hash(n + 11) % 40) AS merchant_id,
    CASE hash(n + 13) % 3 WHEN 0 THEN 'grocery' WHEN 1 THEN 'fashion' ELSE 'electronics' END AS merchant_category,
    CASE hash(n + 17) % 20 WHEN 0 THEN 'FR' ELSE 'DE' END AS country`;

export async function writeTransactions(folder: string, spec: TransactionFiles): Promise<void> {
  const duckdb = await openDuckDb('the benchmark of back-fills');
  const share = Math.ceil(spec.events / spec.files);
  for (let file = 0; file < spec.files; file += 1) {
    const range = `range(${file * share}, ${Math.min(spec.events, (file + 1) * share)}) AS r(n)`;
    const path = join(folder, `${String(file).padStart(4, '0')}.parquet`);
    await duckdb.connection.run(`COPY (${eventsSql(spec)} FROM ${range}) TO ${quotedText(path)} (FORMAT parquet)`);
  }
  duckdb.close();
}

const WINDOWS = [
  { name: '1h', windowMs: HOUR_MS, stepMs: MINUTE_MS },
  { name: '6h', windowMs: 6 * HOUR_MS, stepMs: 15 * MINUTE_MS },
  { name: '24h', windowMs: DAY_MS, stepMs: 15 * MINUTE_MS },
  { name: '7d', windowMs: 7 * DAY_MS, stepMs: HOUR_MS },
] as const;

/**
 * The fraud view's features of each event as SQL over the files: windows whose far edges move by the same steps (docs/features.md, How exact).
 */
function fraudSql(folder: string): string {
  const frames = WINDOWS.map(
    ({ name, windowMs, stepMs }) =>
      `w${name} AS (PARTITION BY account_id ORDER BY at_ms RANGE BETWEEN (at_ms - ((at_ms - ${windowMs}) // ${stepMs}) * ${stepMs}) PRECEDING AND CURRENT ROW)`,
  );
  const aggregates = WINDOWS.flatMap(({ name }) => [
    `count(*) OVER w${name} AS count_${name}`,
    ...['sum', 'mean', 'max'].map((of) => `${of}(amount) OVER w${name} AS ${of}_amount_${name}`),
    `stddev_pop(amount) OVER w${name} AS stddev_amount_${name}`,
  ]);
  return `WITH events AS (SELECT *, epoch_ms(timestamp) AS at_ms FROM read_parquet(${quotedText(join(folder, '*.parquet'))}))
  SELECT account_id, at_ms, amount, merchant_category, hour(timestamp) AS hour_of_day, dayofweek(timestamp) % 6 = 0 AS is_weekend,
    ${aggregates.join(',\n    ')},
    count(DISTINCT merchant_id) OVER w1h AS distinct_merchant_id_1h, count(DISTINCT merchant_id) OVER w24h AS distinct_merchant_id_24h,
    (at_ms - lag(at_ms) OVER each_account) / 1000 AS seconds_since_last,
    coalesce(lag(country) OVER each_account <> country, false) AS country_changed
  FROM events
  WINDOW ${frames.join(', ')}, each_account AS (PARTITION BY account_id ORDER BY at_ms)`;
}

/** A feature's values by account and time, as `account|ms`. */
export type FraudRows = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

/**
 * Computes the same features by window functions in DuckDB on two threads, into a table.
 *
 * @returns seconds, and every `each`-th row by account and time
 */
export async function duckdbFraud(
  folder: string,
  each: number,
): Promise<{ readonly seconds: number; readonly rows: FraudRows }> {
  const duckdb = await openDuckDb('the benchmark of back-fills');
  try {
    await duckdb.connection.run(`SET threads TO 2; SET memory_limit = '8GB'`);
    const begin = performance.now();
    await duckdb.connection.run(`CREATE TABLE computed AS ${fraudSql(folder)}`);
    const seconds = (performance.now() - begin) / 1_000;
    const reader = await duckdb.connection.runAndReadAll(
      `SELECT * FROM computed WHERE hash(account_id || at_ms) % ${each} = 0`,
    );
    const rows = reader.getRowObjectsJS().map((row) => [`${row.account_id}|${row.at_ms}`, row] as const);
    return { seconds, rows: new Map(rows) };
  } finally {
    duckdb.close();
  }
}

/** Returns the first difference between rows of DuckDB and ours, beyond the last digits of doubles; undefined where there is none. */
export function differenceOf(
  expected: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const [name, held] of Object.entries(expected)) {
    if (name === 'account_id' || name === 'at_ms') continue;
    const value = typeof held === 'bigint' ? Number(held) : held;
    const own = values[name] ?? null;
    const isClose =
      typeof value === 'number' && typeof own === 'number'
        ? Math.abs(value - own) <= 1e-6 * Math.max(1, Math.abs(value))
        : value === own;
    if (!isClose) return `${name}: ${String(own)}, in DuckDB ${String(value)}`;
  }
  return undefined;
}
