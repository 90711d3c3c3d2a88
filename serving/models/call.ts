/** What a request sets for its way through the server, besides an answer. */
export interface Call {
  /** When the caller no longer waits for the answer; as `performance.now()`. */
  readonly deadlineMs: number | undefined;
  /** Filled in on the way, where the answer reports it. */
  readonly timing: StageTimes | undefined;
}

/** Milliseconds that the stages of a request took. */
export interface StageTimes {
  parse: number;
  features: number;
  queue: number;
  inference: number;
}

/** In the form of the header `server-timing`. */
export function serverTiming({ parse, features, queue, inference }: StageTimes, writeMs: number): string {
  const stages = { parse, features, queue, inference, write: writeMs };
  return Object.entries(stages)
    .map(([name, ms]) => `${name};dur=${ms.toFixed(3)}`)
    .join(', ');
}
