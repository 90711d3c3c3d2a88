import type { EventTime } from '#kernel/time';

/**
 * The part of an element's work that is being done. Restrictions are plain data: a snapshot holds them.
 * Source: Apache Beam, "Splittable DoFns" (programming guide §12), restriction trackers.
 */
export interface RestrictionTracker<R, P> {
  /** Claims the work at `position` before doing it; false: stop now, it belongs to another worker. */
  tryClaim(position: P): boolean;
  /** Ends this restriction at what is claimed and returns the rest; undefined when nothing is left. */
  checkpoint(): R | undefined;
}

/** Whether a splittable DoFn has finished its restriction, or resumes it later. */
export type ProcessContinuation = { readonly resume: false } | { readonly resume: true; readonly delayMs: number };

/** Says that a splittable DoFn has finished its restriction. */
export const STOP: ProcessContinuation = { resume: false };
/** Returns that a splittable DoFn resumes its restriction after a delay. */
export const resumeAfter = (delayMs: number): ProcessContinuation => ({ resume: true, delayMs });

/** What a splittable DoFn is given: it puts elements out while it claims positions of its restriction. */
export interface SplittableContext<Out, R = unknown> {
  output(value: Out, timestamp: EventTime): void;
  /** Promises that later outputs of this restriction are not older; never moves backwards. */
  advanceWatermark(to: EventTime): void;
  /**
   * An idle restriction does not hold the watermark back, as long as another one moves it. Runners elsewhere cannot tell: there
   * its watermark goes to `until`.
   */
  setIdle(idle: boolean, until?: EventTime): void;
  /**
   * Hands a part of this restriction over, to be processed on its own from the next bundle on: a new partition, a shard's
   * children. `watermark`: outputs of that part are not older.
   */
  splitOff(restriction: R, watermark: EventTime): void;
  /** Work still to do, in records, for metrics and autoscaling. */
  reportBacklog(records: number): void;
  /** Runs once a snapshot that covers this call's outputs is durable: offset commits, acks. */
  afterBundleCommit(callback: () => void | Promise<void>): void;
  /** Aborted when `process` has to return soon (drain, stop). */
  readonly signal: AbortSignal;
}

/** One restriction of an element as snapshots hold it. */
export interface SavedTask {
  readonly element: unknown;
  readonly restriction: unknown;
  /** Outputs from it are not older. */
  readonly watermark: number;
  readonly idle: boolean;
}

/** What a source with other settings makes of what was saved of it. */
export type AdaptedRestrictions<R> =
  | {
      /** In the order in which they were saved; undefined: it is given up. */
      readonly restrictions: readonly (R | undefined)[];
      /** Work that the settings add. */
      readonly added?: readonly R[];
      /** For the log, one each. */
      readonly changes: readonly string[];
    }
  /** Why the saved work cannot be resumed with these settings. */
  | { readonly refused: string };

/**
 * A DoFn whose work on one element can be paused, resumed elsewhere and done in parts: every source is one.
 * `process` does a bounded piece (a poll, a block of a file) and says whether to come back.
 */
export interface SplittableDoFn<In, Out, R, P> {
  readonly splittable: true;
  readonly bounded: boolean;
  setup?(): void | Promise<void>;
  initialRestrictions(element: In): readonly R[] | Promise<readonly R[]>;
  createTracker(restriction: R): RestrictionTracker<R, P>;
  /** Called with what was saved, before it is resumed. By default it is resumed as it is. */
  adaptRestrictions?(saved: readonly R[]): AdaptedRestrictions<R>;
  /** How much work a restriction is, in any unit; a runner balances by it. Default 1. */
  restrictionSize?(restriction: R): number;
  /** What of a restriction is still to be done when the job is drained; by default all when bounded, otherwise nothing. */
  truncate?(restriction: R): R | undefined;
  /** @throws retryable PlatformErrors are tried again from the same restriction; nothing was output */
  process(
    element: In,
    restriction: R,
    tracker: RestrictionTracker<R, P>,
    context: SplittableContext<Out, R>,
  ): ProcessContinuation | Promise<ProcessContinuation>;
  teardown?(): void | Promise<void>;
}

export const isSplittable = (fn: object): fn is SplittableDoFn<unknown, unknown, unknown, unknown> =>
  'splittable' in fn && fn.splittable === true;
