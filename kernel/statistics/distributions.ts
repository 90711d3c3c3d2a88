import jstat from 'jstat';

// Distributions that tests of statistics need; computed by jstat.

/** Density of N(mean, sd²). */
export const normalDensity = (x: number, mean = 0, sd = 1): number => jstat.normal.pdf(x, mean, sd);

/** P(N(mean, sd²) ≤ x). */
export const normalCdf = (x: number, mean = 0, sd = 1): number => jstat.normal.cdf(x, mean, sd);

/** x with P(N(0, 1) ≤ x) = p. */
export const normalQuantile = (p: number): number => jstat.normal.inv(p, 0, 1);

/** P(χ² with so many degrees of freedom ≥ x). */
export const chiSquareTail = (x: number, degreesOfFreedom: number): number =>
  1 - jstat.chisquare.cdf(x, degreesOfFreedom);
