import { eventTime } from '#kernel/time';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn } from '#pipelines/engine/splittable';
import { combinePerKey } from '#pipelines/model/grouping';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import { count } from '#pipelines/transforms/standard/combiners';

// npm run test:soak -- engine [SECONDS]: the embedded engine at full speed, its memory sampled every ten seconds. Passes when the last
// third of the run takes no more than 10 % or 20 MB above the second third.

const [suite, seconds = '600'] = process.argv.slice(2);
if (suite !== 'engine') {
  process.stderr.write('usage: npm run test:soak -- engine [SECONDS]\n');
  process.exit(2);
}

const PIECE = 2_000;
const KEYS = 1_000;
const SAMPLE_MS = 10_000;
const SLACK_MB = 20;

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
const samples: number[] = [];
const startedMs = Date.now();
const sampler = setInterval(() => {
  const rssMb = process.memoryUsage().rss / 1e6;
  samples.push(rssMb);
  const elapsed = (Date.now() - startedMs) / 1_000;
  process.stdout.write(
    `${elapsed.toFixed(0)} s: ${rssMb.toFixed(0)} MB, ${(events / elapsed / 1e6).toFixed(2)} M events/s\n`,
  );
}, SAMPLE_MS);
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1_000));
clearInterval(sampler);
await handle.drain();
const third = Math.floor(samples.length / 3);
const peak = (part: readonly number[]): number => Math.max(...part);
const [middle, last] = [peak(samples.slice(third, 2 * third)), peak(samples.slice(2 * third))];
const isFlat = last <= Math.max(middle * 1.1, middle + SLACK_MB);
process.stdout.write(
  `${events} events; second third at most ${middle.toFixed(0)} MB, last third ${last.toFixed(0)} MB\n`,
);
process.stdout.write(`${isFlat ? 1 : 0} passed, ${isFlat ? 0 : 1} failed\n`);
process.exitCode = isFlat ? 0 : 1;
