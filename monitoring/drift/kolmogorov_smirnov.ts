const TERMS = 100;

/**
 * The probability that two samples of one distribution are so far apart: 2 Σ (−1)^(j−1) exp(−2 j² λ²), with Stephens' correction for small samples
 * (Numerical Recipes, 14.3).
 *
 * @param distance - largest difference of the distribution functions
 * @param effective - n m / (n + m) for samples of n and m
 */
export function kolmogorovTail(distance: number, effective: number): number {
  const root = Math.sqrt(effective);
  const lambda = (root + 0.12 + 0.11 / root) * distance;
  // The sum converges slowly there, and is 1.
  if (lambda < 0.2) return 1;
  let sum = 0;
  for (let j = 1; j <= TERMS; j += 1) {
    const term = Math.exp(-2 * j * j * lambda * lambda);
    sum += j % 2 === 1 ? term : -term;
    if (term < 1e-12) break;
  }
  return Math.min(1, Math.max(0, 2 * sum));
}
