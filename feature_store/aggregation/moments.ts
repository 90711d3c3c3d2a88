/** Count, sum, mean and squared deviations, mergeable without loss: Chan, Golub and LeVeque (1979), "Updating formulae". */
export interface Moments {
  n: number;
  sum: number;
  mean: number;
  m2: number;
  min: number;
  max: number;
}

export const emptyMoments = (): Moments => ({
  n: 0,
  sum: 0,
  mean: 0,
  m2: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
});

export function addValue(into: Moments, value: number): void {
  into.n += 1;
  into.sum += value;
  const delta = value - into.mean;
  into.mean += delta / into.n;
  into.m2 += delta * (value - into.mean);
  if (value < into.min) into.min = value;
  if (value > into.max) into.max = value;
}

export function mergeMoments(into: Moments, other: Moments): void {
  if (other.n === 0) return;
  into.sum += other.sum;
  const n = into.n + other.n;
  const delta = other.mean - into.mean;
  into.m2 += other.m2 + (delta * delta * into.n * other.n) / n;
  into.mean += (delta * other.n) / n;
  into.n = n;
  if (other.min < into.min) into.min = other.min;
  if (other.max > into.max) into.max = other.max;
}

/** Population variance; 0 for fewer than two values. */
export const varianceOf = ({ n, m2 }: Moments): number => (n < 2 ? 0 : Math.max(0, m2) / n);

export const stddevOf = (moments: Moments): number => Math.sqrt(varianceOf(moments));
