import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { hideSecrets } from '#kernel/secrets';
import { storable } from '#kernel/text/unstorable_text';

/** Of one attempt; further lines are counted, not kept. */
const MOST_LINES = 10_000;
const MOST_CHARS = 4_000;
const FLUSH_MS = 500;

interface Place {
  readonly runId: string;
  readonly path: string;
  readonly state: string;
  readonly attempt: number;
}

/** Collects the lines of one attempt, and writes them to the run's log in batches. */
export class TaskLog {
  readonly #sql: SqlExecutor;
  readonly #place: Place;
  readonly #onError: (error: unknown) => void;
  #lines: { readonly stream: string; readonly line: string; readonly at: string }[] = [];
  #count = 0;
  #timer: NodeJS.Timeout | undefined;
  #written: Promise<void> = Promise.resolve();

  constructor(sql: SqlExecutor, place: Place, onError: (error: unknown) => void) {
    this.#sql = sql;
    this.#place = place;
    this.#onError = onError;
  }

  write(stream: string, text: string): void {
    this.#count += 1;
    if (this.#count > MOST_LINES) return;
    const line = hideSecrets(storable(text)).slice(0, MOST_CHARS);
    this.#lines.push({ stream, line, at: new Date().toISOString() });
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lines = this.#lines.splice(0);
    if (lines.length === 0) return;
    const { runId, path, state, attempt } = this.#place;
    this.#written = this.#written
      .then(() =>
        this.#sql.query(
          `INSERT INTO workflow_logs (run_id, path, state, attempt, at, stream, line)
           SELECT $1, $2, $3, $4, l.at, l.stream, l.line FROM jsonb_to_recordset($5::jsonb) AS l(at timestamptz, stream text, line text)`,
          [runId, path, state, attempt, JSON.stringify(lines)],
        ),
      )
      .then(() => {}, this.#onError);
  }

  /** Writes what is left. */
  async end(): Promise<void> {
    if (this.#count > MOST_LINES) {
      const dropped = `${this.#count - MOST_LINES} more lines were not kept`;
      this.#lines.push({ stream: 'log', line: dropped, at: new Date().toISOString() });
    }
    this.#flush();
    await this.#written;
  }
}
