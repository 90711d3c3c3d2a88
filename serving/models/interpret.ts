import { DEFAULT_THRESHOLD, type ModelSignature, type RowValues, scoreWidth } from '#registry/packages/model_package';
import type { TextNumbers } from '#registry/packages/signature_encoder';

/** A class, a label as the graph gives it, a value, or all values of a row where the model does not say what they are. */
export type Prediction = string | number | readonly number[];

export interface Predicted {
  readonly prediction: Prediction;
  /** By class: probabilities, distances to the centres, or the anomaly score. */
  readonly outputs?: Readonly<Record<string, number>>;
  /** That decided, where it depends on the row. */
  readonly threshold?: number;
}

/** What the meaning of an output depends on. */
export interface Meaning {
  readonly signature: ModelSignature;
  /** Of a graph whose labels are strings: what their numbers stand for. */
  readonly labels?: TextNumbers | undefined;
}

/** The place of the most probable class, or of the nearest centre; NaN where the first is no number. */
export function bestClass({ task, classes }: ModelSignature, output: RowValues, offset: number): number {
  const sign = task === 'clustering' ? -1 : 1;
  if (Number.isNaN(output[offset])) return Number.NaN;
  let best = 0;
  for (let index = 1; index < classes.length; index += 1) {
    if (sign * (output[offset + index] as number) > sign * (output[offset + best] as number)) best = index;
  }
  return best;
}

/** Returns what a row's output says it is. @param threshold - of this row; the model's own without */
export function predictionOf(
  { signature, labels }: Meaning,
  output: RowValues,
  offset: number,
  threshold: number | undefined = signature.threshold,
): Prediction {
  const { task, classes, onnx } = signature;
  if (onnx.label !== undefined && threshold === undefined) {
    const label = output[offset + scoreWidth(signature)] as number;
    return labels === undefined ? label : labels.textOf(label);
  }
  switch (task) {
    case 'regression':
      return output[offset] as number;
    case 'values':
    case 'tensors':
      return classes.length === 1
        ? (output[offset] as number)
        : Array.from(output.subarray(offset, offset + classes.length));
    case 'anomaly_detection':
      return classes[(output[offset] as number) >= (threshold ?? DEFAULT_THRESHOLD) ? 1 : 0] as string;
    case 'binary_classification':
      return classes[(output[offset + 1] as number) >= (threshold ?? DEFAULT_THRESHOLD) ? 1 : 0] as string;
    default:
      return classes[bestClass(signature, output, offset) || 0] as string;
  }
}

/** Returns what a row's output means. @param threshold - of this row; the model's own without */
export function interpret(meaning: Meaning, output: RowValues, offset: number, threshold?: number): Predicted {
  const { task, classes } = meaning.signature;
  const prediction = predictionOf(meaning, output, offset, threshold);
  if (task === 'regression') return { prediction };
  if (task === 'anomaly_detection')
    return { prediction, outputs: { [classes[1] as string]: output[offset] as number } };
  if (classes.length === 0) return { prediction };
  const outputs: Record<string, number> = {};
  for (let index = 0; index < classes.length; index += 1) {
    outputs[classes[index] as string] = output[offset + index] as number;
  }
  return { prediction, outputs };
}
