import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { Counter, Histogram, type Registry } from '#monitoring/metrics';
import { type RowValues, scoreWidth } from '#registry/packages/model_package';
import { reencoded } from '#registry/packages/signature_encoder';
import { type Prediction, predictionOf } from '../models/interpret.ts';
import type { ActiveModel } from '../models/model_slot.ts';

/** Rows that may wait to be computed in the shadow: more are left out, and counted. */
const MOST_WAITING_ROWS = 2_000;
const DIFFERENCES = [0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 10, 100];

/**
 * Computes with another version what was just answered, and tells by how much it differs. It answers no caller: it runs after the answers, and what it
 * cannot keep up with it leaves out.
 */
export class ShadowRuns {
  readonly #log: Logger;
  readonly #rows: Counter<'model' | 'version' | 'outcome'>;
  readonly #differences: Histogram<'model' | 'version'>;
  #waiting = 0;

  constructor({ log, metrics }: { readonly log: Logger; readonly metrics: Registry }) {
    this.#log = log.child({ component: 'serving.shadow' });
    const registers = [metrics];
    this.#rows = new Counter({
      name: 'shadow_rows_total',
      help: 'Rows computed in the shadow, by outcome: same, other (prediction), skipped, failed',
      labelNames: ['model', 'version', 'outcome'],
      registers,
    });
    this.#differences = new Histogram({
      name: 'shadow_difference',
      help: 'Largest difference of a row’s outputs between the shadow and the answer',
      labelNames: ['model', 'version'],
      buckets: DIFFERENCES,
      registers,
    });
  }

  /**
   * @param input - [rows, columns] of what was answered, as `answered` encodes them; kept until it has run
   * @param output - [rows, outputWidth]: the answer
   */
  run(shadow: ActiveModel, answered: ActiveModel, input: RowValues, rows: number, output: RowValues): void {
    // Versions that take other columns, or give something else, have nothing to compare.
    if (this.#waiting + rows > MOST_WAITING_ROWS || shadow.model.shape !== answered.model.shape) {
      this.#count(shadow, 'skipped', rows);
      return;
    }
    this.#waiting += rows;
    setImmediate(() => {
      void this.#compare(shadow, answered, input, rows, output).finally(() => {
        this.#waiting -= rows;
      });
    });
  }

  async #compare(
    shadow: ActiveModel,
    answered: ActiveModel,
    input: RowValues,
    rows: number,
    output: RowValues,
  ): Promise<void> {
    const { signature, outputWidth, encoder } = shadow.model;
    const before = answered.model.outputWidth;
    // A label is compared as a prediction.
    const width = Math.min(scoreWidth(signature), scoreWidth(answered.model.signature));
    try {
      const found = await shadow.batcher.infer(reencoded(answered.model.encoder, encoder, input), rows);
      for (let row = 0; row < rows; row += 1) {
        const [at, was] = [row * outputWidth, row * before];
        let largest = 0;
        for (let index = 0; index < width; index += 1) {
          largest = Math.max(largest, Math.abs((found[at + index] as number) - (output[was + index] as number)));
        }
        this.#differences.observe({ model: shadow.name, version: String(shadow.version) }, largest);
        const same = isSame(predictionOf(shadow.model, found, at), predictionOf(answered.model, output, was));
        this.#count(shadow, same ? 'same' : 'other', 1);
      }
    } catch (error) {
      this.#count(shadow, 'failed', rows);
      this.#log.warn({ model: shadow.name, version: shadow.version, reason: messageOf(error) }, 'shadow.failed');
    }
  }

  #count({ name, version }: ActiveModel, outcome: 'same' | 'other' | 'skipped' | 'failed', rows: number): void {
    this.#rows.inc({ model: name, version: String(version), outcome }, rows);
  }
}

const isSame = (one: Prediction, other: Prediction): boolean =>
  typeof one === 'object' || typeof other === 'object' ? String(one) === String(other) : one === other;
