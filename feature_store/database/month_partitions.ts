import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { DAY_MS } from '#kernel/time';
import type { SqlExecutor } from './sql_executor.ts';

/** Partitions of the table of feature rows, by month of the event time. */
export class MonthPartitions {
  readonly #sql: SqlExecutor;
  readonly #months = new Set<string>();
  /** Whether feature rows are in a TimescaleDB hypertable, which makes its own partitions. */
  isHypertable = false;

  constructor(sql: SqlExecutor) {
    this.#sql = sql;
  }

  /** Makes the partitions that rows need. */
  async ensureMonthsOf(rows: readonly FeatureRow[]): Promise<void> {
    // Months are few, and nearly always known.
    if (!this.isHypertable) for (const month of monthsOf(rows)) await this.#ensureMonth(month);
  }

  /** Looks at partitions again: some were dropped. */
  forget(): void {
    this.#months.clear();
  }

  /** Makes the partition of a month when it is first needed; two writers at once may both try. */
  async #ensureMonth(month: string): Promise<void> {
    if (this.#months.has(month)) return;
    const from = new Date(`${month}-01T00:00:00Z`);
    const to = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1, 1));
    const partition = `feature_rows_${month.replace('-', '_')}`;
    try {
      await this.#sql.query(
        `CREATE TABLE IF NOT EXISTS ${partition} PARTITION OF feature_rows FOR VALUES FROM ('${from.toISOString()}') TO ('${to.toISOString()}')`,
      );
    } catch (error) {
      const [found] = await this.#sql.query(
        'SELECT 1 FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace',
        [partition],
      );
      if (found === undefined) throw error;
    }
    this.#months.add(month);
  }
}

/** `2026-11`, of each row's event time. */
function monthsOf(rows: readonly FeatureRow[]): ReadonlySet<string> {
  const days = new Set(rows.map(({ eventTime: at }) => Math.floor(at / DAY_MS)));
  return new Set([...days].map((day) => new Date(day * DAY_MS).toISOString().slice(0, 7)));
}
