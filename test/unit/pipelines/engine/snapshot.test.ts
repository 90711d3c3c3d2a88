import { deserialize, serialize } from 'node:v8';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { Executor, type RestoredTransform } from '#pipelines/engine/executor';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { parDo, windowInto } from '#pipelines/model/transforms';
import { afterCount, afterWatermark } from '#pipelines/model/windows/triggers';
import { fixedWindows, sessions, slidingWindows } from '#pipelines/model/windows/windowing';
import { type Collected, collectInto } from '#pipelines/testing/collect';
import { testStream } from '#pipelines/testing/test_stream';
import { sum } from '#pipelines/transforms/standard/combiners';
import { reify } from '#pipelines/transforms/standard/reify';

// A snapshot is visited bit by bit while elements go on changing the state it is of. What is restored from it must go on exactly
// as the original did from the moment the snapshot began.

type Step =
  | { readonly kind: 'element'; readonly key: number; readonly at: number }
  | { readonly kind: 'watermark'; readonly by: number };

class RunningSum implements DoFn<KV<number, number>, string> {
  readonly sum = valueState<{ total: number }>('sum');
  readonly flush = eventTimer('flush');
  process({ key, value }: KV<number, number>, context: ProcessContext<string>): void {
    const sum = context.state(this.sum);
    const held = sum.read() ?? { total: 0 };
    // Changed in place: the snapshot must have taken it before.
    held.total += value;
    sum.write(held);
    context.timer(this.flush).set(context.timestamp + 15);
    context.output(`${key} ${held.total}`);
  }
  onTimer(_: TimerSpec, context: OnTimerContext<string>): void {
    context.output(`flush ${context.key} ${context.state(this.sum).read()?.total}`);
    context.state(this.sum).clear();
  }
}

function executorOf(steps: readonly Step[], output: Collected<unknown>[]): Executor {
  const plan = createPipeline((root) => {
    const stream = testStream<KV<number, number>>();
    let watermark = 0;
    for (const [index, step] of steps.entries()) {
      if (step.kind === 'element') stream.add([{ key: step.key, value: index }, step.at]);
      else {
        watermark += step.by;
        stream.advanceWatermarkTo(watermark);
      }
    }
    const elements = root.apply(stream.toInfinity());
    collectInto(elements.apply(parDo(new RunningSum(), { name: 'Sum' })), output as Collected<string>[], 'Sums');
    const trigger = afterWatermark({ early: afterCount(2), late: afterCount(1) });
    for (const windowFn of [fixedWindows(0.01), sessions(0.01)]) {
      const grouped = elements
        .apply(windowInto({ windowFn, trigger, allowedLatenessMs: 20, accumulation: 'accumulating' }, windowFn.urn))
        .apply(groupByKey(`Group ${windowFn.urn}`))
        .apply(reify(`Reify ${windowFn.urn}`));
      collectInto(grouped, output as never, `Groups ${windowFn.urn}`);
    }
    const sliding = elements
      .apply(windowInto({ windowFn: slidingWindows(0.05, 0.01) }, 'Sliding'))
      .apply(combinePerKey(sum()))
      .apply(reify('ReifySliding'));
    collectInto(sliding, output as never, 'SlidingSums');
  });
  return new Executor(plan, { now: () => 0, onDroppedLate() {}, onRetry() {} });
}

async function step(executor: Executor): Promise<boolean> {
  const stream = executor.testStreams.find(({ nextAdvanceMs }) => nextAdvanceMs !== undefined);
  await executor.runBundle(() => stream?.step(), 0);
  return stream !== undefined;
}

const clone = <T>(value: T): T => deserialize(serialize(value)) as T;

test('what is restored goes on as the original did from where the snapshot began', async () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('element' as const), key: fc.nat(5), at: fc.nat(60) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('watermark' as const), by: fc.nat(20) }) },
    ),
    { minLength: 1, maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(40), fc.nat(3), async (all, beginAt, perStep) => {
      const output: Collected<unknown>[] = [];
      const original = executorOf(all, output);
      for (let count = 0; count < beginAt && (await step(original)); count += 1);
      const before = output.length;
      const taken = new Map<number, unknown[]>();
      const take = (transform: number, entry: unknown): void => {
        taken.set(transform, [...(taken.get(transform) ?? []), clone(entry)]);
      };
      const snapshot = original.beginSnapshot(take);
      const heads = clone(snapshot.map(({ entries: _, ...saved }) => saved));
      /** Visits up to `count` entries. */
      const visit = (count: number): void => {
        for (const [index, { entries }] of snapshot.entries()) {
          for (let left = count; left > 0; left -= 1) {
            const next = entries.next();
            if (next.done === true) break;
            take(index, next.value);
          }
        }
      };
      while (await step(original)) visit(perStep);
      visit(Number.POSITIVE_INFINITY);
      original.endSnapshot();
      await step(original);

      const resumedOutput: Collected<unknown>[] = [];
      const resumed = executorOf(all, resumedOutput);
      await resumed.restore(
        heads.map((head, index): RestoredTransform => ({ ...head, entries: taken.get(index) ?? [] })),
      );
      while (await step(resumed));
      await step(resumed);
      const texts = (collected: readonly Collected<unknown>[]): string[] =>
        collected.map((one) => JSON.stringify(one)).sort();
      expect(texts(resumedOutput)).toEqual(texts(output.slice(before)));
    }),
    { numRuns: 300 },
  );
});
