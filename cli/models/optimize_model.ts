import { resolve } from 'node:path';
import { environment } from '#configs/environment';
import { readTrainingSet } from '#feature_store/retrieval/training_set';
import { copyOf } from '#registry/copy_version';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { type ScoredRows, scoreTable } from '#registry/evaluation/score';
import type { ModelPackage } from '#registry/packages/model_package';
import { quantize } from '#registry/trainers/quantize';
import { judgedAs } from '#registry/trainers/training_config';
import { heldOutFrom } from '#registry/training_table';
import { LoadedModel } from '#serving/models/loaded_model';
import { tableOf } from '../history/training_table.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { describeMetrics } from './evaluation_report.ts';
import { summaryOf, versionOf, withRegistry } from './models.ts';

export interface OptimizeOptions {
  readonly trainingSet: string;
  readonly maxDrift: number;
  readonly register: boolean;
  readonly json: boolean;
}

const RUNS = 200;
const ROWS_A_RUN = 100;

/**
 * `headwater models optimize NAME VERSION`: weights of eight bits; what that does to size, time, predictions and metrics on the newest fifth of
 * a training set; a new version, where it is worth it.
 */
export const optimizeModel = (name: string, version: number, options: OptimizeOptions): Promise<void> =>
  withRegistry(async (registry, config) => {
    const found = await versionOf(registry, name, version);
    const original = await copyOf(registry, found);
    const table = tableOf(await readTrainingSet(resolve(options.trainingSet)));
    const python = environment().PYTHON === undefined ? {} : { python: environment().PYTHON };
    const say = options.json ? () => {} : print;
    const onnx = await quantize(original.package.onnx, { ...python, onLine: say });

    const from = heldOutFrom(table.rows.length);
    const before = await scoreTable(original.package, table, from, table.rows.length);
    if (before.rows.length === 0)
      throw new CommandFailedError(`the model takes none of the rows of ${options.trainingSet}`);
    const small = await withOwnExamples({ ...original.package, onnx });
    const drift = driftOf(before, await scoreTable(small, table, from, table.rows.length));
    const training = config.training[name];
    const { metrics } = await evaluateModel(small, table, training === undefined ? {} : judgedAs(training));
    const [was, is] = [original.package.onnx.length, onnx.length];
    const [usBefore, usAfter] = [await microsecondsARow(original.package), await microsecondsARow(small)];
    const outcome = {
      ...{ model: name, version, bytes: was, bytes_optimized: is, rows: before.rows.length, drift },
      ...{ us_a_row: usBefore, us_a_row_optimized: usAfter, metrics, metrics_of_original: original.metrics },
    };
    if (options.json) print(JSON.stringify(outcome));
    say(`${was} bytes, then ${is}; ${usBefore.toFixed(1)} µs a row, then ${usAfter.toFixed(1)}`);
    say(`outputs differ by ${(drift * 100).toFixed(2)} % of their range at most, over ${before.rows.length} rows`);
    say(`judged anew: ${describeMetrics(metrics)}; before: ${describeMetrics(original.metrics)}`);
    if (drift > options.maxDrift) {
      throw new CommandFailedError(
        `that is more than ${options.maxDrift * 100} %: not registered; --max-drift allows more`,
      );
    }
    if (is >= was && usAfter >= usBefore)
      throw new CommandFailedError('it is neither smaller nor faster: not registered');
    if (!options.register) return;
    const made = await registry.register({
      ...{ ...original, name, package: small, metrics: { ...metrics, quantization_drift: drift } },
      params: { ...original.params, quantized_from: String(version), quantization: 'dynamic, 8 bits' },
      description: `version ${version} with weights of eight bits`,
    });
    say(summaryOf(made));
  });

/** Golden rows with what this file gives for them: it is not what the trainer saw. */
async function withOwnExamples(model: ModelPackage): Promise<ModelPackage> {
  const loaded = await LoadedModel.load({ ...model, examples: [] });
  try {
    const { width } = loaded.encoder;
    const input = loaded.encoder.allocate(model.examples.length);
    for (const [index, { features }] of model.examples.entries()) loaded.encoder.encode(features, input, index * width);
    const output = await loaded.run(input, model.examples.length);
    const values = (index: number) =>
      Array.from(output.subarray(index * loaded.outputWidth, (index + 1) * loaded.outputWidth));
    return {
      ...model,
      examples: model.examples.map(({ features }, index) => ({ features, output: values(index) })),
    };
  } finally {
    await loaded.release();
  }
}

/** The largest difference, as a share of the range of the outputs before. */
function driftOf({ outputs: before }: ScoredRows, { outputs: after }: ScoredRows): number {
  let [least, most, difference] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (const [at, value] of before.entries()) {
    least = Math.min(least, value);
    most = Math.max(most, value);
    difference = Math.max(difference, Math.abs(value - (after[at] as number)));
  }
  return most > least ? difference / (most - least) : difference;
}

/** The median of many runs of a hundred rows. */
async function microsecondsARow(model: ModelPackage): Promise<number> {
  const loaded = await LoadedModel.load(model);
  try {
    const input = loaded.encoder.allocate(ROWS_A_RUN);
    for (let row = 0; row < ROWS_A_RUN && model.examples.length > 0; row += 1) {
      const { features } = model.examples[row % model.examples.length] as ModelPackage['examples'][number];
      loaded.encoder.encode(features, input, row * loaded.encoder.width);
    }
    const times: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const beganMs = performance.now();
      await loaded.run(input, ROWS_A_RUN);
      times.push(performance.now() - beganMs);
    }
    times.sort((a, b) => a - b);
    return ((times[RUNS / 2] as number) * 1_000) / ROWS_A_RUN;
  } finally {
    await loaded.release();
  }
}
