import { type EventTime, eventTime } from '#kernel/time';
import {
  type AdaptedRestrictions,
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
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
  readonly #settings: Ticks;
  readonly #now: () => number;

  constructor(settings: Ticks, now: () => number) {
    this.#settings = settings;
    this.#now = now;
  }

  initialRestrictions(ticks: Ticks): readonly Ticks[] {
    return [ticks];
  }

  /** Another interval counts from the last tick on. */
  adaptRestrictions(saved: readonly Ticks[]): AdaptedRestrictions<Ticks> {
    const { next: start, intervalMs, end } = this.#settings;
    const changed = saved.filter((ticks) => ticks.intervalMs !== intervalMs);
    return {
      restrictions: saved.map((ticks) =>
        changed.includes(ticks)
          ? { next: Math.max(start, ticks.next - ticks.intervalMs + intervalMs), end, intervalMs }
          : { ...ticks, end },
      ),
      changes: changed.map((ticks) => `it ticked every ${ticks.intervalMs} ms and ticks every ${intervalMs} ms now`),
    };
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
  const ticks: Ticks = { next: start, end, intervalMs };
  return read(ticks, new PeriodicImpulseFn(ticks, now), name);
}
