import type { RowValues } from '#registry/packages/model_package';
import { loggedPrediction } from '../inference/answered_rows.ts';
import { AdaptiveThreshold, type ThresholdRule } from '../models/adaptive_threshold.ts';
import { interpret } from '../models/interpret.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { PredictionRow } from '../prediction_store/prediction_store.ts';

/** What a version answers to a row, as the log has it. */
export type Answer = Pick<PredictionRow, 'prediction' | 'probabilities'>;

/** Computes answers of a version in the form of the log, with the thresholds that are configured for its model. */
export class AnswerScorer {
  readonly #model: LoadedModel;
  readonly #threshold: AdaptiveThreshold | undefined;

  constructor(model: LoadedModel, thresholds: readonly ThresholdRule[]) {
    this.#model = model;
    this.#threshold =
      thresholds.length === 0 ? undefined : new AdaptiveThreshold(thresholds, model.signature, model.encoder);
  }

  /** @param input - [rows, columns], as the model's encoder wrote them; what comes after the rows is not read */
  async answers(input: RowValues, rows: number): Promise<readonly Answer[]> {
    if (rows === 0) return [];
    const { encoder, outputWidth } = this.#model;
    const output = await this.#model.run(input.subarray(0, rows * encoder.width), rows);
    return Array.from({ length: rows }, (_, at) =>
      loggedPrediction(
        interpret(this.#model, output, at * outputWidth, this.#threshold?.of(input, at * encoder.width)),
      ),
    );
  }
}
