// Sums of doubles without rounding, as expansions: doubles that do not overlap, whose sum is the exact one. It is rounded once, when it is read, so that it depends on the values
// alone and not on their order. Source: Shewchuk (1997), "Adaptive precision floating-point arithmetic"; rounding as in CPython, Modules/mathmodule.c, math_fsum.

/** An exact sum. Plain data; most sums have no rest. */
export interface ExactSum {
  /** The largest part. */
  sum: number;
  /** The others, the smallest first; absent where there are none. */
  rest?: number[];
}

/** Adds a value. None of the parts may overflow. */
export function addExactly(into: ExactSum, value: number): void {
  const { sum: held, rest } = into;
  if (rest !== undefined) {
    growBy(into, rest, value);
    return;
  }
  const sum = held + value;
  const added = sum - held;
  const lost = held - (sum - added) + (value - added);
  into.sum = sum;
  if (lost !== 0) into.rest = [lost];
}

export function mergeExactly(into: ExactSum, { sum, rest }: ExactSum): void {
  if (rest !== undefined) for (const part of rest) addExactly(into, part);
  addExactly(into, sum);
}

function growBy(into: ExactSum, rest: number[], value: number): void {
  let kept = 0;
  let carried = value;
  for (let at = 0; at <= rest.length; at += 1) {
    const part = at === rest.length ? into.sum : (rest[at] as number);
    const sum = carried + part;
    const added = sum - carried;
    const lost = carried - (sum - added) + (part - added);
    // Parts that are kept are never more than those looked at.
    if (at === rest.length) {
      rest.length = kept;
      if (lost !== 0) rest.push(lost);
      carried = sum;
      break;
    }
    if (lost !== 0) rest[kept++] = lost;
    carried = sum;
  }
  if (carried === 0 && rest.length > 0) carried = rest.pop() as number;
  into.sum = carried;
  if (rest.length === 0) delete into.rest;
}

/** Returns the exact sum, rounded to the nearest double. */
export function roundedSum({ sum, rest }: ExactSum): number {
  if (rest === undefined) return sum;
  let rounded = sum;
  let at = rest.length;
  let lost = 0;
  while (at > 0 && lost === 0) {
    at -= 1;
    const before = rounded;
    const part = rest[at] as number;
    rounded = before + part;
    lost = part - (rounded - before);
  }
  // Halfway between two doubles, what is left decides.
  const next = rest[at - 1];
  if (next !== undefined && lost !== 0 && lost > 0 === next > 0) {
    const twice = lost * 2;
    const moved = rounded + twice;
    if (moved - rounded === twice) return moved;
  }
  return rounded;
}
