import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { eventTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import {
  bagState,
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  type TimerSpec,
} from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import type { StateOptions } from '#pipelines/runner/state_options';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { testStream } from '#pipelines/testing/test_stream';

type Pair = KV<string, number>;
const pair = (key: string, value: number): Pair => ({ key, value });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sorted-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

class Pass implements DoFn<Pair, number> {
  readonly requiresTimeSortedInput = true;
  process({ value }: Pair, context: ProcessContext<number>): void {
    context.output(value);
  }
}

async function valuesAndDrops(build: (root: PipelineRoot) => PCollection<number>) {
  const registry = createMetricsRegistry({ process: false });
  const into: Collected<number>[] = [];
  await runEmbedded(
    createPipeline((root) => collectInto(build(root), into)),
    { metrics: createPipelineMetrics(registry) },
  ).finished;
  const dropped = /name="dropped_out_of_order"[^}]*\} (\d+)/.exec(await registry.metrics())?.[1] ?? '0';
  return { values: into.map(({ value }) => value), dropped: Number(dropped) };
}

test('an element that comes after a newer one was processed is dropped and counted; one of the same time is not', async () => {
  const stream = testStream<Pair>()
    .add([pair('a', 25), 2_500])
    .advanceWatermarkTo(3_000)
    .add([pair('a', 20), 2_000], [pair('a', 26), 2_500], [pair('b', 19), 1_900])
    .toInfinity();
  const { values, dropped } = await valuesAndDrops((root) =>
    root.apply(stream).apply(parDo(new Pass(), { name: 'Pass' })),
  );
  expect(values.sort()).toEqual([19, 25, 26]);
  expect(dropped).toBe(1);
});

test('whatever the order in which elements come, those of a key and window are processed by time, within the allowed lateness none is dropped', async () => {
  const element = fc.record({ key: fc.constantFrom('a', 'b'), at: fc.integer({ min: 0, max: 29 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(element, { maxLength: 30 }), fc.nat(40), async (elements, watermark) => {
      const late = elements.length / 2;
      const timed = elements.map(({ key, at }) => [pair(key, at), at * 1_000] as const);
      const stream = testStream<Pair>()
        .add(...timed.slice(0, late))
        .advanceWatermarkTo(watermark * 1_000)
        .add(...timed.slice(late))
        .toInfinity();
      const into: Collected<Pair>[] = [];
      class Keep implements DoFn<Pair, Pair> {
        readonly requiresTimeSortedInput = true;
        process(value: Pair, context: ProcessContext<Pair>): void {
          context.output(value);
        }
      }
      await runToEnd((root) =>
        collectInto(
          root
            .apply(stream)
            .apply(windowInto({ windowFn: fixedWindows(10), allowedLatenessMs: 60_000 }))
            .apply(parDo(new Keep(), { name: 'Keep' })),
          into,
        ),
      );
      expect(into).toHaveLength(elements.length);
      const newest = new Map<string, number>();
      for (const { value, timestamp } of into) {
        expect(timestamp).toBe(value.value * 1_000);
        const of = `${value.key}|${Math.floor(value.value / 10)}`;
        expect(value.value).toBeGreaterThanOrEqual(newest.get(of) ?? 0);
        newest.set(of, value.value);
      }
    }),
    { numRuns: 60 },
  );
});

/** Notes elements and timers as they come. Each element sets a timer 500 ms later; with `turns`, processing takes turns of the event loop. */
class Noting implements DoFn<Pair, string> {
  readonly requiresTimeSortedInput = true;
  readonly seen = bagState<number>('seen');
  readonly after = eventTimer('after');
  readonly #turns: number;
  constructor(turns: number) {
    this.#turns = turns;
  }
  process({ value }: Pair, context: ProcessContext<string>): void | Promise<void> {
    const note = (): void => {
      context.state(this.seen).add(value);
      context.timer(this.after).set(context.timestamp + 500, { tag: String(value) });
      context.output(`element ${value}`);
    };
    if (this.#turns === 0) return note();
    return nextTurn().then(note);
  }
  onTimer(_: TimerSpec, context: OnTimerContext<string>): void {
    context.output(`timer ${context.timerTag} of ${[...context.state(this.seen).read()].length}`);
  }
  onWindowExpiration(context: OnTimerContext<string>): void {
    context.output(`end of ${[...context.state(this.seen).read()].length}`);
  }
}

test.each([0, 1])(
  'timers of the DoFn fire between the elements, in order of time (asynchronous: %d)',
  async (turns) => {
    const into: Collected<string>[] = [];
    const stream = testStream<Pair>()
      .add([pair('a', 3), 9_999], [pair('a', 2), 2_000], [pair('a', 1), 1_000])
      .toInfinity();
    await runToEnd((root) =>
      collectInto(
        root
          .apply(stream)
          .apply(windowInto({ windowFn: fixedWindows(10), allowedLatenessMs: 1_000 }))
          .apply(parDo(new Noting(turns), { name: 'Noting' })),
        into,
      ),
    );
    expect(into.map(({ value }) => value)).toEqual([
      'element 1',
      'timer 1 of 1',
      'element 2',
      'timer 2 of 2',
      'element 3',
      'timer 3 of 3',
      'end of 3',
    ]);
  },
);

/** Puts all elements out at once, newest first; the watermark moves only when `isOpen`. Never ends before. */
class Backwards implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #isOpen: boolean;
  readonly #onRead: () => void;
  constructor(isOpen: boolean, onRead: () => void) {
    this.#isOpen = isOpen;
    this.#onRead = onRead;
  }
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total + 1 }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(total: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<number>) {
    await nextTurn();
    if (from === 0) {
      for (let at = total - 1; at >= 0; at -= 1) context.output(at, eventTime(at * 100));
      tracker.tryClaim(total - 1);
      return resumeAfter(0);
    }
    this.#onRead();
    if (!this.#isOpen) return resumeAfter(5);
    tracker.tryClaim(total);
    return STOP;
  }
}

const STATES: readonly StateOptions[] = [{ kind: 'heap' }, { kind: 'disk', cacheBytes: 3_000 }];

test.each(STATES)('a job that stops with a full buffer resumes with it, state on $kind', async (state) => {
  const processed: number[] = [];
  const start = (isOpen: boolean, onRead = (): void => {}) =>
    runEmbedded(
      createPipeline((root) => {
        root
          .apply(read(200, new Backwards(isOpen, onRead), 'Backwards'))
          .map((value) => pair(`key ${value % 7}`, value))
          .apply(parDo(new Pass(), { name: 'Pass' }))
          .apply(parDo({ process: (value: number) => void processed.push(value) }, { name: 'Keep' }));
      }),
      { snapshots: { directory, intervalMs: 0 }, maxRetries: 0, state },
    );
  let onRead = (): void => {};
  const isRead = new Promise<void>((resolve) => {
    onRead = resolve;
  });
  const first = start(false, onRead);
  await Promise.race([isRead, first.finished]);
  await first.stop();
  expect(processed).toEqual([]);
  await start(true).finished;
  const oracle = Array.from({ length: 200 }, (_, at) => at);
  for (let key = 0; key < 7; key += 1) {
    expect(processed.filter((value) => value % 7 === key)).toEqual(oracle.filter((value) => value % 7 === key));
  }
});
