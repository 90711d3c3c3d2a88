import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { NewPrediction } from '#feature_store/offline/offline_store';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';

/** Where predictions are kept. */
export interface PredictionSink {
  write(rows: readonly NewPrediction[]): Promise<void>;
}

const FLUSH_INTERVAL_MS = 100;
/** Writing so many holds up nobody for long. */
const ROWS_A_WRITE = 250;
const RETRY_DELAY_MS = 500;

/** Logs predictions behind the answers: batched, bounded, never waited for. What does not fit is dropped and counted. */
export class PredictionLog implements Service {
  readonly name = 'prediction log';
  readonly #sink: PredictionSink;
  readonly #log: Logger;
  readonly #limit: number;
  readonly #dropped: Counter;
  #rows: NewPrediction[] = [];
  /** Rows on their way to the sink. */
  #writing = 0;
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: { sink: PredictionSink; log: Logger; metrics: Registry }, settings: { maxPending: number }) {
    this.#sink = deps.sink;
    this.#log = deps.log.child({ component: 'serving.prediction_log' });
    this.#limit = settings.maxPending;
    this.#dropped = new Counter({
      name: 'prediction_log_dropped_total',
      help: 'Predictions that were answered and could not be logged',
      registers: [deps.metrics],
    });
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.flush(), FLUSH_INTERVAL_MS);
    this.#timer.unref();
  }

  add(row: NewPrediction): void {
    if (this.#rows.length + this.#writing >= this.#limit) this.#dropped.inc();
    else this.#rows.push(row);
  }

  /** Writes what waits, once: for a process that may be halted as soon as it has answered. */
  flush(): Promise<void> {
    this.#flushing ??= this.#writeAll().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #writeAll(): Promise<void> {
    while (this.#rows.length > 0) {
      const taken = this.#rows;
      this.#rows = [];
      this.#writing = taken.length;
      for (let from = 0; from < taken.length; from += ROWS_A_WRITE) {
        const some = taken.slice(from, from + ROWS_A_WRITE);
        try {
          await this.#sink.write(some);
        } catch (error) {
          this.#rows = [...taken.slice(from), ...this.#rows];
          this.#writing = 0;
          this.#log.warn({ error, waiting: this.#rows.length }, 'prediction_log.write_failed');
          await sleep(RETRY_DELAY_MS);
          return;
        }
        this.#writing -= some.length;
        // Requests go first.
        await setImmediate();
      }
    }
  }

  async drain(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.flush();
    if (this.#rows.length > 0) this.#dropped.inc(this.#rows.length);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
  }
}
