import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { eventTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import { Counter } from '#pipelines/engine/metrics';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import { cutIntoStages } from '#pipelines/engine/stages';
import { workerOf } from '#pipelines/engine/state/key_share';
import type { Construct } from '#pipelines/model/graph';
import { groupByKey, reshuffle } from '#pipelines/model/grouping';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, keyBy, parDo, parDoSplittable, read } from '#pipelines/model/transforms';
import { type EmbeddedOptions, type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import { inProcessShards } from '#pipelines/testing/in_process_shards';
import { until } from '../../../support/turns.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sharded-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const TOTAL = 200;
const KEYS = 7;
const PIECE = 10;

/** 0 … TOTAL - 1, a piece at a time, so that there are many bundles. */
class Numbers implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(total: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<number>) {
    await new Promise((resolve) => setImmediate(resolve));
    const to = Math.min(total, from + PIECE);
    for (let at = from; at < to; at += 1) context.output(at, eventTime(at));
    context.advanceWatermark(eventTime(to));
    tracker.tryClaim(to - 1);
    return to >= total ? STOP : resumeAfter(0);
  }
}

/** Sums by key in state, for an upserting sink; fails when it meets `crashOn`. */
class SumInto implements DoFn<KV<number, number>, never> {
  readonly sum = valueState<number>('sum');
  readonly seen = new Counter('seen');
  readonly #sink: Map<number, number>;
  readonly #crashOn: number | undefined;
  constructor(sink: Map<number, number>, crashOn?: number) {
    this.#sink = sink;
    this.#crashOn = crashOn;
  }
  process({ key, value }: KV<number, number>, context: ProcessContext<never>): void {
    if (value === this.#crashOn) throw new Error('crash');
    this.seen.inc();
    const sum = context.state(this.sum);
    sum.write((sum.read() ?? 0) + value);
    this.#sink.set(key, sum.read() as number);
  }
}

const pipeline =
  (sink: Map<number, number>, crashOn?: number): Construct =>
  (root) => {
    const keyed = root.apply(read(TOTAL, new Numbers(), 'Numbers')).apply(keyBy((value) => value % KEYS));
    keyed.apply(parDo(new SumInto(sink, crashOn), { name: 'Sum' }));
  };

const run = (construct: Construct, count: number, extra: EmbeddedOptions = {}): PipelineHandle =>
  runEmbedded(createPipeline(construct), {
    ...(count === 0 ? {} : { shards: { count, launch: inProcessShards(construct) } }),
    snapshots: { directory, intervalMs: 0 },
    maxRetries: 0,
    ...extra,
  });

const expected = new Map(
  Array.from({ length: KEYS }, (_, key) => {
    let sum = 0;
    for (let value = key; value < TOTAL; value += KEYS) sum += value;
    return [key, sum];
  }),
);

test('keys are spread evenly, and equal keys meet', () => {
  const counts = [0, 0, 0, 0];
  for (let index = 0; index < 4_000; index += 1) {
    const shard = workerOf(`account-${index}`, counts.length);
    counts[shard] = (counts[shard] as number) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(120);
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 1, max: 64 }), (key, shards) => {
      const copy = structuredClone(key);
      expect(workerOf(copy, shards)).toBe(workerOf(key, shards));
      expect(workerOf(key, shards)).toBeLessThan(shards);
    }),
  );
});

test('a plan is cut where elements must meet by key, and where a Reshuffle spreads them', () => {
  const plan = createPipeline((root) => {
    root
      .apply(create(['a', 'b']))
      .map((text) => text.length)
      .apply(reshuffle())
      .map((length) => length + 1)
      .apply(keyBy((length) => length))
      .apply(groupByKey())
      .map(({ key }) => key);
  });
  const { plans, exchanges } = cutIntoStages(plan, 4);
  expect(plans).toHaveLength(3);
  expect(exchanges.map(({ from, to }) => [from, to])).toEqual([
    [0, 1],
    [1, 2],
  ]);
  const modes = plans.flatMap(({ transforms }) =>
    transforms.flatMap((one) => (one.kind === 'exchangeOut' ? one.mode : [])),
  );
  expect(modes).toEqual(['anywhere', 'byKey']);
});

test('a source behind a grouping is refused, saying which', () => {
  const plan = createPipeline((root) => {
    root
      .apply(create([3]))
      .apply(keyBy((value) => value))
      .apply(groupByKey())
      .map(({ key }) => key)
      .apply(parDoSplittable(new Numbers(), 'More numbers'));
  });
  expect(() => cutIntoStages(plan, 2)).toThrow(/"More numbers" is a source that reads what a grouping/);
});

test('wherever a shard fails, a new process goes on from the snapshot and counts each element once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: TOTAL - 1 }),
      fc.integer({ min: 1, max: 4 }),
      async (crashOn, shards) => {
        rmSync(directory, { recursive: true, force: true });
        const sink = new Map<number, number>();
        await expect(run(pipeline(sink, crashOn), shards).finished).rejects.toThrow(
          `transform "Sum" failed in process on element {"key":${crashOn % KEYS},"value":${crashOn}}: crash`,
        );
        await run(pipeline(sink), shards).finished;
        expect(sink).toEqual(expected);
      },
    ),
    { numRuns: 25 },
  );
});

test('a failing shard is started again from the newest snapshot, within one job', async () => {
  const sink = new Map<number, number>();
  let launched = 0;
  const construct = pipeline(sink);
  const launch = inProcessShards(construct);
  const failing = inProcessShards(pipeline(sink, 150));
  const handle = run(construct, 0, {
    maxRetries: 2,
    shards: {
      count: 2,
      launch: (spec) => {
        launched += 1;
        return launched <= 2 ? failing(spec) : launch(spec);
      },
    },
  });
  await handle.finished;
  expect(launched).toBe(4);
  expect(sink).toEqual(expected);
});

test('a shard that has built another graph is refused', async () => {
  const other: Construct = (root) => {
    root
      .apply(create([1]))
      .apply(keyBy((value) => value))
      .apply(groupByKey());
  };
  const handle = runEmbedded(createPipeline(pipeline(new Map())), {
    shards: { count: 2, launch: inProcessShards(other) },
  });
  await expect(handle.finished).rejects.toThrow(/has built another graph than the job/);
});

test('metrics and element counts add up over the shards', async () => {
  const registry = createMetricsRegistry();
  await run(pipeline(new Map()), 3, { metrics: createPipelineMetrics(registry) }).finished;
  const text = await registry.metrics();
  expect(text).toMatch(new RegExp(`pipeline_user_metric\\{transform="Sum",name="seen",part="value"\\} ${TOTAL}`));
  expect(text).toMatch(new RegExp(`pipeline_elements_total\\{transform="KeyBy"\\} ${TOTAL}`));
  expect(text).not.toContain('Exchange');
});

test('what a drain has read is durable on every shard', async () => {
  const sink = new Map<number, number>();
  const first = run(pipeline(sink), 2);
  await until(() => sink.size > 0);
  await first.stop();
  await run(pipeline(sink), 2).finished;
  expect(sink).toEqual(expected);
});

/** Takes turns of the event loop, more for some values than for others. */
class Slow implements DoFn<KV<number, number>, KV<number, number>> {
  readonly last = valueState<number>('last');
  async process(pair: KV<number, number>, context: ProcessContext<KV<number, number>>): Promise<void> {
    for (let turn = pair.value % 3; turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
    context.state(this.last).write(pair.value);
    context.output(pair);
  }
}

test('the elements of a key are processed in their order by 4 workers, also where processing takes turns of the event loop', async () => {
  const seen = new Map<number, number[]>();
  const workers = new Set<number>();
  const construct: Construct = (root) => {
    root
      .apply(read(TOTAL, new Numbers(), 'Numbers'))
      .apply(keyBy((value) => value % KEYS))
      .apply(parDo(new Slow(), { name: 'Slow' }))
      .apply(
        parDo<KV<number, number>, never>(
          {
            process({ key, value }) {
              workers.add(workerOf(key, 4));
              seen.set(key, [...(seen.get(key) ?? []), value]);
            },
          },
          { name: 'Note' },
        ),
      );
  };
  await runEmbedded(createPipeline(construct), { shards: { count: 4, launch: inProcessShards(construct) } }).finished;
  expect(workers.size).toBeGreaterThan(1);
  for (let key = 0; key < KEYS; key += 1) {
    const values = Array.from({ length: TOTAL }, (_, value) => value).filter((value) => value % KEYS === key);
    expect(seen.get(key)).toEqual(values);
  }
});
