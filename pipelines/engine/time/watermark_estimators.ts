import { type EventTime, MIN_EVENT_TIME } from '#kernel/time';
import type { SplittableContext } from '../splitting/splittable.ts';

/**
 * Ways for a source to say how far event time has come, besides `context.advanceWatermark` by hand. An estimator is made anew for each
 * call of `process`; the restriction keeps the watermark.
 * Source: Apache Beam, "watermark estimators" (programming guide §12.4).
 */
export interface WatermarkEstimator {
  /** Told the timestamp of each output. */
  observe(timestamp: EventTime): void;
  /** Passes what it knows on to the runner. */
  report(context: Pick<SplittableContext<never>, 'advanceWatermark'>): void;
}

/** For sources whose outputs come in order of event time: as far as the last one. */
export function monotonicWatermark(): WatermarkEstimator {
  let newest: EventTime = MIN_EVENT_TIME;
  return {
    observe(timestamp) {
      if (timestamp > newest) newest = timestamp;
    },
    report: (context) => context.advanceWatermark(newest),
  };
}

/** For sources that stamp what they read with the time they read it. @param outOfOrderMs - how far behind an output may be */
export function wallTimeWatermark(now: () => number = Date.now, outOfOrderMs = 0): WatermarkEstimator {
  return {
    observe() {},
    report: (context) => context.advanceWatermark((now() - outOfOrderMs) as EventTime),
  };
}

/** For sources with bounded disorder: as far as the newest output, less `outOfOrderMs`. */
export function boundedOutOfOrderWatermark(outOfOrderMs: number): WatermarkEstimator {
  const newest = monotonicWatermark();
  return {
    observe: newest.observe,
    report: (context) =>
      newest.report({ advanceWatermark: (to) => context.advanceWatermark((to - outOfOrderMs) as EventTime) }),
  };
}
