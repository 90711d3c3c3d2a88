import { type EventTime, eventTime } from '#kernel/time';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splittable';
import type { PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
import { read } from '#pipelines/model/transforms';

/** Times still to emit: from `next` in steps of `intervalMs`, up to before `end`. */
interface Ticks {
  readonly next: number;
  readonly end: number;
  readonly intervalMs: number;
}

class TicksTracker implements RestrictionTracker<Ticks, number> {
  #ticks: Ticks;

  constructor(ticks: Ticks) {
    this.#ticks = ticks;
  }

  tryClaim(at: number): boolean {
    if (at >= this.#ticks.end) return false;
    this.#ticks = { ...this.#ticks, next: at + this.#ticks.intervalMs };
    return true;
  }

  checkpoint(): Ticks | undefined {
    return this.#ticks.next >= this.#ticks.end ? undefined : this.#ticks;
  }
}

class PeriodicImpulseFn implements SplittableDoFn<Ticks, number, Ticks, number> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  initialRestrictions(ticks: Ticks): readonly Ticks[] {
    return [ticks];
  }

  createTracker(ticks: Ticks): TicksTracker {
    return new TicksTracker(ticks);
  }

  process(
    _: Ticks,
    ticks: Ticks,
    tracker: RestrictionTracker<Ticks, number>,
    context: SplittableContext<number>,
  ): ProcessContinuation {
    let at = ticks.next;
    for (const now = this.#now(); at <= now; at += ticks.intervalMs) {
      if (!tracker.tryClaim(at)) return STOP;
      context.output(at, at as EventTime);
    }
    if (at >= ticks.end) return STOP;
    context.advanceWatermark(eventTime(at));
    return resumeAfter(at - this.#now());
  }
}

export interface PeriodicImpulseSettings {
  readonly name?: string;
  /** First tick, ms since the epoch; ticks in the past come at once. */
  readonly start: number;
  /** No tick at or after this. Default: never ends. */
  readonly end?: number;
  readonly intervalMs: number;
  readonly now?: () => number;
}

/** Emits the time, at that time, over and over: what refreshes a side input. */
export function periodicImpulse({
  name = 'PeriodicImpulse',
  start,
  end = Number.MAX_SAFE_INTEGER,
  intervalMs,
  now = Date.now,
}: PeriodicImpulseSettings): PTransform<PipelineRoot, PCollection<number>> {
  if (!(intervalMs > 0)) throw new RangeError(`intervalMs must be more than 0, not ${intervalMs}`);
  return read({ next: start, end, intervalMs }, new PeriodicImpulseFn(now), name);
}
