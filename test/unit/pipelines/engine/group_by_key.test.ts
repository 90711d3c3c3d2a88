import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_EVENT_TIME } from '#kernel/time';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { windowInto } from '#pipelines/model/transforms';
import { fixedWindows, sessions, slidingWindows, type WindowFnSpec } from '#pipelines/model/windows/windowing';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { testStream } from '#pipelines/testing/test_stream';
import { max, sum } from '#pipelines/transforms/standard/combiners';
import { type Reified, reify } from '#pipelines/transforms/standard/reify';

// Panes against the slow, obvious way: keep everything, and look at everything again at each step.

type Step =
  | { readonly kind: 'element'; readonly key: string; readonly value: number; readonly at: number }
  | { readonly kind: 'watermark'; readonly to: number };

interface Pane {
  readonly key: string;
  readonly start: number;
  readonly end: number;
  readonly values: readonly number[];
  readonly timing: string;
  readonly index: number;
}

interface Settings {
  readonly windowsAt: (at: number) => readonly (readonly [start: number, end: number])[];
  readonly latenessMs: number;
  readonly accumulating: boolean;
}

function oraclePanes(steps: readonly Step[], { windowsAt, latenessMs, accumulating }: Settings): Pane[] {
  const panes: Pane[] = [];
  const held = new Map<
    string,
    { all: number[]; fresh: number[]; fired: number; key: string; start: number; end: number }
  >();
  let watermark = Number.NEGATIVE_INFINITY;
  const fire = (
    entry: { all: number[]; fresh: number[]; fired: number; key: string; start: number; end: number },
    timing: string,
  ) => {
    const { key, start, end } = entry;
    panes.push({ key, start, end, values: accumulating ? [...entry.all] : entry.fresh, timing, index: entry.fired });
    entry.fired += 1;
    entry.fresh = [];
  };
  for (const step of [...steps, { kind: 'watermark', to: MAX_EVENT_TIME } as const]) {
    if (step.kind === 'element') {
      for (const [start, end] of windowsAt(step.at)) {
        if (end - 1 + latenessMs < watermark) continue;
        const id = `${step.key} ${start} ${end}`;
        const entry = held.get(id) ?? { all: [], fresh: [], fired: 0, key: step.key, start, end };
        held.set(id, entry);
        entry.all.push(step.value);
        entry.fresh.push(step.value);
        if (end - 1 < watermark) fire(entry, 'LATE');
      }
    } else if (step.to > watermark) {
      for (const entry of held.values()) {
        const ends = entry.end - 1 >= watermark && entry.end - 1 < step.to;
        if (ends) fire(entry, 'ON_TIME');
      }
      watermark = step.to;
    }
  }
  return panes;
}

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('element' as const),
      key: fc.constantFrom('a', 'b'),
      value: fc.integer({ min: 0, max: 99 }),
      at: fc.integer({ min: 0, max: 100 }),
    }),
    fc.record({ kind: fc.constant('watermark' as const), to: fc.integer({ min: 0, max: 140 }) }),
  ),
  { maxLength: 40 },
);

function script(all: readonly Step[]): PTransform<PipelineRoot, PCollection<KV<string, number>>> {
  const stream = testStream<KV<string, number>>();
  let watermark = Number.NEGATIVE_INFINITY;
  for (const step of all) {
    if (step.kind === 'element') stream.add([{ key: step.key, value: step.value }, step.at]);
    else if (step.to > watermark) {
      watermark = step.to;
      stream.advanceWatermarkTo(step.to);
    }
  }
  return stream.toInfinity();
}

async function panesOf(
  all: readonly Step[],
  windowFn: WindowFnSpec,
  { latenessMs, accumulating }: Pick<Settings, 'latenessMs' | 'accumulating'>,
): Promise<Pane[]> {
  const collected: Collected<Reified<KV<string, readonly number[]>>>[] = [];
  await runToEnd((root) => {
    const grouped = root
      .apply(script(all))
      .apply(
        windowInto({
          windowFn,
          allowedLatenessMs: latenessMs,
          accumulation: accumulating ? 'accumulating' : 'discarding',
        }),
      )
      .apply(groupByKey())
      .apply(reify());
    collectInto(grouped, collected);
  });
  return collected.map(({ value: { value, window, pane } }) => ({
    key: value.key,
    start: window[0],
    end: window[1],
    values: value.value,
    timing: pane.timing,
    index: pane.index,
  }));
}

const inOrder = (panes: readonly Pane[]): string[] => panes.map((pane) => JSON.stringify(pane)).sort();

test.each([
  ['fixed', fixedWindows(0.01), (at: number) => [[Math.floor(at / 10) * 10, Math.floor(at / 10) * 10 + 10] as const]],
  [
    'sliding',
    slidingWindows(0.03, 0.01),
    (at: number) =>
      [0, 1, 2].map((back) => {
        const start = (Math.floor(at / 10) - back) * 10;
        return [start, start + 30] as const;
      }),
  ],
] as const)('%s windows: panes are those of the oracle', async (_, windowFn, windowsAt) => {
  await fc.assert(
    fc.asyncProperty(steps, fc.constantFrom(0, 15, 50), fc.boolean(), async (all, latenessMs, accumulating) => {
      const settings = { windowsAt, latenessMs, accumulating };
      expect(inOrder(await panesOf(all, windowFn, settings))).toEqual(inOrder(oraclePanes(all, settings)));
    }),
    { numRuns: 300 },
  );
});

test('session windows: those of the sorted elements, whatever the order of arrival', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.constantFrom('a', 'b'), at: fc.integer({ min: 0, max: 200 }) }), { maxLength: 40 }),
      async (elements) => {
        const all: Step[] = elements.map(({ key, at }, value) => ({ kind: 'element', key, value, at }));
        const panes = await panesOf(all, sessions(0.01), { latenessMs: 0, accumulating: false });
        const expected: string[] = [];
        for (const key of ['a', 'b']) {
          const sorted = elements
            .map(({ key: own, at }, value) => ({ own, at, value }))
            .filter(({ own }) => own === key);
          sorted.sort((x, y) => x.at - y.at);
          let session: typeof sorted = [];
          const close = (): void => {
            const [first] = session;
            const last = session.at(-1);
            if (first === undefined || last === undefined) return;
            expected.push(JSON.stringify([key, first.at, last.at + 10, session.map(({ value }) => value).sort()]));
          };
          for (const element of sorted) {
            if (session.length > 0 && element.at >= (session.at(-1)?.at ?? 0) + 10) {
              close();
              session = [];
            }
            session.push(element);
          }
          close();
        }
        const actual = panes.map(({ key, start, end, values }) =>
          JSON.stringify([key, start, end, [...values].sort()]),
        );
        expect(actual.sort()).toEqual(expected.sort());
      },
    ),
    { numRuns: 300 },
  );
});

test('combining gives the sum of what grouping collects', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (all, accumulating) => {
      const groups = await panesOf(all, fixedWindows(0.01), { latenessMs: 20, accumulating });
      const collected: Collected<Reified<KV<string, number>>>[] = [];
      await runToEnd((root) => {
        const combined = root
          .apply(script(all))
          .apply(
            windowInto({
              windowFn: fixedWindows(0.01),
              allowedLatenessMs: 20,
              accumulation: accumulating ? 'accumulating' : 'discarding',
            }),
          )
          .apply(combinePerKey(sum()))
          .apply(reify());
        collectInto(combined, collected);
      });
      const sums = collected.map(({ value: { value, window } }) => JSON.stringify([value.key, window[0], value.value]));
      const expected = groups.map(({ key, start, values }) =>
        JSON.stringify([key, start, values.reduce((a, b) => a + b, 0)]),
      );
      expect(sums.sort()).toEqual(expected.sort());
    }),
    { numRuns: 100 },
  );
});

test('sliding windows combined by tiles are those of the oracle, late elements included', async () => {
  const windowsAt = (at: number) =>
    [0, 1, 2, 3, 4].map((back) => {
      const start = (Math.floor(at / 10) - back) * 10;
      return [start, start + 50] as const;
    });
  const plan = createPipeline((root) => {
    root
      .apply(script([]))
      .apply(windowInto({ windowFn: slidingWindows(0.05, 0.01) }))
      .apply(combinePerKey(sum()));
  });
  expect(plan.transforms.map(({ kind }) => kind)).toContain('slidingCombine');
  for (const combineFn of [sum(), max()]) {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const collected: Collected<Reified<KV<string, number>>>[] = [];
        await runToEnd((root) => {
          const combined = root
            .apply(script(all))
            .apply(windowInto({ windowFn: slidingWindows(0.05, 0.01) }))
            .apply(combinePerKey(combineFn))
            .apply(reify());
          collectInto(combined, collected);
        });
        const actual = collected.map(({ value: { value, window, pane, timestamp } }) =>
          JSON.stringify([value.key, ...window, value.value, pane.timing, timestamp]),
        );
        const panes = oraclePanes(all, { windowsAt, latenessMs: 0, accumulating: false });
        const expected = panes.map(({ key, start, end, values }) => {
          const value = values.reduce(
            (accumulator, input) => combineFn.addInput(accumulator, input),
            combineFn.createAccumulator(),
          );
          return JSON.stringify([key, start, end, value, 'ON_TIME', end - 1]);
        });
        expect(actual.sort()).toEqual(expected.sort());
      }),
      { numRuns: 300 },
    );
  }
});
