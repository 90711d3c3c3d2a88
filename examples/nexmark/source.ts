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
import { eventAt, type NexmarkEvent, OUT_OF_ORDER_MS } from './events.ts';

interface Indexes {
  readonly from: number;
  readonly to: number;
}

const PIECE = 2_000;

/** Reads generated events as an unbounded source would give them: out of order, with a watermark. */
class GeneratedEvents implements SplittableDoFn<number, NexmarkEvent, Indexes, number> {
  readonly splittable = true;
  readonly bounded = false;

  initialRestrictions(events: number): readonly Indexes[] {
    return [{ from: 0, to: events }];
  }

  createTracker({ from, to }: Indexes): RestrictionTracker<Indexes, number> {
    let next = from;
    return {
      tryClaim(index) {
        if (index >= to) return false;
        next = index + 1;
        return true;
      },
      checkpoint: () => (next >= to ? undefined : { from: next, to }),
    };
  }

  process(
    _: number,
    { from }: Indexes,
    tracker: RestrictionTracker<Indexes, number>,
    context: SplittableContext<NexmarkEvent>,
  ): ProcessContinuation {
    for (let index = from; index < from + PIECE; index += 1) {
      if (!tracker.tryClaim(index)) return STOP;
      const event = eventAt(index);
      context.output(event, event.at as EventTime);
    }
    context.advanceWatermark(eventTime((eventAt(from + PIECE).at as number) - OUT_OF_ORDER_MS));
    return resumeAfter(0);
  }
}

export const nexmarkEvents = (events: number): PTransform<PipelineRoot, PCollection<NexmarkEvent>> =>
  read(events, new GeneratedEvents(), 'NexmarkEvents');
