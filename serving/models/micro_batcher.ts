import type { RowValues } from '#registry/packages/model_package';
import { DeadlinePassedError } from '../errors.ts';
import type { Call } from './call.ts';
import type { LoadedModel } from './loaded_model.ts';
import { DEFAULT_RUNTIME, type ModelRuntime } from './model_runtime.ts';
import { UsualTime } from './usual_time.ts';

interface Waiting {
  readonly input: RowValues;
  readonly rows: number;
  readonly call: Call | undefined;
  /** When the row was queued, ms of `performance.now()`; 0 where the call is not timed. */
  readonly beganMs: number;
  resolve(output: RowValues): void;
  reject(error: unknown): void;
}

/**
 * Runs rows of several requests together: all that came in during one turn of the event loop, or within `maxWaitMs` where a model is configured to
 * wait for others. A request that is alone runs alone.
 */
export class MicroBatcher {
  readonly #model: LoadedModel;
  readonly #maxRows: number;
  readonly #maxWaitMs: number;
  #waiting: Waiting[] = [];
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  /** Of those that wait. */
  #rows = 0;
  readonly #row = new UsualTime();

  constructor(model: LoadedModel, { maxRows, maxWaitMs }: ModelRuntime['batching'] = DEFAULT_RUNTIME.batching) {
    this.#model = model;
    this.#maxRows = maxRows;
    this.#maxWaitMs = maxWaitMs;
  }

  /** What a row takes, by the runs so far. */
  get rowMs(): number {
    return this.#row.ms;
  }

  /** @returns the outputs of exactly these rows. @throws {@link DeadlinePassedError}; what the model throws */
  infer(input: RowValues, rows: number, call?: Call): Promise<RowValues> {
    return new Promise((resolve, reject) => {
      const beganMs = call?.timing === undefined ? 0 : performance.now();
      this.#waiting.push({ input, rows, call, beganMs, resolve, reject });
      this.#rows += rows;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    if (this.#maxWaitMs > 0 && this.#rows < this.#maxRows) {
      this.#timer ??= setTimeout(() => void this.#runAll(), this.#maxWaitMs);
      return;
    }
    this.#scheduled = true;
    setImmediate(() => void this.#runAll());
  }

  /** One run after the other: answers of the first leave while the next is computed, and each knows what it took. */
  async #runAll(): Promise<void> {
    this.#scheduled = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#rows = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const batch of inRuns(waiting, this.#maxRows)) await this.#run(batch);
  }

  async #run(asked: readonly Waiting[]): Promise<void> {
    const { encoder, outputWidth } = this.#model;
    const beganMs = performance.now();
    const batch = inTime(asked, beganMs);
    try {
      if (batch.length === 1) {
        const [{ input, rows, resolve }] = batch as [Waiting];
        const output = await this.#model.run(input, rows);
        this.#measure(batch, beganMs, rows);
        resolve(output);
        return;
      }
      if (batch.length === 0) return;
      const total = batch.reduce((sum, { rows }) => sum + rows, 0);
      const input = encoder.allocate(total);
      let at = 0;
      for (const waiting of batch) {
        input.set(waiting.input, at * encoder.width);
        at += waiting.rows;
      }
      const output = await this.#model.run(input, total);
      this.#measure(batch, beganMs, total);
      at = 0;
      for (const { rows, resolve } of batch) {
        resolve(output.subarray(at * outputWidth, (at + rows) * outputWidth));
        at += rows;
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  #measure(batch: readonly Waiting[], beganMs: number, rows: number): void {
    const tookMs = performance.now() - beganMs;
    this.#row.add(tookMs / rows);
    for (const { call, beganMs: askedMs } of batch) {
      if (call?.timing === undefined) continue;
      call.timing.queue = beganMs - askedMs;
      call.timing.inference = tookMs;
    }
  }
}

/** Those whose callers still wait; the others are rejected. */
function inTime(asked: readonly Waiting[], nowMs: number): readonly Waiting[] {
  const isLate = ({ call }: Waiting): boolean => call?.deadlineMs !== undefined && call.deadlineMs < nowMs;
  if (!asked.some(isLate)) return asked;
  for (const late of asked.filter(isLate)) late.reject(new DeadlinePassedError());
  return asked.filter((waiting) => !isLate(waiting));
}

function* inRuns(waiting: readonly Waiting[], maxRows: number): Iterable<readonly Waiting[]> {
  let batch: Waiting[] = [];
  let rows = 0;
  for (const request of waiting) {
    if (batch.length > 0 && rows + request.rows > maxRows) {
      yield batch;
      batch = [];
      rows = 0;
    }
    batch.push(request);
    rows += request.rows;
  }
  if (batch.length > 0) yield batch;
}
