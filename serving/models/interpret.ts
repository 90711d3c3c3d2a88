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

/** What a row's output says it is. @param threshold - of this row; the model's own without */
export function predictionOf(
  signature: ModelSignature,
  output: Float32Array,
  offset: number,
  threshold = signature.threshold ?? DEFAULT_THRESHOLD,
): string | number {
  const { task, classes } = signature;
  switch (task) {
    case 'regression':
      return output[offset] as number;
    case 'anomaly_detection':
      return classes[(output[offset] as number) >= threshold ? 1 : 0] as string;
    case 'binary_classification':
      return classes[(output[offset + 1] as number) >= threshold ? 1 : 0] as string;
    default:
      return classes[bestClass(signature, output, offset) || 0] as string;
  }
}

/** What a row's output means. @param threshold - of this row; the model's own without */
export function interpret(
  signature: ModelSignature,
  output: Float32Array,
  offset: number,
  threshold?: number,
): Predicted {
  const { task, classes } = signature;
  const prediction = predictionOf(signature, output, offset, threshold);
  if (task === 'regression') return { prediction };
  if (task === 'anomaly_detection')
    return { prediction, outputs: { [classes[1] as string]: output[offset] as number } };
  const outputs: Record<string, number> = {};
  for (let index = 0; index < classes.length; index += 1) {
    outputs[classes[index] as string] = output[offset + index] as number;
  }
  return { prediction, outputs };
}
