import { setImmediate } from 'node:timers/promises';
import type { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { Delivery, type Rejected } from '#connectors/delivery';
import { messageOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import { withFeatures } from '#serving/prediction_store/sql_predictions';

/** Where predictions are kept. */
export interface PredictionSink {
  /** For metrics and dead letters: `prediction topic`. */
  readonly target: string;
  /** Writing rows again must change nothing. */
  write(rows: readonly NewPrediction[]): Promise<unknown>;
}

/** Rows that were answered together; what is to be kept of each is made when it is written. */
export interface LoggedRows {
  readonly count: number;
  logged(index: number): NewPrediction;
}

const FLUSH_INTERVAL_MS = 100;
/** Writing so many does not hold up others for long. */
const FEWEST_A_WRITE = 250;
/** Where more waits, this share of it: requests that never pause would otherwise fill the log faster than it is written. */
const SHARE_A_WRITE = 0.1;
const MOST_A_WRITE = 2_000;
/** While a sink is away it is tried so often. */
const LONGEST_DELAY_MS = 1_000;
/** A process that ends, or may be halted, waits no longer for a sink that is away. */
const LAST_WRITE_MS = 2_000;

/**
 * Logs predictions behind the answers: batched, bounded, never waited for. Each sink gets each row once: an outage of one does not repeat rows to
 * the others. A row that a sink refuses goes to the dead letters, alone. What does not fit while a sink is away is dropped and counted.
 */
export class PredictionLog implements Service {
  readonly name = 'prediction log';
  readonly #sinks: readonly { readonly sink: PredictionSink; readonly delivery: Delivery }[];
  readonly #deadLetters: Pick<DeadLetterWriter, 'write'>;
  readonly #log: Logger;
  readonly #limit: number;
  readonly #dropped: Counter;
  /** What has come since those that are being read were taken. */
  #waiting: LoggedRows[] = [];
  #reading: LoggedRows[] = [];
  /** The place in `#reading`, and the row there. */
  #next = 0;
  #nextRow = 0;
  /** Ends what is waiting for a sink. */
  readonly #giveUp = new AbortController();
  /** Rows that are not written yet. */
  #rows = 0;
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    deps: {
      readonly sinks: readonly PredictionSink[];
      readonly deadLetters: Pick<DeadLetterWriter, 'write'>;
      readonly log: Logger;
      readonly metrics: Registry;
    },
    settings: { readonly maxPending: number },
  ) {
    this.#sinks = deps.sinks.map((sink) => ({
      sink,
      delivery: new Delivery(deps, { target: sink.target, longestDelayMs: LONGEST_DELAY_MS }),
    }));
    this.#deadLetters = deps.deadLetters;
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

  /** Writes what waits. */
  flush(): Promise<void> {
    this.#flushing ??= this.#writeAll().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  /** The same for a process that may be halted as soon as it has answered: it does not wait for a sink that is away. */
  async flushNow(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_WRITE_MS);
    });
    await Promise.race([this.flush(), late]);
    clearTimeout(timer);
  }

  async #writeAll(): Promise<void> {
    for (let some = this.#take(); some.length > 0; some = this.#take()) {
      await this.#write(some);
      this.#rows -= some.length;
      if (this.#giveUp.signal.aborted) return;
      // Requests go first.
      await setImmediate();
    }
  }

  /** Resolves when each sink has the rows, or they are in the dead letters. */
  async #write(rows: readonly NewPrediction[]): Promise<void> {
    const { signal } = this.#giveUp;
    const lost = new Set<NewPrediction>();
    const writing = this.#sinks.map(async ({ sink, delivery }) => {
      try {
        await this.#refuse(sink, await delivery.writeAll(rows, (part) => sink.write(part), signal));
      } catch (error) {
        // Ten minutes without the sink, or the process ends.
        for (const row of rows) lost.add(row);
        this.#log.error({ error, target: sink.target, rows: rows.length }, 'prediction_log.write_failed');
      }
    });
    await Promise.all(writing);
    this.#dropped.inc(lost.size);
  }

  async #refuse({ target }: PredictionSink, rejected: readonly Rejected<NewPrediction>[]): Promise<void> {
    if (rejected.length === 0) return;
    const timestamp = new Date().toISOString();
    const stage = `prediction_log.${target.replaceAll(' ', '_')}`;
    await this.#deadLetters.write(
      rejected.map(({ value, reason }) => ({ payload: payloadOf(value), reason, stage, attempt: 1, timestamp })),
      this.#giveUp.signal,
    );
  }

  /** The oldest rows, as many as are written at once. */
  #take(): readonly NewPrediction[] {
    const some: NewPrediction[] = [];
    const most = Math.min(MOST_A_WRITE, Math.max(FEWEST_A_WRITE, this.#rows * SHARE_A_WRITE));
    while (some.length < most) {
      const rows = this.#reading[this.#next];
      if (rows === undefined) {
        // What has been read is released, also when nothing follows.
        this.#reading = this.#waiting;
        this.#waiting = [];
        this.#next = 0;
        if (this.#reading.length === 0) break;
      } else if (this.#nextRow < rows.count) {
        const index = this.#nextRow++;
        try {
          some.push(this.#sinks.length > 1 ? withText(rows.logged(index)) : rows.logged(index));
        } catch (error) {
          this.#rows -= 1;
          this.#dropped.inc();
          this.#log.error({ error, index }, 'prediction_log.row_failed');
        }
      } else {
        this.#next += 1;
        this.#nextRow = 0;
      }
    }
    return some;
  }

  async drain(): Promise<void> {
    clearInterval(this.#timer);
    const timer = setTimeout(() => this.#giveUp.abort(), LAST_WRITE_MS);
    // A flush that was under way may have begun before the newest rows came.
    await this.flush();
    await this.flush();
    clearTimeout(timer);
    if (this.#rows > 0) this.#dropped.inc(this.#rows);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
  }
}

/** Returns the row with its features as text: several sinks would each write them out. What cannot be written is left to them to refuse. */
function withText(row: NewPrediction): NewPrediction {
  try {
    return typeof row.features === 'string' ? row : { ...row, features: JSON.stringify(row.features) };
  } catch {
    return row;
  }
}

/** What a dead letter shows of a row: as it is in the topic, where it can be written at all. */
function payloadOf({ features, ...row }: NewPrediction): string {
  try {
    return withFeatures(row, features);
  } catch (error) {
    return JSON.stringify({ requestId: row.requestId, rowIndex: row.rowIndex, problem: messageOf(error) });
  }
}
