/** One measured figure; `peer` ran beside it in the same process run, `floor` is the required value. */
export interface BenchResult {
  readonly bench: string;
  readonly case: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly peerValue?: number;
  /** Smallest value that passes; for ratios of `value` to `peerValue` use `ratioFloor`. */
  readonly floor?: number;
  /** Largest value that passes. */
  readonly ceiling?: number;
  readonly ratioFloor?: number;
}

/** Prints one JSON line. */
export function report(result: BenchResult): void {
  const { peerValue, floor, ceiling, ratioFloor } = result;
  const ratio = peerValue === undefined ? null : result.value / peerValue;
  const passes = [
    ...(floor === undefined ? [] : [result.value >= floor]),
    ...(ceiling === undefined ? [] : [result.value <= ceiling]),
    ...(ratioFloor === undefined || ratio === null ? [] : [ratio >= ratioFloor]),
  ];
  const line = {
    bench: result.bench,
    case: result.case,
    metric: result.metric,
    value: result.value,
    unit: result.unit,
    peer: result.peer ?? null,
    peer_value: peerValue ?? null,
    ratio,
    floor: floor ?? ceiling ?? ratioFloor ?? null,
    pass: passes.length === 0 ? null : passes.every(Boolean),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
