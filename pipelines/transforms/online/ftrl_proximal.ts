/** Settings of FTRL-proximal; names as in the paper. */
export interface FtrlSettings {
  /** Learning rate of a coordinate before it has seen anything; above 0. */
  readonly alpha: number;
  /** The larger, the later rates fall; 0 or above. */
  readonly beta: number;
  /** Weights whose evidence is smaller stay exactly 0. */
  readonly l1: number;
  readonly l2: number;
}

/** What is known of one coordinate: `z` of the paper, and the sum of its squared gradients. */
export interface Coordinate {
  z: number;
  n: number;
}

/** Coordinates by name. Plain data: snapshots hold it. */
export type Coordinates = Map<string, Coordinate>;

/** A row as the learner takes it: values by coordinate; absent ones are 0. */
export type SparseRow = readonly (readonly [coordinate: string, value: number])[];

/** Returns the weight of a coordinate; 0 for one that was not seen. */
export function weightOf(coordinate: Coordinate | undefined, { alpha, beta, l1, l2 }: FtrlSettings): number {
  if (coordinate === undefined) return 0;
  const { z, n } = coordinate;
  if (Math.abs(z) <= l1) return 0;
  return -(z - Math.sign(z) * l1) / ((beta + Math.sqrt(n)) / alpha + l2);
}

/** Returns the probability of label 1. */
export function probabilityOf(coordinates: Coordinates, row: SparseRow, settings: FtrlSettings): number {
  let sum = 0;
  for (const [name, value] of row) sum += weightOf(coordinates.get(name), settings) * value;
  return 1 / (1 + Math.exp(-sum));
}

/**
 * Learns one row, in place: a step of logistic regression with a learning rate for each coordinate.
 *
 * Source: H. B. McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, algorithm 1.
 *
 * @param label - 0 or 1
 * @returns the probability of label 1 before the step
 */
export function learnRow(coordinates: Coordinates, row: SparseRow, label: number, settings: FtrlSettings): number {
  const probability = probabilityOf(coordinates, row, settings);
  for (const [name, value] of row) {
    let coordinate = coordinates.get(name);
    if (coordinate === undefined) {
      coordinate = { z: 0, n: 0 };
      coordinates.set(name, coordinate);
    }
    const gradient = (probability - label) * value;
    const n = coordinate.n + gradient * gradient;
    const sigma = (Math.sqrt(n) - Math.sqrt(coordinate.n)) / settings.alpha;
    coordinate.z += gradient - sigma * weightOf(coordinate, settings);
    coordinate.n = n;
  }
  return probability;
}

const SMALLEST = 1e-15;

/** Returns the logistic loss of a probability of label 1, in nats; at most 34.5. */
export const logLoss = (probability: number, label: number): number =>
  -Math.log(Math.max(SMALLEST, label === 1 ? probability : 1 - probability));
