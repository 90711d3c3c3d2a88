import type { DenseLayer } from 'headwater/registry';
import { Random } from 'headwater/testing';
import { NO_SIGNALS, signalsOf } from '../insights/detection/signals.ts';
import { rowOf, type SparseRow, WIDTH } from '../insights/features.ts';
import type { Language } from '../insights/languages.ts';
import { lexiconOf } from '../insights/lexicons/lexicons.ts';
import { OUTPUTS } from '../insights/model.ts';
import type { Sentence } from './corpus.ts';

export interface Example {
  readonly row: SparseRow;
  /** 0 or 1 for each output. */
  readonly targets: readonly number[];
  readonly weight: number;
}

/** @param isBlind - leaves out what the lexicon finds */
export function exampleOf(sentence: Sentence, language: Language, weight: number, isBlind: boolean): Example {
  const { text, isAdverse, sentiment, topic } = sentence;
  const signals = signalsOf(text, lexiconOf(language));
  const row = rowOf(
    text,
    isBlind ? { ...NO_SIGNALS, isQuestion: signals.isQuestion, topics: signals.topics } : signals,
    language,
  );
  const targets = OUTPUTS.map((name) =>
    name === 'adverse_event' ? Number(isAdverse) : Number(name === sentiment || name === topic),
  );
  return { row, targets, weight };
}

const EPOCHS = 10;
const RATE = 0.35;
/** L2, on each step, of the weights that it touches. */
const DECAY = 5e-4;
const EPSILON = 1e-6;

/** Models whose weights are averaged: each has seen the examples in an order of its own. */
const MODELS = 4;

/** Fits logistic regressions, and returns the mean of their weights. */
export function fitModel(examples: readonly Example[], seed: number): DenseLayer {
  const layers = Array.from({ length: MODELS }, (_, at) => fitOnce(examples, MODELS * seed + at));
  const mean = (of: (layer: DenseLayer) => Float32Array): Float32Array =>
    of(layers[0] as DenseLayer).map(
      (_, at) => layers.reduce((sum, layer) => sum + (of(layer)[at] as number), 0) / MODELS,
    );
  return { weights: mean(({ weights }) => weights), bias: mean(({ bias }) => bias) };
}

/** Fits a logistic regression an output with AdaGrad (Duchi et al., 2011), one example at a time. */
function fitOnce(examples: readonly Example[], seed: number): DenseLayer {
  const outputs = OUTPUTS.length;
  const weights = new Float32Array(WIDTH * outputs);
  const gradients = new Float32Array(WIDTH * outputs);
  const bias = new Float32Array(outputs);
  const biasGradients = new Float32Array(outputs);
  /** Sums of the outputs, then their errors. */
  const errors = new Float64Array(outputs);
  const random = new Random(seed);
  const order = Uint32Array.from(examples.keys());
  for (let epoch = 0; epoch < EPOCHS; epoch += 1) {
    for (let at = order.length - 1; at > 0; at -= 1) {
      const other = random.integer(0, at);
      [order[at], order[other]] = [order[other] as number, order[at] as number];
    }
    for (const index of order) {
      const { row, targets, weight } = examples[index] as Example;
      errors.set(bias);
      for (let at = 0; at < row.columns.length; at += 1) {
        const from = (row.columns[at] as number) * outputs;
        const value = row.values[at] as number;
        for (let output = 0; output < outputs; output += 1)
          errors[output] = (errors[output] as number) + value * (weights[from + output] as number);
      }
      for (let output = 0; output < outputs; output += 1) {
        const error = weight * (1 / (1 + Math.exp(-(errors[output] as number))) - (targets[output] as number));
        errors[output] = error;
        biasGradients[output] = (biasGradients[output] as number) + error * error;
        bias[output] =
          (bias[output] as number) - (RATE * error) / Math.sqrt((biasGradients[output] as number) + EPSILON);
      }
      // The outputs of a column are next to each other in memory.
      for (let at = 0; at < row.columns.length; at += 1) {
        const from = (row.columns[at] as number) * outputs;
        const value = row.values[at] as number;
        for (let place = from; place < from + outputs; place += 1) {
          const slope = (errors[place - from] as number) * value + DECAY * (weights[place] as number);
          gradients[place] = (gradients[place] as number) + slope * slope;
          weights[place] =
            (weights[place] as number) - (RATE * slope) / Math.sqrt((gradients[place] as number) + EPSILON);
        }
      }
    }
  }
  return { weights, bias };
}
