import {
  type EventTime,
  eventTime,
  type OffsetRange,
  OffsetRangeTracker,
  type PCollection,
  type PipelineRoot,
  type ProcessContinuation,
  type PTransform,
  read,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from 'headwater/pipelines';
import { eventAt, type NexmarkEvent, OUT_OF_ORDER_MS } from './events.ts';

const PIECE = 2_000;

/** Reads generated events as an unbounded source would give them: out of order, with a watermark. */
class GeneratedEvents implements SplittableDoFn<number, NexmarkEvent, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;

  initialRestrictions(events: number): readonly OffsetRange[] {
    return [{ from: 0, to: events }];
  }

  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }

  process(
    _: number,
    { from }: OffsetRange,
    tracker: OffsetRangeTracker,
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
