import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { eventTime } from '#kernel/time';
import {
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { Construct } from '#pipelines/model/graph';
import { combinePerKey } from '#pipelines/model/grouping';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { flatten, keyBy, parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows, globalWindows } from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import { onThreads } from '#pipelines/runner/sharded/threads';
import { sum } from '#pipelines/transforms/standard/combiners';
import { reify } from '#pipelines/transforms/standard/reify';

// The job that scripts/chaos/engine.ts kills: windowed sums by a grouping, and by state and timers, written to an upserting sink.
// Arguments: folder, number of events, worker threads, where state lives. Both transforms are right only if every element counts exactly once.

export interface ChaosEvent {
  readonly key: number;
  readonly value: number;
  readonly at: number;
}

export const CHAOS_KEYS = 97;
export const chaosEvent = (index: number): ChaosEvent => ({
  key: (index * 31) % CHAOS_KEYS,
  value: index % 1_009,
  at: index * 5 - ((index * 7) % 11) * 9,
});
/** Windows of the sums in state, ms. */
export const STATE_WINDOW_MS = 3_000;
const PIECE = 50;

class SlowEvents implements SplittableDoFn<number, ChaosEvent, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(
    total: number,
    { from }: OffsetRange,
    tracker: OffsetRangeTracker,
    context: SplittableContext<ChaosEvent>,
  ) {
    // Slow enough that kills find it at work.
    await sleep(1);
    const to = Math.min(total, from + PIECE);
    for (let index = from; index < to; index += 1) {
      const event = chaosEvent(index);
      context.output(event, eventTime(event.at));
    }
    context.advanceWatermark(eventTime(to * 5 - 100));
    tracker.tryClaim(to - 1);
    return to >= total ? STOP : resumeAfter(0);
  }
}

/** The sum of a key and window in state, let out by a timer at the window's end. */
class SumInState implements DoFn<KV<number, ChaosEvent>, Row> {
  readonly sum = valueState<number>('sum');
  readonly end = eventTimer('end');
  process({ value: event }: KV<number, ChaosEvent>, context: ProcessContext<Row>): void {
    const sum = context.state(this.sum);
    sum.write((sum.read() ?? 0) + event.value);
    context.timer(this.end).set(context.window.maxTimestamp());
  }
  onTimer(_: TimerSpec, context: OnTimerContext<Row, number>): void {
    context.output([`state ${context.key} ${context.window.start}`, context.state(this.sum).read() as number]);
  }
}

type Row = readonly [key: string, value: number];

interface JobArgument {
  readonly folder: string;
  readonly events: number;
}

/** For worker threads too. */
export const openPipeline = async ({ folder, events }: JobArgument) => ({
  construct: chaosPipeline(events, join(folder, 'output.jsonl')),
  async close() {},
});

const chaosPipeline =
  (events: number, output: string): Construct =>
  (root) => {
    const keyed = root.apply(read(events, new SlowEvents(), 'Events')).apply(keyBy(({ key }) => key));
    const windowed = keyed
      .map(({ key, value }) => ({ key, value: value.value }))
      .apply(windowInto({ windowFn: fixedWindows(2) }))
      .apply(combinePerKey(sum()))
      .apply(reify())
      .map(({ value, window }): Row => [`window ${value.key} ${window[0]}`, value.value]);
    const inState = keyed
      .apply(windowInto({ windowFn: fixedWindows(STATE_WINDOW_MS / 1_000) }, 'StateWindows'))
      .apply(parDo(new SumInState(), { name: 'SumInState' }));
    const oneWindow = { windowFn: globalWindows() };
    flatten([
      windowed.apply(windowInto<Row>(oneWindow, 'WindowedRows')),
      inState.apply(windowInto<Row>(oneWindow, 'StateRows')),
    ]).apply(
      parDo<Row, never>({ process: (row) => appendFileSync(output, `${JSON.stringify(row)}\n`) }, { name: 'Upsert' }),
    );
  };

if (isMainThread && process.argv[1]?.endsWith('engine_job.js')) {
  const [folder = '', events = '0', threads = '0', state = 'heap'] = process.argv.slice(2);
  const argument: JobArgument = { folder, events: Number(events) };
  const launch = onThreads({ module: import.meta.url, argument }, 'warn');
  const handle = runEmbedded(createPipeline((await openPipeline(argument)).construct), {
    snapshots: { directory: join(folder, 'snapshots'), intervalMs: 20 },
    // So small a cache that most keys are on disk.
    state: state === 'disk' ? { kind: 'disk', cacheBytes: 20_000 } : { kind: 'heap' },
    ...(threads === '0' ? {} : { shards: { count: Number(threads), launch } }),
  });
  process.stdout.write('running\n');
  await handle.finished;
  process.stdout.write('done\n');
}
