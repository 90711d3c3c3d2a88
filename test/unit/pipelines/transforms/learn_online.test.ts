import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Random } from '#kernel/random';
import { eventTime } from '#kernel/time';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { testStream } from '#pipelines/testing/test_stream';
import { learnOnline, type RefusedExample } from '#pipelines/transforms/online/learn_online';
import type { LearnedColumn, LinearWeights } from '#pipelines/transforms/online/linear_rows';
import type { LabelledExample, OnlineCheckpoint } from '#pipelines/transforms/online/online_learner';
import { scoreTable } from '#registry/evaluation/score';
import { linearPackage } from '#registry/trainers/online/linear_onnx';

const COLUMNS: readonly LearnedColumn[] = [
  { name: 'amount', type: 'double' },
  { name: 'count', type: 'long' },
  { name: 'is_new', type: 'boolean' },
  { name: 'kind', type: 'string' },
];
const SETTINGS = { columns: COLUMNS, alpha: 0.3, beta: 1, l1: 0.1, l2: 0.01, every: 20, keep: 2, mostCategories: 3 };
const KINDS = ['a', 'b', 'c', 'd', '__proto__', ''];
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

interface Timed extends LabelledExample {
  readonly at: number;
}

/** Examples whose label follows from the amount and the kind; flipped where `isFlipped` says. */
function examples(random: Random, count: number, isFlipped: (at: number) => boolean = () => false): Timed[] {
  return Array.from({ length: count }, (_, at) => {
    const amount = Math.exp(2 * random.normal());
    const kind = KINDS[Math.floor(random.next() ** 2 * KINDS.length)] as string;
    const truth = random.next() < sigmoid(3 * Math.log1p(amount) - 3 + (kind === 'b' ? 2 : 0)) ? 1 : 0;
    return {
      ...{ id: `e${String(at).padStart(6, '0')}`, at: Math.floor(at / 3), predictedAtMs: at * 10 },
      features: {
        amount: random.next() < 0.1 ? null : amount,
        count: Math.floor(random.next() * 5) - 2,
        is_new: random.next() < 0.5,
        ...(random.next() < 0.1 ? {} : { kind }),
      },
      label: isFlipped(at) ? 1 - truth : truth,
    };
  });
}

/** The same, written again as a plain loop over arrays: every weight is computed anew for every row. */
function slowFtrl(rows: readonly Timed[]): LinearWeights {
  const { alpha, beta, l1, l2 } = SETTINGS;
  const names: string[] = [];
  const z: number[] = [];
  const n: number[] = [];
  const own: Record<string, string[]> = { kind: [] };
  const weights = (): number[] =>
    z.map((value, at) => {
      if (Math.abs(value) <= l1) return 0;
      return -(value - Math.sign(value) * l1) / ((beta + Math.sqrt(n[at] as number)) / alpha + l2);
    });
  const at = (name: string): number => names.indexOf(name);
  for (const { features, label } of rows) {
    const x: [string, number][] = [['bias', 1]];
    for (const { name, type } of COLUMNS) {
      const value = features[name] ?? null;
      if (value === null) x.push([`missing/${name}`, 1]);
      else if (type === 'string') {
        const known = own[name] as string[];
        if (!known.includes(value as string) && known.length < SETTINGS.mostCategories) known.push(value as string);
        x.push([known.includes(value as string) ? `${name}=${value}` : `other/${name}`, 1]);
      } else {
        const number = Number(value);
        x.push([name, Math.sign(number) * Math.log(1 + Math.abs(number))]);
      }
    }
    const w = weights();
    let sum = 0;
    for (const [name, value] of x) sum += (at(name) < 0 ? 0 : (w[at(name)] as number)) * value;
    const p = 1 / (1 + Math.exp(-sum));
    for (const [name, value] of x) {
      if (at(name) < 0) {
        names.push(name);
        z.push(0);
        n.push(0);
      }
      const i = at(name);
      const g = (p - label) * value;
      const sigma = (Math.sqrt((n[i] as number) + g * g) - Math.sqrt(n[i] as number)) / alpha;
      z[i] = (z[i] as number) + (g - sigma * (weights()[i] as number));
      n[i] = (n[i] as number) + g * g;
    }
  }
  const w = weights();
  const of = (name: string): number => (at(name) < 0 ? 0 : (w[at(name)] as number));
  return {
    bias: of('bias'),
    columns: COLUMNS.map(({ name, type }) => ({
      ...{ name, type, weight: of(name), missing: of(`missing/${name}`), other: of(`other/${name}`) },
      categories: Object.fromEntries((own[name] ?? []).map((each) => [each, of(`${name}=${each}`)])),
    })),
  };
}

const keyed = (example: Timed): KV<string, LabelledExample> => {
  const { at: _, ...value } = example;
  return { key: 'm', value };
};

/** Runs bundles of examples, with a watermark after each. */
async function learned(
  bundles: readonly (readonly Timed[])[],
  watermarks: readonly number[],
  settings: typeof SETTINGS = SETTINGS,
): Promise<{ readonly checkpoints: readonly OnlineCheckpoint[]; readonly refused: readonly RefusedExample[] }> {
  const made: Collected<KV<string, OnlineCheckpoint>>[] = [];
  const left: Collected<KV<string, RefusedExample>>[] = [];
  const stream = bundles.reduce((built, bundle, at) => {
    const added = built.add(...bundle.map((example) => [keyed(example), example.at] as const));
    const watermark = watermarks[at];
    return watermark === undefined ? added : added.advanceWatermarkTo(watermark);
  }, testStream<KV<string, LabelledExample>>());
  await runToEnd(
    (root) => {
      const { checkpoints, refused } = learnOnline(root.apply(stream.toInfinity()), settings);
      collectInto(checkpoints, made);
      collectInto(refused, left);
    },
    { strict: true },
  );
  return { checkpoints: made.map(({ value }) => value.value), refused: left.map(({ value }) => value.value) };
}

test('in any order and any bundles the weights are those of a plain loop, to the last digit', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.integer({ min: 1, max: 120 }),
      fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 6 }),
      async (seed, count, cuts) => {
        const random = new Random(seed);
        const rows = examples(random, count);
        const watermarks = [...cuts].sort((a, b) => a - b);
        // Each bundle has those that its watermark does not pass, in no order.
        const bundles = [...watermarks, Number.POSITIVE_INFINITY].map((until, at) =>
          rows
            .filter((row) => row.at >= (watermarks[at - 1] ?? Number.NEGATIVE_INFINITY) && row.at < until)
            .map((row) => [random.next(), row] as const)
            .sort(([a], [b]) => a - b)
            .map(([, row]) => row),
        );
        const { checkpoints } = await learned(bundles, watermarks, { ...SETTINGS, keep: 0 });
        expect(checkpoints.map(({ examples: of }) => of)).toEqual(
          Array.from({ length: Math.floor(count / SETTINGS.every) }, (_, at) => (at + 1) * SETTINGS.every),
        );
        for (const { examples: of, weights } of checkpoints) expect(weights).toEqual(slowFtrl(rows.slice(0, of)));
      },
    ),
    { numRuns: 40 },
  );
});

/** Reads examples in blocks; stops the job, once, at a place. */
class Examples implements SplittableDoFn<string, KV<string, LabelledExample>, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #rows: readonly Timed[];
  readonly #stopAt: number;
  readonly #stop: () => void;

  constructor(rows: readonly Timed[], stopAt: number, stop: () => void) {
    this.#rows = rows;
    this.#stopAt = stopAt;
    this.#stop = stop;
  }
  initialRestrictions(): OffsetRange[] {
    return [{ from: 0, to: this.#rows.length }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(
    _: string,
    range: OffsetRange,
    tracker: OffsetRangeTracker,
    context: SplittableContext<KV<string, LabelledExample>>,
  ) {
    await new Promise((resolve) => setImmediate(resolve));
    if (range.from >= this.#stopAt) {
      this.#stop();
      return resumeAfter(5);
    }
    for (let at = range.from; at < range.from + 7; at += 1) {
      if (!tracker.tryClaim(at)) return STOP;
      const row = this.#rows[at] as Timed;
      context.output(keyed(row), eventTime(row.at));
    }
    const next = this.#rows[range.from + 7];
    if (next !== undefined) context.advanceWatermark(eventTime(next.at));
    return resumeAfter(0);
  }
}

test('stopped with a snapshot at any place and started again, it learns as if it had not been', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 0, max: 200 }), async (seed, place) => {
      const rows = examples(new Random(seed), 200, (at) => at >= 60 && at < 110);
      const directory = mkdtempSync(join(tmpdir(), 'online-'));
      try {
        const made: Collected<KV<string, OnlineCheckpoint>>[] = [];
        const run = async (stopAt: number): Promise<void> => {
          let stop = (): void => {};
          const source = new Examples(rows, stopAt, () => stop());
          const handle = runEmbedded(
            createPipeline((root) => {
              collectInto(learnOnline(root.apply(read('all', source, 'Examples')), SETTINGS).checkpoints, made);
            }),
            { snapshots: { directory, intervalMs: 60_000 } },
          );
          stop = () => void handle.stop().catch(() => {});
          await handle.finished;
        };
        await run(place);
        await run(Number.POSITIVE_INFINITY);
        const { checkpoints } = await learned([rows], []);
        expect(made.map(({ value }) => value.value)).toEqual(checkpoints);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    }),
    { numRuns: 15 },
  );
});

test('a burst of flipped labels is taken back once labels are right again, and a changed world is not', async () => {
  const settings = { ...SETTINGS, every: 250, keep: 4 };
  const poisoned = examples(new Random(7), 4_000, (at) => at >= 2_000 && at < 2_400);
  const { checkpoints } = await learned([poisoned], [], settings);
  const back = checkpoints.filter(({ wentBackTo }) => wentBackTo !== null);
  expect(back).toHaveLength(1);
  expect(back[0]?.examples).toBeLessThanOrEqual(2_750);
  const clean = back[0]?.wentBackTo;
  expect(clean).toBeLessThanOrEqual(2_000);
  expect(checkpoints.find(({ examples: at }) => at === back[0]?.examples)?.weights).toEqual(
    checkpoints.find(({ examples: at }) => at === clean)?.weights,
  );
  // Without going back, the burst costs more until the end.
  const without = await learned([poisoned], [], { ...settings, keep: 0 });
  const lossAfter = (all: readonly OnlineCheckpoint[]): number =>
    all.filter(({ examples: at }) => at > 2_750).reduce((sum, { loss }) => sum + loss, 0);
  expect(lossAfter(checkpoints)).toBeLessThan(lossAfter(without.checkpoints));
  const changed = await learned([examples(new Random(7), 4_000, (at) => at >= 2_000)], [], settings);
  expect(changed.checkpoints.every(({ wentBackTo }) => wentBackTo === null)).toBe(true);
});

test('the exported graph gives the probabilities of the weights, for numbers of any size, and what is missing or new', async () => {
  const rows = examples(new Random(3), 400);
  const { checkpoints } = await learned([rows], []);
  const { weights } = checkpoints.at(-1) as OnlineCheckpoint;
  const model = linearPackage({ ...weights, classes: ['honest', 'fraud'] });
  const odd = [
    { amount: 1e12, count: -3, is_new: true, kind: 'never seen' },
    { amount: -0.001, count: 0, is_new: false, kind: '' },
    { amount: null, count: null, is_new: null, kind: null },
    { amount: 0.1, count: 2 ** 40, is_new: true, kind: '__proto__' },
  ];
  const seen = [...rows.map(({ features }) => features), ...odd];
  const table = {
    ...{ featureService: { service: 'test@1' }, columns: COLUMNS, labels: seen.map(() => 0) },
    rows: seen.map((features) =>
      COLUMNS.map(({ name }) => (features as Record<string, number | string | boolean | null>)[name] ?? null),
    ),
  };
  const { rows: taken, outputs } = await scoreTable(model, table, 0, seen.length);
  expect(taken).toHaveLength(seen.length);
  let worst = 0;
  for (const [at, features] of seen.entries()) {
    const sum = weights.columns.reduce((total, { name, type, weight, missing, categories, other }) => {
      const value = (features as Record<string, unknown>)[name] ?? null;
      if (value === null) return total + missing;
      if (type === 'string')
        return total + (Object.hasOwn(categories, value as string) ? (categories[value as string] as number) : other);
      return total + weight * Math.sign(Number(value)) * Math.log(1 + Math.abs(Number(value)));
    }, weights.bias);
    worst = Math.max(worst, Math.abs((outputs[at * 2 + 1] as number) - sigmoid(sum)));
    expect((outputs[at * 2] as number) + (outputs[at * 2 + 1] as number)).toBeCloseTo(1, 6);
  }
  expect(worst).toBeLessThan(1e-6);
});

test('an example that is not as its columns are is left out by name, and the others are learned', async () => {
  const rows = examples(new Random(9), 20);
  const bad = [
    { ...(rows[0] as Timed), id: 'x1', features: { amount: 'much' } },
    { ...(rows[0] as Timed), id: 'x2', features: { kind: 7 } },
    { ...(rows[0] as Timed), id: 'x3', label: 2 },
  ];
  const { checkpoints, refused } = await learned([[...bad, ...rows]], []);
  expect([...refused].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
    { id: 'x1', field: 'amount', problem: 'is "much", and the column a double: send a finite number' },
    { id: 'x2', field: 'kind', problem: 'is a number, and the column a string' },
    { id: 'x3', field: 'label', problem: 'is 2: send 0 or 1' },
  ]);
  expect(checkpoints).toHaveLength(1);
  expect(checkpoints[0]?.weights).toEqual(slowFtrl(rows));
});

test('settings that no learner can work with are refused by name', async () => {
  for (const [wrong, message] of [
    [{ columns: [] }, 'columns is empty'],
    [{ alpha: 0 }, 'alpha must be above 0, not 0'],
    [{ l1: -1 }, 'l1 must be 0 or above, not -1'],
    [{ every: 1 }, 'every must be 2 or more, not 1'],
    [{ keep: 0.5 }, 'keep must be 0 or more, not 0.5'],
  ] as const) {
    await expect(learned([[]], [], { ...SETTINGS, ...wrong } as typeof SETTINGS)).rejects.toThrow(message);
  }
});
