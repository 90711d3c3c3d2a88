import * as tf from '@tensorflow/tfjs';
import { serveWorkerJob } from '#kernel/workers/worker_job';
import type { DenseLayer, Mlp } from './onnx_mlp.ts';

export interface MlpJob {
  readonly width: number;
  /** FP32 [rows, width], row-major; NaN is missing. */
  readonly features: Float32Array;
  /** 0 or 1, a row each. */
  readonly labels: Float32Array;
  readonly epochs: number;
  readonly seed: number;
}

export interface MlpProgress {
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
}

const HIDDEN = [32, 16] as const;
const BATCH = 256;
const LEARNING_RATE = 0.003;
const VALIDATION_SHARE = 0.1;
const PATIENCE = 3;

serveWorkerJob<MlpJob, MlpProgress, Mlp>(async (job, report) => {
  await tf.setBackend('cpu');
  const { width, labels } = job;
  const rows = labels.length;
  const fill = medians(job.features, rows, width);
  const squashed = squash(job.features, fill, width);
  const { center, scale } = standardise(squashed, rows, width);
  for (let at = 0; at < squashed.length; at += 1) {
    const column = at % width;
    squashed[at] = ((squashed[at] as number) - (center[column] as number)) / (scale[column] as number);
  }
  // Validation is the newest part: rows come by time.
  const trainRows = Math.floor(rows * (1 - VALIDATION_SHARE));
  const positives = labels.subarray(0, trainRows).reduce((sum, label) => sum + label, 0);
  // Fraud is rare: the square root keeps probabilities from being pushed up all the way.
  const weight = Math.sqrt((trainRows - positives) / Math.max(1, positives));

  const model = tf.sequential();
  const initializer = (layer: number) => tf.initializers.glorotUniform({ seed: job.seed + layer });
  for (const [index, units] of HIDDEN.entries()) {
    const shape = index === 0 ? { inputShape: [width] } : {};
    model.add(tf.layers.dense({ units, activation: 'relu', kernelInitializer: initializer(index), ...shape }));
  }
  model.add(tf.layers.dense({ units: 1, activation: 'sigmoid', kernelInitializer: initializer(HIDDEN.length) }));
  model.compile({ optimizer: tf.train.adam(LEARNING_RATE), loss: 'binaryCrossentropy' });

  const x = tf.tensor2d(squashed, [rows, width]);
  const y = tf.tensor2d(labels, [rows, 1]);
  const validation = [x.slice([trainRows, 0]), y.slice([trainRows, 0])] as const;
  let best = { loss: Number.POSITIVE_INFINITY, layers: layersOf(model) };
  let worse = 0;
  for (let epoch = 1; epoch <= job.epochs && worse < PATIENCE; epoch += 1) {
    const history = await model.fit(
      shuffled(x, trainRows, job.seed + epoch),
      shuffled(y, trainRows, job.seed + epoch),
      {
        batchSize: BATCH,
        epochs: 1,
        shuffle: false,
        classWeight: { 0: 1, 1: weight },
        validationData: [...validation],
        verbose: 0,
        yieldEvery: 'never',
      },
    );
    const loss = Number(history.history.val_loss?.[0]);
    report({ epoch, epochs: job.epochs, loss });
    if (loss < best.loss) {
      best = { loss, layers: layersOf(model) };
      worse = 0;
    } else worse += 1;
  }
  return { width, fill, center, scale, layers: best.layers };
});

function layersOf(model: tf.Sequential): DenseLayer[] {
  return model.layers.map((layer) => {
    const [weights, bias] = layer.getWeights() as [tf.Tensor, tf.Tensor];
    return { weights: Float32Array.from(weights.dataSync()), bias: Float32Array.from(bias.dataSync()) };
  });
}

/** The first `rows` rows in an order that depends on the seed alone. */
function shuffled(tensor: tf.Tensor2D, rows: number, seed: number): tf.Tensor2D {
  const order = Int32Array.from({ length: rows }, (_, index) => index);
  let state = seed >>> 0;
  for (let index = rows - 1; index > 0; index -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = state % (index + 1);
    [order[index], order[other]] = [order[other] as number, order[index] as number];
  }
  return tf.tidy(() => tf.gather(tensor, tf.tensor1d(order, 'int32')));
}

function medians(features: Float32Array, rows: number, width: number): Float32Array {
  return Float32Array.from({ length: width }, (_, column) => {
    const present: number[] = [];
    for (let row = 0; row < rows; row += 1) {
      const value = features[row * width + column] as number;
      if (!Number.isNaN(value)) present.push(value);
    }
    present.sort((a, b) => a - b);
    return present[present.length >> 1] ?? 0;
  });
}

/** Missing values filled; then sign(x)·log(1+|x|), which tames amounts and counts alike. */
function squash(features: Float32Array, fill: Float32Array, width: number): Float32Array {
  return features.map((value, at) => {
    const filled = Number.isNaN(value) ? (fill[at % width] as number) : value;
    return Math.sign(filled) * Math.log1p(Math.abs(filled));
  });
}

function standardise(values: Float32Array, rows: number, width: number): { center: Float32Array; scale: Float32Array } {
  const center = new Float32Array(width);
  const scale = new Float32Array(width);
  for (let column = 0; column < width; column += 1) {
    let sum = 0;
    let squares = 0;
    for (let row = 0; row < rows; row += 1) {
      const value = values[row * width + column] as number;
      sum += value;
      squares += value * value;
    }
    const mean = sum / rows;
    center[column] = mean;
    scale[column] = Math.sqrt(Math.max(0, squares / rows - mean * mean)) || 1;
  }
  return { center, scale };
}
