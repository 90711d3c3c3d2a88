/** The middle of the values, in any order; of an even number the upper one. */
export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** The value that so much of the others lies below; 0 when there are none. */
export function percentile(values: readonly number[] = [], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
