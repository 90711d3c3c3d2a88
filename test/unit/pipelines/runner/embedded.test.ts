import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PlatformError } from '#kernel/errors';
import { eventTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type DoFn, type FinishBundleContext, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import { Counter, Distribution } from '#pipelines/engine/metrics';
import type { Plan } from '#pipelines/engine/plan';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read } from '#pipelines/model/transforms';
import { type EmbeddedOptions, runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import { turns } from '../../../support/turns.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'embedded-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

class TransientError extends PlatformError {
  readonly code = 'TEST_TRANSIENT';
  constructor() {
    super('try again', { fault: 'dependency', retryable: true });
  }
}

/** Counts up in pieces of `step`, over two restrictions; some calls fail once. */
class CountingSource implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #step: number;
  readonly #failOn: Set<number>;
  committed = 0;
  onCommit: (from: number, to: number) => void = () => {};
  constructor(step: number, failOn: readonly number[] = []) {
    this.#step = step;
    this.#failOn = new Set(failOn);
  }
  initialRestrictions(total: number): OffsetRange[] {
    const half = Math.floor(total / 2);
    return [
      { from: 0, to: half },
      { from: half, to: total },
    ];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(_: number, range: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<number>) {
    if (this.#failOn.delete(range.from)) throw new TransientError();
    await new Promise((resolve) => setImmediate(resolve));
    for (let at = range.from; at < range.from + this.#step; at += 1) {
      if (!tracker.tryClaim(at)) return STOP;
      context.output(at, eventTime(at));
    }
    context.advanceWatermark(eventTime(range.from + this.#step));
    context.afterBundleCommit(() => {
      this.committed = Math.max(this.committed, range.from + this.#step);
      this.onCommit(range.from, Math.min(range.from + this.#step, range.to));
    });
    return resumeAfter(0);
  }
}

/** Sums by key in state, and writes the newest sum of each key to `sink`, as an upserting store would. */
class SumInto implements DoFn<KV<number, number>, never> {
  readonly sum = valueState<number>('sum');
  readonly #sink: Map<number, number>;
  readonly #crashAt: number | undefined;
  #processed = 0;
  constructor(sink: Map<number, number>, crashAt?: number) {
    this.#sink = sink;
    this.#crashAt = crashAt;
  }
  process({ key, value }: KV<number, number>, context: ProcessContext<never>): void {
    this.#processed += 1;
    if (this.#processed === this.#crashAt) throw new Error('crash');
    const sum = context.state(this.sum);
    sum.write((sum.read() ?? 0) + value);
    this.#sink.set(key, sum.read() as number);
  }
}

const TOTAL = 60;
const plan = (source: CountingSource, sum: SumInto): Plan =>
  createPipeline((root) => {
    const numbers = root.apply(read(TOTAL, source, 'Count'));
    numbers.apply(keyBy((value) => value % 3)).apply(parDo(sum, { name: 'Sum' }));
  });
const options = (extra: Partial<EmbeddedOptions> = {}): EmbeddedOptions => ({
  snapshots: { directory, intervalMs: 0 },
  ...extra,
});
const expected = new Map([0, 1, 2].map((key) => [key, sumOf(key)]));

function sumOf(key: number): number {
  let sum = 0;
  for (let value = key; value < TOTAL; value += 3) sum += value;
  return sum;
}

test('a bounded source is read to its end, retryable failures included', async () => {
  const sink = new Map<number, number>();
  await runEmbedded(plan(new CountingSource(7, [0, 14]), new SumInto(sink))).finished;
  expect(sink).toEqual(expected);
});

test('commit callbacks run, and only after the snapshot that covers them', async () => {
  const source = new CountingSource(7);
  await runEmbedded(plan(source, new SumInto(new Map())), options()).finished;
  expect(source.committed).toBeGreaterThanOrEqual(TOTAL - 7);
  expect(readdirSync(directory).length).toBeLessThanOrEqual(2);
});

test('whenever a DoFn crashes, and the process after it, state counts each element once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: TOTAL }), fc.integer({ min: 1, max: 20 }), async (crashAt, step) => {
      rmSync(directory, { recursive: true, force: true });
      const sink = new Map<number, number>();
      const first = runEmbedded(plan(new CountingSource(step), new SumInto(sink, crashAt)), options({ maxRetries: 0 }));
      await expect(first.finished).rejects.toThrow('transform "Sum" failed');
      // A new process: new DoFn objects, the same graph, the same directory.
      await runEmbedded(plan(new CountingSource(step), new SumInto(sink)), options()).finished;
      expect(sink).toEqual(expected);
    }),
    { numRuns: 25 },
  );
});

test('a failing bundle is done again from the newest snapshot, within one process', async () => {
  const sink = new Map<number, number>();
  await runEmbedded(plan(new CountingSource(5), new SumInto(sink, 31)), options({ maxRetries: 2 })).finished;
  expect(sink).toEqual(expected);
});

test('a damaged newest snapshot falls back to the one before; two damaged ones are refused', async () => {
  const sink = new Map<number, number>();
  const run = runEmbedded(plan(new CountingSource(5), new SumInto(sink, 40)), options({ maxRetries: 0 }));
  await expect(run.finished).rejects.toThrow();
  const files = readdirSync(directory).sort();
  expect(files).toHaveLength(2);
  writeFileSync(join(directory, files[1] as string), 'garbage');
  await runEmbedded(plan(new CountingSource(5), new SumInto(sink)), options()).finished;
  expect(sink).toEqual(expected);
  for (const file of readdirSync(directory)) writeFileSync(join(directory, file), 'garbage');
  const refused = runEmbedded(plan(new CountingSource(5), new SumInto(sink)), options());
  await expect(refused.finished).rejects.toThrow(/no snapshot can be read.*Restore the folder/);
});

test('a snapshot of another pipeline is refused, naming what differs', async () => {
  await runEmbedded(plan(new CountingSource(5), new SumInto(new Map())), options()).finished;
  const other = createPipeline((root) => {
    root.apply(read(TOTAL, new CountingSource(5), 'Count')).apply(parDo({ process: () => {} }, { name: 'Sum' }));
  });
  const refused = runEmbedded(other, options({ maxRetries: 0 }));
  await expect(refused.finished).rejects.toThrow(
    /snapshot is of another pipeline: "Sum" was saved with value state sum and has none of it now/,
  );
});

test('drain takes what was read, makes it durable and ends; a later run goes on after it', async () => {
  const sink = new Map<number, number>();
  const job = runEmbedded(plan(new CountingSource(1), new SumInto(sink)), options());
  while (sink.size < 3) await new Promise((resolve) => setImmediate(resolve));
  await job.stop();
  expect(job.state).toBe('stopped');
  const soFar = [...sink.values()].reduce((sum, value) => sum + value, 0);
  expect(soFar).toBeLessThan((TOTAL * (TOTAL - 1)) / 2);
  await runEmbedded(plan(new CountingSource(5), new SumInto(sink)), options()).finished;
  expect(sink).toEqual(expected);
});

test('watermarks, stages and a DoFn’s own metrics are in the registry', async () => {
  class Judge implements DoFn<number, never> {
    readonly odd = new Counter('odd');
    readonly size = new Distribution('size');
    process(value: number): void {
      if (value % 2 === 1) this.odd.inc();
      this.size.update(value);
    }
  }
  const registry = createMetricsRegistry({ process: false });
  const judged = createPipeline((root) => {
    root.apply(read(TOTAL, new CountingSource(7), 'Count')).apply(parDo(new Judge(), { name: 'Judge' }));
  });
  await runEmbedded(judged, { metrics: createPipelineMetrics(registry) }).finished;
  const text = await registry.metrics();
  expect(text).toContain('pipeline_user_metric{transform="Judge",name="odd",part="value"} 30');
  expect(text).toContain('pipeline_user_metric{transform="Judge",name="size",part="max"} 59');
  expect(text).toMatch(/pipeline_stage_seconds_count\{transform="Judge"\} [1-9]/);
  expect(text).toMatch(/pipeline_transform_watermark_seconds\{transform="Count\/Read"\} \d/);
});

/** Leaves its writing under way; a write fails now and then. What it takes is on `kept` only once it is written. */
class LeavingUnderWay implements DoFn<number, number> {
  readonly #kept: Set<number>;
  readonly #failOn: Set<number>;
  #buffer: number[] = [];
  #underWay: Promise<number> = Promise.resolve(0);
  writing = 0;
  overlapped = 0;
  mostAtOnce = 0;

  constructor(kept: Set<number>, failOn: readonly number[] = []) {
    this.#kept = kept;
    this.#failOn = new Set(failOn);
  }

  process(value: number): void {
    if (this.writing > 0) this.overlapped += 1;
    this.#buffer.push(value);
  }

  async finishBundle(context: FinishBundleContext<number>): Promise<void> {
    const batch = this.#buffer;
    this.#buffer = [];
    await this.complete(context);
    this.#underWay = this.#write(batch);
    this.#underWay.catch(() => {});
  }

  async #write(batch: readonly number[]): Promise<number> {
    this.writing += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.writing);
    await turns(3);
    this.writing -= 1;
    for (const value of batch) {
      if (this.#failOn.delete(value)) throw new TransientError();
      this.#kept.add(value);
    }
    return batch.length;
  }

  async complete(context: FinishBundleContext<number>): Promise<void> {
    const underWay = this.#underWay;
    this.#underWay = Promise.resolve(0);
    const written = await underWay;
    if (written > 0) context.outputInWindow(written, eventTime(0), GLOBAL_WINDOW);
  }

  async teardown(): Promise<void> {
    await this.#underWay.catch(() => {});
  }
}

test('a sink may write while the next bundle is computed; nothing counts as done before it is written', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(999), { maxLength: 3 }), fc.boolean(), async (failOn, withSnapshots) => {
      rmSync(directory, { recursive: true, force: true });
      const kept = new Set<number>();
      const source = new CountingSource(20);
      const sink = new LeavingUnderWay(kept, withSnapshots ? failOn : []);
      const told: number[] = [];
      let tooEarly = 0;
      const plan = createPipeline((root) => {
        root
          .apply(read(1_000, source, 'Read'))
          .apply(parDo(sink, { name: 'Write' }))
          .apply(parDo({ process: (written: number) => void told.push(written) }, { name: 'Told' }));
      });
      source.onCommit = (from, to) => {
        for (let at = from; at < to; at += 1) if (!kept.has(at)) tooEarly += 1;
      };
      await runEmbedded(plan, withSnapshots ? { snapshots: { directory, intervalMs: 5 }, maxRetries: 10 } : {})
        .finished;
      expect(kept.size).toBe(1_000);
      expect(tooEarly).toBe(0);
      expect(sink.mostAtOnce).toBe(1);
      expect(sink.overlapped > 0).toBe(withSnapshots);
      expect(told.reduce((sum, written) => sum + written, 0)).toBeGreaterThanOrEqual(1_000);
    }),
    { numRuns: 15 },
  );
}, 60_000);

test('results do not depend on how many elements a bundle has', async () => {
  const results: Map<number, number>[] = [];
  for (const step of [1, 10, 1_000]) {
    const sink = new Map<number, number>();
    await runEmbedded(plan(new CountingSource(step), new SumInto(sink))).finished;
    results.push(sink);
  }
  expect(results).toEqual([expected, expected, expected]);
});
