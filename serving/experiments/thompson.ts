import { normalCdf, normalDensity } from '#kernel/statistics/distributions';
import type { Estimate } from './comparison.ts';

const STEPS = 400;
/** Standard errors beside the means that are looked at. */
const REACH = 5;

/**
 * The probability that each variant is the best, as far as estimates tell: the shares by which Thompson sampling (1933) deals, computed instead of
 * drawn, so that every process comes to the same.
 *
 * @param arms - undefined for those of which too little is known: they keep an equal share
 * @param floor - least share of each, so that none is given up for ever; below 1 / arms
 * @returns shares, in the order of the arms; they add up to 1
 */
export function thompsonShares(arms: readonly (Estimate | undefined)[], floor: number): readonly number[] {
  const known = arms.flatMap((arm) => (arm === undefined ? [] : [arm]));
  const best = probabilitiesOfBest(known);
  const knownShare = known.length / arms.length;
  let next = 0;
  const shares = arms.map((arm) => (arm === undefined ? 1 / arms.length : (best[next++] as number) * knownShare));
  const free = 1 - floor * arms.length;
  return shares.map((share) => floor + free * share);
}

/** ∫ f_i(x) Π_{j≠i} F_j(x) dx for normal estimates, by the midpoint rule. */
function probabilitiesOfBest(arms: readonly Estimate[]): readonly number[] {
  if (arms.length === 0) return [];
  const normals = arms.map(({ mean, variance }) => ({ mean, sd: Math.max(Math.sqrt(variance), 1e-12) }));
  const low = Math.min(...normals.map(({ mean, sd }) => mean - REACH * sd));
  const high = Math.max(...normals.map(({ mean, sd }) => mean + REACH * sd));
  const masses = normals.map((arm, index) => {
    const from = Math.max(low, arm.mean - REACH * arm.sd);
    const step = (Math.min(high, arm.mean + REACH * arm.sd) - from) / STEPS;
    let mass = 0;
    for (let at = 0; at < STEPS; at += 1) {
      const x = from + (at + 0.5) * step;
      let density = normalDensity(x, arm.mean, arm.sd) * step;
      for (const [other, { mean, sd }] of normals.entries()) if (other !== index) density *= normalCdf(x, mean, sd);
      mass += density;
    }
    return mass;
  });
  const total = masses.reduce((sum, mass) => sum + mass, 0);
  return masses.map((mass) => mass / total);
}
