import { deserialize, serialize } from 'node:v8';
import { expect, test } from '@jest/globals';
import {
  bagState,
  type CombineFn,
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  processingTimer,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { SnapshotError } from '#pipelines/engine/errors';
import { Executor, type RestoredTransform, type RestorePolicy } from '#pipelines/engine/executor';
import type { StateChange } from '#pipelines/engine/state/state_schema';
import { combinePerKey } from '#pipelines/model/grouping';
import type { KV, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { type Collected, collectInto } from '#pipelines/testing/collect';
import { testStream } from '#pipelines/testing/test_stream';
import { max, min, sum, top } from '#pipelines/transforms/standard/combiners';

type Build = (elements: ReturnType<typeof elementsOf>, output: Collected<unknown>[]) => void;

const elementsOf = (root: PipelineRoot, values: readonly number[]) => {
  const stream = testStream<KV<string, number>>();
  for (const value of values) stream.add([{ key: 'k', value }, 1]);
  return root.apply(stream.toInfinity());
};

interface Run {
  readonly executor: Executor;
  readonly output: Collected<unknown>[];
  readonly changes: StateChange[];
}

function start(values: readonly number[], build: Build, restorePolicy: RestorePolicy = {}): Run {
  const output: Collected<unknown>[] = [];
  const changes: StateChange[] = [];
  const plan = createPipeline((root) => build(elementsOf(root, values), output));
  const onStateChange = (change: StateChange): number => changes.push(change);
  const executor = new Executor(plan, { now: () => 0, onDroppedLate() {}, onRetry() {}, onStateChange, restorePolicy });
  return { executor, output, changes };
}

async function step({ executor }: Run, steps: number): Promise<void> {
  for (let count = 0; count < steps; count += 1) await executor.runBundle(() => executor.testStreams[0]?.step(), 0);
}

/** State after `values`, as a file would hold it. */
async function snapshotOf(values: readonly number[], build: Build): Promise<RestoredTransform[]> {
  const run = start(values, build);
  await step(run, values.length);
  const taken = run.executor
    .beginSnapshot(() => {})
    .map((saved) => ({ ...saved, entries: [...{ [Symbol.iterator]: () => saved.entries }] }));
  // What is read of the stream is not of interest here.
  return (deserialize(serialize(taken)) as RestoredTransform[]).filter(
    ({ schema }) => schema.operator !== 'testStream',
  );
}

async function resume(
  snapshot: readonly RestoredTransform[],
  values: readonly number[],
  build: Build,
  policy?: RestorePolicy,
): Promise<Run> {
  const run = start(values, build, policy);
  await run.executor.restore(snapshot);
  await step(run, values.length + 2);
  return run;
}

const combined =
  (fn: CombineFn<number, never, unknown>): Build =>
  (elements, output) => {
    const results = elements
      .apply(windowInto({ windowFn: fixedWindows(1) }, 'Windows'))
      .apply(combinePerKey(fn as never, { name: 'Combine' }));
    collectInto(results as never, output as never, 'Results');
  };

const own = (add: (a: number, b: number) => number, empty = 0): CombineFn<number, number, number> => ({
  createAccumulator: () => empty,
  addInput: (a, b) => add(a, b),
  mergeAccumulators: (all) => [...all].reduce((a, b) => add(a, b), empty),
  extractOutput: (a) => a,
});
const larger = { ...own(Math.max, 0), addInput: (a: number, b: number) => (b > a ? b : a) };

test.each<[string, CombineFn<number, never, unknown>, CombineFn<number, never, unknown>]>([
  ['sum by max', sum() as never, max() as never],
  ['min by max', min() as never, max() as never],
  [
    'top 2 by top 3',
    top(2, (a: number, b: number) => a - b) as never,
    top(3, (a: number, b: number) => a - b) as never,
  ],
  [
    'a function of one source by one with another empty accumulator',
    own(Math.max, 0) as never,
    own(Math.max, -1) as never,
  ],
  ['a function by one of another source', own(Math.max) as never, larger as never],
])('%s: the accumulators are refused, and the transform is named', async (_, before, after) => {
  const snapshot = await snapshotOf([1, 2, 3], combined(before));
  await expect(resume(snapshot, [4], combined(after))).rejects.toThrow(SnapshotError);
  await expect(resume(snapshot, [4], combined(after))).rejects.toThrow(/Combine.*accumulators.*discardState/s);
  const discarded = await resume(snapshot, [4], combined(after), {
    discard: snapshot.map(({ name }) => name).filter((name) => name.includes('Combine')),
  });
  expect(discarded.changes).toContainEqual(
    expect.objectContaining({ change: 'dropped', detail: expect.stringContaining('as requested') }),
  );
});

test('the same function goes on with its accumulators', async () => {
  const { output, changes } = await resume(
    await snapshotOf([1, 2, 3], combined(sum() as never)),
    [4],
    combined(sum() as never),
  );
  expect(output.map(({ value }) => value)).toEqual([{ key: 'k', value: 10 }]);
  expect(changes).toEqual([]);
});

test('a function may have its windows start empty when it changes', async () => {
  const restartable = (fn: CombineFn<number, number, number>) => ({ ...fn, whenChanged: 'restart' as const });
  const snapshot = await snapshotOf([1, 2, 3], combined(restartable(sum()) as never));
  const { output, changes } = await resume(snapshot, [4], combined(restartable(max()) as never));
  expect(output.map(({ value }) => value)).toEqual([{ key: 'k', value: 4 }]);
  expect(changes).toEqual([expect.objectContaining({ change: 'started_empty' })]);
});

class Before implements DoFn<KV<string, number>, string> {
  readonly total = valueState<number>('total');
  readonly all = bagState<number>('all');
  readonly later = processingTimer('later');
  process({ value }: KV<string, number>, context: ProcessContext<string>): void {
    const total = context.state(this.total);
    total.write((total.read() ?? 0) + value);
    context.state(this.all).add(value);
    context.timer(this.later).setAfter(1_000_000);
  }
  onTimer(): void {}
}

/** The cells in another order, one more, and another timer. */
class After implements DoFn<KV<string, number>, string> {
  readonly newest = valueState<number>('newest');
  readonly all = bagState<number>('all');
  readonly end = eventTimer('end');
  readonly total = valueState<number>('total');
  process({ value }: KV<string, number>, context: ProcessContext<string>): void {
    const newest = context.state(this.newest).read();
    context.output(`${newest} ${[...context.state(this.all).read()]} ${context.state(this.total).read()}`);
    context.state(this.newest).write(value);
  }
  onTimer(_: TimerSpec, __: OnTimerContext<string>): void {}
}

class TotalIsABag implements DoFn<KV<string, number>, string> {
  readonly total = bagState<number>('total');
  process(): void {}
}

const with_ =
  (doFn: () => DoFn<KV<string, number>, string>): Build =>
  (elements, output) =>
    collectInto(elements.apply(parDo(doFn(), { name: 'Stateful' })), output as never, 'Outputs');

test('cells are found by name, whatever their order; new and missing ones are logged', async () => {
  const snapshot = await snapshotOf(
    [1, 2, 3],
    with_(() => new Before()),
  );
  const { output, changes } = await resume(
    snapshot,
    [4, 5],
    with_(() => new After()),
  );
  expect(output.map(({ value }) => value)).toEqual(['undefined 1,2,3 6', '4 1,2,3 6']);
  expect(changes.map(({ change, detail }) => `${change}: ${detail}`)).toEqual([
    'started_empty: value state "newest" is new',
    'dropped: processing timer "later" is not declared any more',
  ]);
});

test('a cell of another kind under one name is refused', async () => {
  const snapshot = await snapshotOf(
    [1],
    with_(() => new Before()),
  );
  await expect(
    resume(
      snapshot,
      [2],
      with_(() => new TotalIsABag()),
    ),
  ).rejects.toThrow('holds a value state "total", which is now a bag state');
});

test('state of a transform that is gone is refused, or dropped where that is the policy', async () => {
  const snapshot = await snapshotOf(
    [1],
    with_(() => new Before()),
  );
  const without: Build = (elements, output) => collectInto(elements, output as never, 'Outputs');
  await expect(resume(snapshot, [2], without)).rejects.toThrow(
    '"Stateful/Keyed" is in the snapshot with state, but not in the pipeline',
  );
  const { changes } = await resume(snapshot, [2], without, { removed: 'drop' });
  expect(changes).toEqual([
    { transform: 'Stateful/Keyed', change: 'dropped', detail: expect.stringContaining('not in the pipeline') },
  ]);
});

test('another function without state under one name is logged', async () => {
  const times = (factor: 2 | 3): Build =>
    with_(() =>
      factor === 2
        ? { process: ({ value }, context) => context.output(`${value * 2}`) }
        : { process: ({ value }, context) => context.output(`${value * 3}`) },
    );
  const { changes } = await resume(await snapshotOf([1], times(2)), [2], times(3));
  expect(changes).toEqual([expect.objectContaining({ transform: 'Stateful', change: 'function_changed' })]);
});
