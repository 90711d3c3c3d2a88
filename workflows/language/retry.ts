import { SECOND_MS } from '#kernel/time';

/** Retries of a state on errors that it names. */
export interface Retrier {
  readonly ErrorEquals: readonly string[];
  readonly IntervalSeconds?: number;
  readonly MaxAttempts?: number;
  readonly BackoffRate?: number;
  readonly MaxDelaySeconds?: number;
  readonly JitterStrategy?: 'FULL' | 'NONE';
}

/** The state that follows errors that it names. */
export interface Catcher {
  readonly ErrorEquals: readonly string[];
  readonly Next: string;
  readonly ResultPath?: string | null;
}

/** Errors of the document itself: no `States.ALL` or `States.TaskFailed` matches them. */
const UNCAUGHT = new Set(['States.Runtime', 'States.DataLimitExceeded']);
const TIMEOUTS = new Set(['States.Timeout', 'States.HeartbeatTimeout']);

/** Returns whether a retrier or catcher matches an error. */
export const matchesError = (names: readonly string[], error: string): boolean =>
  names.some((name) => {
    if (name === error) return true;
    if (name === 'States.ALL') return !UNCAUGHT.has(error);
    if (name === 'States.TaskFailed') return !UNCAUGHT.has(error) && !TIMEOUTS.has(error);
    // A task that sends no heartbeat has timed out as well.
    return name === 'States.Timeout' && error === 'States.HeartbeatTimeout';
  });

const DEFAULT_ATTEMPTS = 3;
const DEFAULT_INTERVAL_S = 1;
const DEFAULT_BACKOFF = 2;

/** A retry that is due, and how often each retrier has been used by then. */
export interface NextRetry {
  readonly delayMs: number;
  readonly used: readonly number[];
}

/**
 * Returns the retry that follows an error; undefined where no retrier matches or the one that does has no attempt left.
 *
 * @param used - how often each retrier of the state has been used since it was entered
 * @param random - uniform in [0, 1), for retriers with jitter
 */
export function nextRetry(
  retriers: readonly Retrier[] | undefined,
  error: string,
  used: readonly number[],
  random: () => number = Math.random,
): NextRetry | undefined {
  const at = retriers?.findIndex(({ ErrorEquals }) => matchesError(ErrorEquals, error)) ?? -1;
  const retrier = retriers?.[at];
  if (retrier === undefined) return undefined;
  const before = used[at] ?? 0;
  if (before >= (retrier.MaxAttempts ?? DEFAULT_ATTEMPTS)) return undefined;
  const intervalS = retrier.IntervalSeconds ?? DEFAULT_INTERVAL_S;
  const delayS = Math.min(
    intervalS * (retrier.BackoffRate ?? DEFAULT_BACKOFF) ** before,
    retrier.MaxDelaySeconds ?? Number.POSITIVE_INFINITY,
  );
  const share = retrier.JitterStrategy === 'FULL' ? random() : 1;
  const counts = Array.from(
    { length: retriers?.length ?? 0 },
    (_, index) => (used[index] ?? 0) + (index === at ? 1 : 0),
  );
  return { delayMs: Math.round(delayS * SECOND_MS * share), used: counts };
}
