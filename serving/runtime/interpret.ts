import { DEFAULT_THRESHOLD, type ModelSignature } from '#registry/model_package';

export interface Predicted {
  readonly prediction: string | number;
  /** By class: probabilities, distances to the centres, or the anomaly score. */
  readonly outputs?: Readonly<Record<string, number>>;
}

/** What a row's output means. */
export function interpret(
  { task, classes, threshold }: ModelSignature,
  output: Float32Array,
  offset: number,
): Predicted {
  const first = output[offset] as number;
  if (task === 'regression') return { prediction: first };
  if (task === 'anomaly_detection') {
    const isAnomaly = first >= (threshold ?? DEFAULT_THRESHOLD);
    return { prediction: classes[isAnomaly ? 1 : 0] as string, outputs: { [classes[1] as string]: first } };
  }
  const outputs: Record<string, number> = {};
  // The nearest centre, or the most probable class.
  const sign = task === 'clustering' ? -1 : 1;
  let best = 0;
  for (let index = 0; index < classes.length; index += 1) {
    const value = output[offset + index] as number;
    outputs[classes[index] as string] = value;
    if (sign * value > sign * (output[offset + best] as number)) best = index;
  }
  if (task === 'binary_classification') {
    best = (output[offset + 1] as number) >= (threshold ?? DEFAULT_THRESHOLD) ? 1 : 0;
  }
  return { prediction: classes[best] as string, outputs };
}
