import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { NewPrediction } from '#feature_store/offline/offline_store';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';

/** Where predictions are kept. */
export interface PredictionSink {
  write(rows: readonly NewPrediction[]): Promise<void>;
}

/** Rows that were answered together; what is to be kept of each is made when it is written. */
export interface LoggedRows {
  readonly count: number;
  logged(index: number): NewPrediction;
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
  /** What has come since those that are being read were taken. */
  #waiting: LoggedRows[] = [];
  #reading: LoggedRows[] = [];
  /** The place in `#reading`, and the row there. */
  #next = 0;
  #nextRow = 0;
  /** Read, and refused by the sink. */
  #unwritten: readonly NewPrediction[] = [];
  /** Rows that are not written yet. */
  #rows = 0;
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

  add(rows: LoggedRows): void {
    if (this.#rows + rows.count > this.#limit) this.#dropped.inc(rows.count);
    else {
      this.#waiting.push(rows);
      this.#rows += rows.count;
    }
  }

  /** Writes what waits, once: for a process that may be halted as soon as it has answered. */
  flush(): Promise<void> {
    this.#flushing ??= this.#writeAll().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #writeAll(): Promise<void> {
    for (let some = this.#take(); some.length > 0; some = this.#take()) {
      try {
        await this.#sink.write(some);
      } catch (error) {
        this.#unwritten = some;
        this.#log.warn({ error, waiting: this.#rows }, 'prediction_log.write_failed');
        await sleep(RETRY_DELAY_MS);
        return;
      }
      this.#rows -= some.length;
      // Requests go first.
      await setImmediate();
    }
  }

  /** The oldest rows, as many as are written at once. */
  #take(): readonly NewPrediction[] {
    const unwritten = this.#unwritten;
    this.#unwritten = [];
    if (unwritten.length > 0) return unwritten;
    const some: NewPrediction[] = [];
    while (some.length < ROWS_A_WRITE) {
      const rows = this.#reading[this.#next];
      if (rows === undefined) {
        // What has been read is let go of, also when nothing follows.
        this.#reading = this.#waiting;
        this.#waiting = [];
        this.#next = 0;
        if (this.#reading.length === 0) break;
      } else if (this.#nextRow < rows.count) some.push(rows.logged(this.#nextRow++));
      else {
        this.#next += 1;
        this.#nextRow = 0;
      }
    }
    return some;
  }

  async drain(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.flush();
    if (this.#rows > 0) this.#dropped.inc(this.#rows);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
  }
}
