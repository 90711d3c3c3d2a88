import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import {
  bagState,
  type CombineFn,
  combiningState,
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { Counter } from '#pipelines/engine/metrics';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import { SessionWindows } from '#pipelines/engine/windowing/session_windows';
import { Window } from '#pipelines/engine/windowing/window';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { asIterable } from '#pipelines/model/side_inputs';
import { testStreamTransform } from '#pipelines/model/test_stream';
import { create, keyBy, parDo, read, windowInto, withTimestamps } from '#pipelines/model/transforms';
import { afterCount, afterWatermark, repeatedly } from '#pipelines/model/windows/triggers';
import { fixedWindows, globalWindows, sessions } from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { inProcessShards } from '#pipelines/testing/in_process_shards';
import { testStream } from '#pipelines/testing/test_stream';
import { sum } from '#pipelines/transforms/standard/combiners';
import { deduplicate, distinct, groupIntoBatches } from '#pipelines/transforms/standard/grouping';
import { waitOn } from '#pipelines/transforms/standard/wait_on';
import { until } from '../../../support/turns.ts';

type Pair = KV<string, number>;
const pair = (key: string, value: number): Pair => ({ key, value });
const valuesOf = <T>(collected: readonly Collected<T>[]): readonly T[] => collected.map(({ value }) => value);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'right-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

// --- done is asserted --------------------------------------------------------------------------------------------------

/** Sets its next timer in an asynchronous call, `ticks` times. */
class Ticking implements DoFn<Pair, string> {
  readonly tick = eventTimer('tick');
  readonly ticks = valueState<number>('ticks');
  readonly #last: number;
  constructor(last: number) {
    this.#last = last;
  }
  async process(_: Pair, context: ProcessContext<string>): Promise<void> {
    await nextTurn();
    context.timer(this.tick).set(context.timestamp + 10);
  }
  async onTimer(_: TimerSpec, context: OnTimerContext<string, string>): Promise<void> {
    await nextTurn();
    const ticks = (context.state(this.ticks).read() ?? 0) + 1;
    context.state(this.ticks).write(ticks);
    context.output(`${context.key} ${ticks} at ${context.firedAt}`);
    if (ticks < this.#last) context.timer(this.tick).set(context.firedAt + 10);
  }
}

const ticking = (output: Collected<string>[]) => (root: PipelineRoot) =>
  collectInto(
    root
      .apply(create([pair('a', 0), pair('b', 5)]))
      .apply(withTimestamps(({ value }) => value))
      .apply(parDo(new Ticking(30), { name: 'Tick' })),
    output,
  );

test('a job ends when the timers that asynchronous timers set have fired', async () => {
  const output: Collected<string>[] = [];
  await runToEnd(ticking(output));
  expect(output).toHaveLength(60);
  expect(valuesOf(output)).toContain('b 30 at 305');
});

test('also with keys on shards', async () => {
  const output: Collected<string>[] = [];
  const construct = ticking(output);
  await runToEnd(construct, { shards: { count: 3, launch: inProcessShards(construct) } });
  expect(output).toHaveLength(60);
});

test('elements that waited for a side input have their window-end timers', async () => {
  const output: Collected<number>[] = [];
  class SumAtEnd implements DoFn<Pair, number> {
    readonly end = eventTimer('end');
    readonly sum = combiningState('sum', sum());
    async process({ value }: Pair, context: ProcessContext<number>): Promise<void> {
      await nextTurn();
      context.state(this.sum).add(value);
      context.timer(this.end).set(context.window.maxTimestamp());
    }
    onTimer(_: TimerSpec, context: OnTimerContext<number>): void {
      context.output(context.state(this.sum).read());
    }
  }
  await runToEnd((root) => {
    const windows = { windowFn: fixedWindows(10) };
    const side = root.apply(create([1], 'Side')).apply(windowInto<number>(windows, 'Side windows'));
    collectInto(
      root
        .apply(create([pair('a', 1), pair('a', 2), pair('b', 3)]))
        .apply(windowInto<Pair>(windows))
        .apply(parDo(new SumAtEnd(), { name: 'Sum', sideInputs: { side: asIterable(side) } })),
      output,
    );
  });
  expect([...valuesOf(output)].sort()).toEqual([3, 3]);
});

test('a timer in the past fires in the bundle that sets it, after the elements, in order of time', async () => {
  const seen: string[] = [];
  class Past implements DoFn<Pair, string> {
    readonly past = eventTimer('past');
    process({ value }: Pair, context: ProcessContext<string>): void {
      seen.push(`element ${value}`);
      context.timer(this.past).set(50 - value, { tag: String(value) });
    }
    onTimer(_: TimerSpec, context: OnTimerContext<string>): void {
      seen.push(`timer ${context.firedAt}`);
    }
  }
  await runToEnd((root) => {
    const late = root
      .apply(
        testStream<Pair>()
          .advanceWatermarkTo(100)
          .add([pair('a', 1), 101], [pair('a', 2), 102])
          .add([pair('a', 3), 103])
          .toInfinity(),
      )
      .apply(parDo<Pair, string>(new Past(), { name: 'Past' }));
    collectInto(late, []);
  });
  expect(seen).toEqual(['element 1', 'element 2', 'timer 48', 'timer 49', 'element 3', 'timer 47']);
});

test('an asynchronous timer may move and clear those that are due after it', async () => {
  const fired: number[] = [];
  class Moves implements DoFn<Pair, never> {
    readonly wake = eventTimer('wake');
    process(_: Pair, context: ProcessContext<never>): void {
      for (const at of [10, 20, 30]) context.timer(this.wake).set(at, { tag: String(at) });
    }
    async onTimer(_: TimerSpec, context: OnTimerContext<never>): Promise<void> {
      await nextTurn();
      fired.push(context.firedAt);
      if (context.firedAt !== 10) return;
      context.timer(this.wake).clear('20');
      context.timer(this.wake).set(15, { tag: 'between' });
    }
  }
  await runToEnd((root) => {
    root.apply(create([pair('a', 0)])).apply(parDo(new Moves(), { name: 'Moves' }));
  });
  expect(fired).toEqual([10, 15, 30]);
});

test('an event timer fires once the watermark has passed it, not when it is there', async () => {
  const fired: string[] = [];
  class Wake implements DoFn<Pair, never> {
    readonly wake = eventTimer('wake');
    process({ key }: Pair, context: ProcessContext<never>): void {
      fired.push(`element ${key}`);
      if (key === 'a') context.timer(this.wake).set(50);
    }
    onTimer(): void {
      fired.push('timer');
    }
  }
  await runToEnd((root) => {
    root
      .apply(
        testStream<Pair>()
          .add([pair('a', 1), 0])
          .advanceWatermarkTo(50)
          .add([pair('b', 2), 60])
          .advanceWatermarkTo(51)
          .add([pair('c', 3), 70])
          .toInfinity(),
      )
      .apply(parDo<Pair, never>(new Wake(), { name: 'Wake' }));
  });
  expect(fired).toEqual(['element a', 'element b', 'timer', 'element c']);
});

test('a job that is not finished fails, naming what is held and where', async () => {
  const unfinished = runToEnd((root) => {
    collectInto(root.apply(testStreamTransform<number>([{ kind: 'watermark', to: 5_000 }], 'Endless')), []);
  });
  await expect(unfinished).rejects.toMatchObject({
    code: 'PIPELINE_NOT_FINISHED',
    message: expect.stringContaining('transform "Endless/Script" is held at 1970-01-01T00:00:05.000Z'),
  });
});

// --- live state --------------------------------------------------------------------------------------------------------

class Stats {
  total = 0;
  readonly #parts: number[] = [];
  add(value: number): this {
    this.total += value;
    this.#parts.push(value);
    return this;
  }
  get parts(): readonly number[] {
    return this.#parts;
  }
}

const IDENTITIES: readonly [string, CombineFn<number, never, unknown>, (output: never) => unknown][] = [
  [
    'an array',
    {
      createAccumulator: () => [],
      addInput(accumulator: number[], value: number) {
        accumulator.push(value);
        return accumulator;
      },
      mergeAccumulators: (all: Iterable<number[]>) => [...all].flat(),
      extractOutput: (accumulator: number[]) => accumulator,
    } as unknown as CombineFn<number, never, unknown>,
    (output: readonly number[]) => output.length,
  ],
  [
    'a Map within an object',
    {
      createAccumulator: () => new Map(),
      addInput: (accumulator: Map<number, number>, value: number) => accumulator.set(value, value),
      mergeAccumulators: (all: Iterable<Map<number, number>>) => new Map([...all].flatMap((one) => [...one])),
      extractOutput: (accumulator: Map<number, number>) => ({ values: accumulator }),
    } as unknown as CombineFn<number, never, unknown>,
    ({ values }: { values: Map<number, number> }) => values.size,
  ],
  [
    'an instance of a class',
    {
      createAccumulator: () => new Stats(),
      addInput: (accumulator: Stats, value: number) => accumulator.add(value),
      mergeAccumulators: (all: Iterable<Stats>) =>
        [...all].flatMap(({ parts }) => [...parts]).reduce((merged, value) => merged.add(value), new Stats()),
      extractOutput: (accumulator: Stats) => accumulator,
    } as unknown as CombineFn<number, never, unknown>,
    ({ parts }: Stats) => parts.length,
  ],
];

test.each(IDENTITIES)('accumulating panes do not share their accumulator: %s', async (_, combineFn, sizeOf) => {
  const output: Collected<KV<string, never>>[] = [];
  await runToEnd((root) => {
    const panes = root
      .apply(testStream<number>().add([1, 1]).add([2, 2]).add([3, 3]).toInfinity())
      .apply(
        windowInto<number>({
          windowFn: fixedWindows(10),
          trigger: afterWatermark({ early: afterCount(1) }),
          accumulation: 'accumulating',
        }),
      )
      .apply(keyBy(() => 'k'))
      .apply(combinePerKey(combineFn as unknown as CombineFn<number, unknown, never>));
    collectInto(panes, output);
  });
  expect(output.map(({ value }) => sizeOf(value.value))).toEqual([1, 2, 3]);
});

test('what state was read as does not change with the state', async () => {
  const output: Collected<unknown>[] = [];
  class Reads implements DoFn<Pair, unknown> {
    readonly bag = bagState<number>('bag');
    readonly list = combiningState('list', IDENTITIES[0]?.[1] as unknown as CombineFn<number, unknown, unknown>);
    process({ value }: Pair, context: ProcessContext<unknown>): void {
      context.state(this.bag).add(value);
      context.state(this.list).add(value);
      context.output([context.state(this.bag).read(), context.state(this.list).read()]);
    }
  }
  await runToEnd((root) => {
    collectInto(root.apply(create([pair('a', 1), pair('a', 2)])).apply(parDo(new Reads(), { name: 'Reads' })), output);
  });
  expect(valuesOf(output)).toEqual([
    [[1], [1]],
    [
      [1, 2],
      [1, 2],
    ],
  ]);
});

// --- after a failed bundle ---------------------------------------------------------------------------------------------

/** 0 … `total` - 1, one a piece. */
class OneByOne implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded: boolean;
  readonly #pausesAt: number;
  isPaused = false;
  constructor(bounded = true, pausesAt = Number.POSITIVE_INFINITY) {
    this.bounded = bounded;
    this.#pausesAt = pausesAt;
  }
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(_: number, range: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<number>) {
    await nextTurn();
    if (range.from >= this.#pausesAt) {
      this.isPaused = true;
      return resumeAfter(20);
    }
    if (!tracker.tryClaim(range.from)) return STOP;
    context.output(range.from, eventTime(range.from));
    context.advanceWatermark(eventTime(range.from));
    return resumeAfter(0);
  }
}

test('after a failed bundle DoFns are made anew, and metrics count committed bundles once', async () => {
  let fails = true;
  const counted: number[] = [];
  class Counting implements DoFn<number, number> {
    readonly seen = new Counter('seen');
    #count = 0;
    process(value: number, context: ProcessContext<number>): void {
      this.#count += 1;
      this.seen.inc();
      counted.push(this.#count);
      if (value === 3 && fails) {
        fails = false;
        throw new Error('once');
      }
      context.output(value);
    }
  }
  const registry = createMetricsRegistry({ process: false });
  const construct = (root: PipelineRoot): void => {
    collectInto(root.apply(read(8, new OneByOne(), 'Numbers')).apply(parDo(new Counting(), { name: 'Count' })), []);
  };
  const job = runEmbedded(createPipeline(construct), {
    metrics: createPipelineMetrics(registry),
    snapshots: { directory, intervalMs: 0 },
    maxRetries: 1,
  });
  await job.finished;
  const restartedAt = counted.indexOf(1, 1);
  expect(restartedAt).toBeGreaterThan(0);
  expect(counted.slice(restartedAt)).toEqual(counted.slice(restartedAt).map((_, index) => index + 1));
  const text = await registry.metrics();
  expect(text).toContain('pipeline_user_metric{transform="Count",name="seen",part="value"} 8');
  expect(text).toContain('pipeline_elements_total{transform="Count"} 8');
});

// --- concurrency -------------------------------------------------------------------------------------------------------

test.each([
  [undefined, 100],
  [7, 7],
])('asynchronous calls in flight are bounded: %s', async (maxConcurrency, most) => {
  for (const keyed of [false, true]) {
    let running = 0;
    let peak = 0;
    const output: Collected<number>[] = [];
    const call: DoFn<Pair, number> = {
      async process({ value }, context) {
        running += 1;
        peak = Math.max(peak, running);
        await nextTurn();
        running -= 1;
        context.output(value);
      },
    };
    const doFn = keyed ? Object.assign(call, { state: valueState<number>('state') }) : call;
    await runToEnd((root) => {
      const pairs = root.apply(create(Array.from({ length: 2_000 }, (_, index) => pair(`k${index}`, index))));
      const settings = { name: 'Call', ...(maxConcurrency === undefined ? {} : { maxConcurrency }) };
      collectInto(pairs.apply(parDo<Pair, number>(doFn, settings)), output);
    });
    expect([keyed, peak, output.length]).toEqual([keyed, most, 2_000]);
  }
});

test('a call that fails among many fails the bundle, and nothing waits for ever', async () => {
  const failing = runToEnd((root) => {
    root.apply(create(Array.from({ length: 500 }, (_, index) => index))).apply(
      parDo<number, never>(
        {
          async process(value) {
            await nextTurn();
            if (value === 40) throw new Error('boom');
          },
        },
        { name: 'Call', maxConcurrency: 3 },
      ),
    );
  });
  await expect(failing).rejects.toThrow('transform "Call" failed in process on element 40: boom');
});

// --- sessions ----------------------------------------------------------------------------------------------------------

test('a session of a key is found in steps that grow with the logarithm of those that are open', () => {
  let looks = 0;
  const counted = (start: number): Window =>
    new Proxy(new Window(start, start + 50), {
      get(window, name) {
        if (name === 'start' || name === 'end') looks += 1;
        return Reflect.get(window, name, window) as unknown;
      },
    });
  const windows = 20_000;
  const open = new SessionWindows();
  for (let index = 0; index < windows; index += 1) {
    const before = looks;
    open.add('k', counted(((index * 7_919) % windows) * 100));
    expect(looks - before).toBeLessThanOrEqual(Math.log2(windows) + 6);
  }
});

test('many open sessions of one key give a result each', async () => {
  const output: Collected<KV<string, number>>[] = [];
  const elements = Array.from({ length: 2_000 }, (_, index) => ((index * 7_919) % 2_000) * 100);
  await runToEnd((root) => {
    collectInto(
      root
        .apply(create(elements))
        .apply(withTimestamps((at) => at))
        .apply(windowInto<number>({ windowFn: sessions(0.05) }))
        .apply(keyBy(() => 'k'))
        .apply(combinePerKey(sum())),
      output,
    );
  });
  expect(output).toHaveLength(2_000);
});

// --- drain, stop, cancel -----------------------------------------------------------------------------------------------

const windowSums = (source: OneByOne, output: Collected<KV<string, number>>[]) =>
  createPipeline((root) => {
    const sums: PCollection<KV<string, number>> = root
      .apply(read(1_000, source, 'Numbers'))
      .apply(windowInto<number>({ windowFn: fixedWindows(1) }))
      .apply(keyBy(() => 'k'))
      .apply(combinePerKey(sum()));
    collectInto(sums, output);
  });

test('drain closes windows; the next job reads on where the sources are, with empty windows', async () => {
  const first: Collected<KV<string, number>>[] = [];
  const snapshots = { directory, intervalMs: 5 };
  const source = new OneByOne(false, 100);
  const job = runEmbedded(windowSums(source, first), { snapshots });
  await until(() => source.isPaused);
  expect(first).toEqual([]);
  await job.drain();
  expect(job.state).toBe('done');
  expect(valuesOf(first)).toEqual([pair('k', (99 * 100) / 2)]);
  const second: Collected<KV<string, number>>[] = [];
  const next = runEmbedded(windowSums(new OneByOne(false), second), { snapshots });
  await next.finished;
  // The rest of the window, once.
  expect(valuesOf(second)).toEqual([pair('k', (999 * 1_000) / 2 - (99 * 100) / 2)]);
});

test('stop keeps windows open in its snapshot; the next job resumes them', async () => {
  const first: Collected<KV<string, number>>[] = [];
  const snapshots = { directory, intervalMs: 5 };
  const source = new OneByOne(false, 100);
  const job = runEmbedded(windowSums(source, first), { snapshots });
  await until(() => source.isPaused);
  await job.stop();
  expect(job.state).toBe('stopped');
  expect(first).toEqual([]);
  await runEmbedded(windowSums(new OneByOne(false), first), { snapshots }).finished;
  expect(valuesOf(first)).toEqual([pair('k', (999 * 1_000) / 2)]);
});

test('a job without snapshots is not stopped, which would lose its state; it drains', async () => {
  const output: Collected<KV<string, number>>[] = [];
  const source = new OneByOne(false, 100);
  const job = runEmbedded(windowSums(source, output));
  await until(() => source.isPaused);
  await expect(job.stop()).rejects.toThrow(/no snapshots.*drain it/);
  expect(job.state).toBe('running');
  await job.drain();
  expect(valuesOf(output)).toEqual([pair('k', (99 * 100) / 2)]);
});

test('a bounded source is read to its end when the job drains', async () => {
  const output: Collected<KV<string, number>>[] = [];
  const job = runEmbedded(windowSums(new OneByOne(true), output));
  await job.drain();
  expect(valuesOf(output)).toEqual([pair('k', (999 * 1_000) / 2)]);
});

test('drain with keys on shards', async () => {
  const output: Collected<KV<string, number>>[] = [];
  const snapshots = { directory, intervalMs: 5 };
  const build = (source: OneByOne, into: Collected<KV<string, number>>[]) => (root: PipelineRoot) => {
    const sums = root
      .apply(read(1_000, source, 'Numbers'))
      .apply(windowInto<number>({ windowFn: fixedWindows(1) }))
      .apply(keyBy((value) => `k${value % 3}`))
      .apply(combinePerKey(sum()));
    collectInto(sums, into);
  };
  const start = (construct: (root: PipelineRoot) => void) =>
    runEmbedded(createPipeline(construct), { snapshots, shards: { count: 2, launch: inProcessShards(construct) } });
  const source = new OneByOne(false, 99);
  const job = start(build(source, output));
  await until(() => source.isPaused);
  await job.drain();
  expect(output).toHaveLength(3);
  await start(build(new OneByOne(false), output)).finished;
  const total = valuesOf(output).reduce((all, { value }) => all + value, 0);
  expect([output.length, total]).toEqual([6, (999 * 1_000) / 2]);
});

test('a drain does not wait for timers of processing time, and fails where they never end', async () => {
  const output: Collected<KV<string, readonly number[]>>[] = [];
  const source = new OneByOne(false, 5);
  const job = runEmbedded(
    createPipeline((root) => {
      const batches = root
        .apply(read(10, source, 'Numbers'))
        .apply(keyBy(() => 'k'))
        .apply(groupIntoBatches<string, number>({ batchSize: 100, maxDelayMs: 3_600_000 }));
      collectInto(batches, output);
    }),
  );
  await until(() => source.isPaused);
  await job.drain();
  expect(valuesOf(output)).toEqual([{ key: 'k', value: [0, 1, 2, 3, 4] }]);
});

// --- transforms --------------------------------------------------------------------------------------------------------

test.each(['accumulating', 'discarding'] as const)(
  'a hot key in parts is as in one piece: %s',
  async (accumulation) => {
    const last = async (hotKeyFanout: number | undefined, windowFn = fixedWindows(10)): Promise<readonly number[]> => {
      const output: Collected<KV<string, number>>[] = [];
      await runToEnd((root) => {
        const stream = testStream<number>();
        for (let value = 1; value <= 20; value += 1) stream.add([value, value * 10]);
        const sums = root
          .apply(stream.toInfinity())
          .apply(
            windowInto<number>({
              windowFn,
              accumulation,
              trigger: afterWatermark({ early: repeatedly(afterCount(2)) }),
            }),
          )
          .apply(keyBy(() => 'k'))
          .apply(combinePerKey(sum(), hotKeyFanout === undefined ? {} : { hotKeyFanout }));
        collectInto(sums, output);
      });
      const values = valuesOf(output).map(({ value }) => value);
      return accumulation === 'accumulating' ? values.slice(-1) : [values.reduce((a, b) => a + b, 0)];
    };
    expect(await last(3)).toEqual(await last(undefined));
    expect(await last(3)).toEqual([210]);
  },
);

test('a hot key of sessions in parts is in one session', async () => {
  const output: Collected<KV<string, number>>[] = [];
  await runToEnd((root) => {
    collectInto(
      root
        .apply(create([0, 8, 16, 24, 100]))
        .apply(withTimestamps((at) => at))
        .apply(windowInto<number>({ windowFn: sessions(0.01) }))
        .apply(keyBy(() => 'k'))
        .apply(combinePerKey(sum(), { hotKeyFanout: 3 })),
      output,
    );
  });
  expect(
    valuesOf(output)
      .map(({ value }) => value)
      .sort((a, b) => a - b),
  ).toEqual([48, 100]);
});

test.each(['accumulating', 'discarding'] as const)(
  'distinct with early and late firings gives each once: %s',
  async (accumulation) => {
    const output: Collected<string>[] = [];
    await runToEnd((root) => {
      const stream = testStream<string>()
        .add(['a', 1])
        .add(['b', 2], ['a', 3])
        .advanceWatermarkTo(20)
        .add(['a', 4], ['c', 5]);
      const once = root
        .apply(stream.toInfinity())
        .apply(
          windowInto<string>({
            windowFn: fixedWindows(0.01),
            accumulation,
            allowedLatenessMs: 1_000,
            trigger: afterWatermark({ early: afterCount(1), late: afterCount(1) }),
          }),
        )
        .apply(distinct());
      collectInto(once, output);
    });
    expect([...valuesOf(output)].sort()).toEqual(['a', 'b', 'c']);
  },
);

test('batches hold the watermark at their oldest value; deduplicate holds nothing', async () => {
  const output: Collected<KV<string, readonly unknown[]>>[] = [];
  await runToEnd((root) => {
    const stream = testStream<string>().add(['x', 1_000]).advanceWatermarkTo(5_500).add(['y', 6_000]).toInfinity();
    const batches = root
      .apply(stream)
      .apply(windowInto<string>({ windowFn: fixedWindows(10) }))
      .apply(keyBy(() => 'k'))
      .apply(groupIntoBatches<string, string>({ batchSize: 10 }))
      // A batch is at its oldest value, in time for the window of that.
      .apply(windowInto<KV<string, readonly string[]>>({ windowFn: fixedWindows(2) }, 'Short windows'))
      .apply(groupByKey());
    collectInto(batches, output);
  });
  expect(output.map(({ value, timestamp }) => [value.value, timestamp])).toEqual([[[['x', 'y']], 1_999]]);

  const firstPanes: Collected<KV<string, readonly string[]>>[] = [];
  const order: string[] = [];
  await runToEnd((root) => {
    const stream = testStream<string>()
      .add(['x', 1_000])
      .advanceWatermarkTo(10_000)
      .add(['later', 11_000])
      .toInfinity();
    const seen = root.apply(stream).map((value) => {
      order.push(value);
      return value;
    });
    const windows = seen
      .apply(windowInto<string>({ windowFn: fixedWindows(5) }))
      .apply(deduplicate((value) => value, { durationMs: 3_600_000, domain: 'processing' }))
      .apply(keyBy(() => 'k'))
      .apply(groupByKey())
      .map((group) => {
        order.push('pane');
        return group;
      });
    collectInto(windows, firstPanes);
  });
  expect(order).toEqual(['x', 'pane', 'later', 'pane']);
});

test('what waits on a signal passes once the signal is complete for its window', async () => {
  const order: string[] = [];
  const noting =
    (note: string) =>
    (value: string): string => {
      order.push(`${note} ${value}`);
      return value;
    };
  await runToEnd((root) => {
    const windows = { windowFn: fixedWindows(10) };
    const stream = (name: string) =>
      root
        .apply(
          testStream<string>()
            .add([name, 1_000])
            .advanceWatermarkTo(9_000)
            .add([`${name} again`, 9_500])
            .advanceWatermarkTo(20_000)
            .toInfinity(name),
        )
        .apply(windowInto<string>(windows, `${name} windows`));
    // Its script is played first: without the wait it would pass first.
    const main = stream('main');
    const signal = stream('signal').map(noting('done'));
    collectInto(main.apply(waitOn([signal])).map(noting('passed')), []);
  });
  const first = order.findIndex((note) => note.startsWith('passed'));
  expect(order).toHaveLength(4);
  expect(order.slice(0, first)).toEqual(['done signal', 'done signal again']);
});

test('sources whose times are none fail, naming the source', async () => {
  const broken = (use: (context: SplittableContext<number>) => void) =>
    runToEnd((root) => {
      root.apply(
        read(
          1,
          Object.assign(new OneByOne(), {
            process(_: number, __: OffsetRange, ___: OffsetRangeTracker, context: SplittableContext<number>) {
              use(context);
              return STOP;
            },
          }),
          'Broken',
        ),
      );
    });
  await expect(broken((context) => context.output(1, Number.NaN as never))).rejects.toThrow(
    /transform "Broken\/Read" failed in process on element 1: an output has the timestamp NaN/,
  );
  await expect(broken((context) => context.output(1, undefined as never))).rejects.toThrow(/timestamp undefined/);
  await expect(broken((context) => context.advanceWatermark(Number.NaN as never))).rejects.toThrow(
    /a watermark is NaN/,
  );
});

test('elements in the global window come out with a trigger', async () => {
  const output: Collected<KV<string, readonly number[]>>[] = [];
  await runToEnd((root) => {
    collectInto(
      root
        .apply(testStream<number>().add([1, 1], [2, 2]).toInfinity())
        .apply(windowInto<number>({ windowFn: globalWindows(), trigger: repeatedly(afterCount(2)) }))
        .apply(keyBy(() => 'k'))
        .apply(groupByKey()),
      output,
    );
  });
  expect(valuesOf(output)).toEqual([{ key: 'k', value: [1, 2] }]);
});

test('what is later than the allowed lateness is dropped and counted; what is within it comes in a later pane', async () => {
  const registry = createMetricsRegistry({ process: false });
  const into: Collected<KV<string, number>>[] = [];
  const stream = testStream<Pair>()
    .add([pair('a', 1), 1_000])
    .advanceWatermarkTo(12_000)
    .add([pair('a', 10), 2_000])
    .advanceWatermarkTo(16_000)
    .add([pair('a', 100), 3_000], [pair('a', 1_000), 11_000])
    .toInfinity();
  const plan = createPipeline((root) =>
    collectInto(
      root
        .apply(stream)
        .apply(
          windowInto({
            windowFn: fixedWindows(10),
            allowedLatenessMs: 5_000,
            accumulation: 'accumulating',
            trigger: afterWatermark({ late: afterCount(1) }),
          }),
        )
        .apply(combinePerKey(sum(), { name: 'Sum' })),
      into,
    ),
  );
  await runEmbedded(plan, { metrics: createPipelineMetrics(registry) }).finished;
  expect(valuesOf(into).map(({ value }) => value)).toEqual([1, 11, 1_000]);
  expect(await registry.metrics()).toMatch(/dropped_late_total\{transform="Sum[^"]*"\} 1\n/);
});
