import { OverloadedError } from '../errors.ts';
import type { LoadedModel } from './loaded_model.ts';

interface Waiting {
  readonly input: Float32Array;
  readonly rows: number;
  resolve(output: Float32Array): void;
  reject(error: unknown): void;
}

/** Rows in one run: enough to share its fixed cost, few enough that nobody waits long. */
const ROWS_A_RUN = 64;

/** Counts rows in flight over all models of a process. */
export class RowBudget {
  readonly #limit: number;
  #pending = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws {@link OverloadedError} when there is no room; call {@link give} for each take */
  take(rows: number): void {
    // One request larger than the whole budget is let through when nothing else waits.
    if (this.#pending > 0 && this.#pending + rows > this.#limit) throw new OverloadedError();
    this.#pending += rows;
  }

  give(rows: number): void {
    this.#pending -= rows;
  }
}

/**
 * Runs rows of several requests together: all that came in during one turn of the event loop. Never waits for a timer; a request
 * that is alone runs alone.
 */
export class MicroBatcher {
  readonly #model: LoadedModel;
  #waiting: Waiting[] = [];
  #scheduled = false;

  constructor(model: LoadedModel) {
    this.#model = model;
  }

  /** @returns the outputs of exactly these rows */
  infer(input: Float32Array, rows: number): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ input, rows, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const batch of inRuns(waiting)) void this.#run(batch);
      });
    });
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    const { encoder, outputWidth } = this.#model;
    try {
      if (batch.length === 1) {
        const [{ input, rows, resolve }] = batch as [Waiting];
        resolve(await this.#model.run(input, rows));
        return;
      }
      const total = batch.reduce((sum, { rows }) => sum + rows, 0);
      const input = new Float32Array(total * encoder.width);
      let at = 0;
      for (const waiting of batch) {
        input.set(waiting.input, at * encoder.width);
        at += waiting.rows;
      }
      const output = await this.#model.run(input, total);
      at = 0;
      for (const { rows, resolve } of batch) {
        resolve(output.subarray(at * outputWidth, (at + rows) * outputWidth));
        at += rows;
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

function* inRuns(waiting: readonly Waiting[]): Iterable<readonly Waiting[]> {
  let batch: Waiting[] = [];
  let rows = 0;
  for (const request of waiting) {
    if (batch.length > 0 && rows + request.rows > ROWS_A_RUN) {
      yield batch;
      batch = [];
      rows = 0;
    }
    batch.push(request);
    rows += request.rows;
  }
  if (batch.length > 0) yield batch;
}
