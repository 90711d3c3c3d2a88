import { DEFAULT_THRESHOLD, type ModelSignature } from '#registry/model_package';

export interface Predicted {
  readonly prediction: string | number;
  /** By class: probabilities, distances to the centres, or the anomaly score. */
  readonly outputs?: Readonly<Record<string, number>>;
  /** That decided, where it depends on the row. */
  readonly threshold?: number;
}

/** The place of the most probable class, or of the nearest centre; NaN where the first is no number. */
export function bestClass({ task, classes }: ModelSignature, output: Float32Array, offset: number): number {
  const sign = task === 'clustering' ? -1 : 1;
  if (Number.isNaN(output[offset])) return Number.NaN;
  let best = 0;
  for (let index = 1; index < classes.length; index += 1) {
    if (sign * (output[offset + index] as number) > sign * (output[offset + best] as number)) best = index;
  }
  return best;
}

/** What a row's output means. @param threshold - of this row; the model's own without */
export function interpret(
  signature: ModelSignature,
  output: Float32Array,
  offset: number,
  threshold = signature.threshold ?? DEFAULT_THRESHOLD,
): Predicted {
  const { task, classes } = signature;
  const first = output[offset] as number;
  if (task === 'regression') return { prediction: first };
  if (task === 'anomaly_detection') {
    const isAnomaly = first >= threshold;
    return { prediction: classes[isAnomaly ? 1 : 0] as string, outputs: { [classes[1] as string]: first } };
  }
  const outputs: Record<string, number> = {};
  for (let index = 0; index < classes.length; index += 1) {
    outputs[classes[index] as string] = output[offset + index] as number;
  }
  if (task === 'binary_classification') {
    const isSecond = (output[offset + 1] as number) >= threshold;
    return { prediction: classes[isSecond ? 1 : 0] as string, outputs };
  }
  return { prediction: classes[bestClass(signature, output, offset) || 0] as string, outputs };
}
