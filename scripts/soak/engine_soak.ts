import { eventTime } from '#kernel/time';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn } from '#pipelines/engine/splitting/splittable';
import { combinePerKey } from '#pipelines/model/grouping';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import { count } from '#pipelines/transforms/standard/combiners';
import type { Soak } from './soak.ts';

const PIECE = 2_000;
const KEYS = 1_000;

interface Event {
  readonly key: number;
  readonly at: number;
}

/** Never ends. */
class Forever implements SplittableDoFn<null, Event, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  initialRestrictions(): OffsetRange[] {
    return [{ from: 0, to: Number.MAX_SAFE_INTEGER }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  process(_: null, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<Event>) {
    for (let index = from; index < from + PIECE; index += 1) {
      const at = index - (index % 13) * 3;
      context.output({ key: (index * 7_919) % KEYS, at }, eventTime(at));
    }
    context.advanceWatermark(eventTime(from + PIECE - 50));
    tracker.tryClaim(from + PIECE - 1);
    return resumeAfter(0);
  }
}

/** The embedded engine at full speed. */
export async function soakEngine(): Promise<Soak> {
  let events = 0;
  const handle = runEmbedded(
    createPipeline((root) => {
      root
        .apply(read(null, new Forever(), 'Events'))
        .apply(windowInto({ windowFn: fixedWindows(10) }))
        .apply(keyBy(({ key }) => key))
        .apply(combinePerKey(count()))
        .apply(
          parDo(
            {
              process({ value }) {
                events += value;
              },
            },
            { name: 'Count' },
          ),
        );
    }),
  );
  return { events: () => events, stop: () => handle.cancel() };
}
