// Sums of doubles without rounding: the parts that a double cannot hold are kept beside it. A sum is rounded once, when it is read, so that it depends on the values alone and not on
// their order. Source: Shewchuk (1997), "Adaptive precision floating-point arithmetic"; rounding as in CPython, Modules/mathmodule.c, math_fsum.

/** An exact sum of its parts. Plain data; two parts hold what most sums need. */
export interface ExactSum {
  sum: number;
  /** What the sum was rounded by; absent in state of before sums were exact. */
  low?: number;
  /** What that was rounded by, in any order; absent where there is nothing. */
  rest?: number[];
}

const MOST_PARTS = 16;

/** Adds a value. None of the parts may overflow. */
export function addExactly(into: ExactSum, value: number): void {
  const { sum } = into;
  const total = sum + value;
  const added = total - sum;
  const lost = sum - (total - added) + (value - added);
  into.sum = total;
  if (lost !== 0) addLow(into, lost);
}

function addLow(into: ExactSum, value: number): void {
  const { low = 0 } = into;
  const total = low + value;
  const added = total - low;
  const lost = low - (total - added) + (value - added);
  into.low = total;
  if (lost === 0) return;
  into.rest ??= [];
  into.rest.push(lost);
  if (into.rest.length > MOST_PARTS) compress(into);
}

export function mergeExactly(into: ExactSum, { sum, low = 0, rest }: ExactSum): void {
  addExactly(into, sum);
  if (low !== 0) addExactly(into, low);
  if (rest !== undefined) for (const part of rest) addExactly(into, part);
}

/** Returns all parts of a sum. */
export const partsOf = ({ sum, low = 0, rest = [] }: ExactSum): readonly number[] => [...rest, low, sum];

/** Returns the exact sum, rounded to the nearest double. */
export function roundedSum(held: ExactSum): number {
  const { sum, low = 0, rest } = held;
  // Of two doubles the addition itself is that.
  return rest === undefined ? sum + low : roundedExpansion(expansionOf(partsOf(held)));
}

function compress(into: ExactSum): void {
  const parts = expansionOf(partsOf(into));
  into.sum = parts.pop() ?? 0;
  into.low = parts.pop() ?? 0;
  into.rest = parts;
}

/** Returns doubles with the same sum that do not overlap, the smallest first. */
function expansionOf(values: readonly number[]): number[] {
  const parts: number[] = [];
  for (const value of values) {
    let carried = value;
    let kept = 0;
    for (const part of parts) {
      const sum = carried + part;
      const added = sum - carried;
      const lost = carried - (sum - added) + (part - added);
      // Parts that are kept are never more than those looked at.
      if (lost !== 0) parts[kept++] = lost;
      carried = sum;
    }
    parts.length = kept;
    if (carried !== 0) parts.push(carried);
  }
  return parts;
}

function roundedExpansion(parts: readonly number[]): number {
  let at = parts.length - 1;
  let rounded = parts[at] ?? 0;
  let lost = 0;
  while (at > 0 && lost === 0) {
    at -= 1;
    const before = rounded;
    const part = parts[at] as number;
    rounded = before + part;
    lost = part - (rounded - before);
  }
  // Halfway between two doubles, what is left decides.
  const next = parts[at - 1];
  if (next !== undefined && lost !== 0 && lost > 0 === next > 0) {
    const twice = lost * 2;
    const moved = rounded + twice;
    if (moved - rounded === twice) return moved;
  }
  return rounded;
}
