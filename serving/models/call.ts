/** What a request wants of its way through the server, besides an answer. */
export interface Call {
  /** When nobody waits for the answer any more; as `performance.now()`. */
  readonly deadlineMs: number | undefined;
  /** Filled in on the way, where the caller is told. */
  readonly timing: StageTimes | undefined;
}

/** Milliseconds that the stages of a request took. */
export interface StageTimes {
  parse: number;
  features: number;
  queue: number;
  inference: number;
}

/** As the header `server-timing` wants it. */
export function serverTiming({ parse, features, queue, inference }: StageTimes, writeMs: number): string {
  const stages = { parse, features, queue, inference, write: writeMs };
  return Object.entries(stages)
    .map(([name, ms]) => `${name};dur=${ms.toFixed(3)}`)
    .join(', ');
}
