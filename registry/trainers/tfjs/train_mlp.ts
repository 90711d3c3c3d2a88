import { requireInstalled } from '#kernel/optional_package';
import { type BinaryMetrics, binaryMetrics } from '#kernel/statistics/binary_metrics';
import { workerEntry } from '#kernel/workers/worker_entry';
import { runWorkerJob } from '#kernel/workers/worker_job';
import { TrainingError } from '../../errors.ts';
import { encodeRows, scoreRows, withExamples } from '../../evaluation/score.ts';
import type { ModelPackage, ModelSignature } from '../../packages/model_package.ts';
import { heldOutFrom, inputColumns, type TrainingTable } from '../../training_table.ts';
import type { MlpJob, MlpProgress } from './mlp_worker.ts';
import { MLP_INPUT, MLP_OUTPUT, type Mlp, mlpToOnnx } from './onnx_mlp.ts';

export interface TrainedModel {
  readonly package: ModelPackage;
  /** On the newest fifth of the rows, which training did not see. */
  readonly metrics: BinaryMetrics;
  readonly params: Readonly<Record<string, string>>;
}

export interface MlpSettings {
  readonly epochs?: number;
  readonly seed?: number;
  /** Names of the two classes: of label 0 and of label 1. */
  readonly classes: readonly [string, string];
  readonly onProgress?: (progress: MlpProgress) => void;
  readonly signal?: AbortSignal;
}

const DEFAULT_EPOCHS = 12;
const FEWEST_ROWS = 500;
const TRAINER_HEAP_MB = 256;

/**
 * Trains a small neural network in Node alone (tfjs on a thread of its own) and gives it as ONNX, preprocessing included. The same
 * table and seed give the same model.
 *
 * @throws {@link TrainingError} when there is too little to learn from
 */
export async function trainMlp(table: TrainingTable, settings: MlpSettings): Promise<TrainedModel> {
  const { epochs = DEFAULT_EPOCHS, seed = 1 } = settings;
  const rows = table.rows.length;
  const split = heldOutFrom(rows);
  const positives = table.labels.slice(0, split).reduce((sum, label) => sum + label, 0);
  if (rows < FEWEST_ROWS || positives < 10) {
    throw new TrainingError(
      `${rows} rows with ${positives} positives are too few to learn from: ${FEWEST_ROWS} rows and 10 positives are needed`,
    );
  }
  const signature: ModelSignature = {
    inputs: inputColumns(table, split),
    task: 'binary_classification',
    classes: settings.classes,
    onnx: { input: MLP_INPUT, output: MLP_OUTPUT },
    featureService: table.featureService,
  };
  const job: MlpJob = {
    width: table.columns.length,
    features: Float32Array.from(encodeRows(signature, table, 0, split)),
    labels: Float32Array.from(table.labels.slice(0, split)),
    epochs,
    seed,
  };
  requireInstalled({ packages: ['@tensorflow/tfjs'], use: 'the trainer tfjs-mlp' });
  const mlp = await runWorkerJob<MlpJob, MlpProgress, Mlp>(workerEntry(import.meta.url, './mlp_worker'), job, {
    maxHeapMb: TRAINER_HEAP_MB,
    ...(settings.onProgress === undefined ? {} : { onProgress: settings.onProgress }),
    ...(settings.signal === undefined ? {} : { signal: settings.signal }),
  });
  const bare: ModelPackage = { onnx: mlpToOnnx(mlp, '1'), signature, examples: [] };
  const metrics = binaryMetrics(table.labels.slice(split), await scoreRows(bare, table, split, rows));
  return {
    package: await withExamples(bare, table, split, rows),
    metrics,
    params: { trainer: 'tfjs-mlp', hidden: '32,16', epochs: String(epochs), seed: String(seed), rows: String(split) },
  };
}
