import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { LocalRegistry } from '#registry/local/local_registry';
import type { ModelPackage } from '#registry/packages/model_package';
import { servingConfigSchema } from '#serving/config';
import { ModelServer } from '#serving/inference/model_server';
import { canarySchema } from '#serving/routing/canary';
import { Guardrails, guardrailsSchema } from '#serving/routing/guardrails';
import type { RoutingRow } from '#serving/routing/routing';
import { type RoutingStore, routingSchema } from '#serving/routing/routing';
import { inferWatched } from '#serving/routing/watched_inference';
import { tinyModel } from '../../../support/platforms/tiny_model.ts';

/** Keeps changes as the offline store does. */
class MemoryRoutings implements RoutingStore {
  readonly rows: RoutingRow[] = [];
  isDown = false;

  async read() {
    this.#check();
    return [...new Map(this.rows.map((row) => [row.model, row])).values()];
  }

  async append(row: RoutingRow) {
    this.#check();
    if (this.rows.some(({ model, revision }) => model === row.model && revision === row.revision)) return false;
    this.rows.push(row);
    return true;
  }

  async list(model: string, limit: number) {
    this.#check();
    return this.rows
      .filter((row) => row.model === model)
      .reverse()
      .slice(0, limit);
  }

  #check(): void {
    if (this.isDown) throw new Error('the store is down');
  }
}

let registry: LocalRegistry;
let routings: MemoryRoutings;
const started: ModelServer[] = [];

beforeEach(async () => {
  registry = new LocalRegistry({ kind: 'local', directory: mkdtempSync(join(tmpdir(), 'routing-')) });
  routings = new MemoryRoutings();
  await register(tinyModel(0));
  await registry.transition('tiny', 1, 'Production');
});
afterEach(async () => {
  for (const models of started.splice(0)) await models.stop();
});

async function register(model: ModelPackage): Promise<number> {
  return (await registry.register({ name: 'tiny', package: model, metrics: {}, params: {} })).version;
}

async function staged(model: ModelPackage): Promise<number> {
  const version = await register(model);
  await registry.transition('tiny', version, 'Staging');
  return version;
}

const CANARY = { steps: [5, 25, 50, 100], rowsAStep: 300, guardrails: { judgeAfterRows: 100, latencyRatio: 1_000 } };

async function serve(settings: object = { canary: CANARY }, more: object = {}): Promise<ModelServer> {
  const config = servingConfigSchema.parse({ models: [{ name: 'tiny', ...settings }] });
  const deps = { registry, log: silentLogger, metrics: createMetricsRegistry({ process: false }), routings, ...more };
  const models = new ModelServer(deps, { ...config, refreshIntervalMs: 60_000 });
  started.push(models);
  await models.start();
  return models;
}

/** Predictions for so many entities, of amounts that scores differ by. @returns rows by who has answered */
async function predict(models: ModelServer, count: number, from = 0): Promise<Map<string, number>> {
  const by = new Map<string, number>();
  for (let index = from; index < from + count; index += 1) {
    const entity = `user-${index}`;
    const active = models.active('tiny', { entity });
    const input = Float32Array.of((index * 7) % 40, index % 5, index % 2, 0.1);
    const watching = models.watching('tiny');
    const answered =
      watching === undefined
        ? { output: await active.batcher.infer(input, 1), by: active }
        : await inferWatched(watching, active, input, 1, { entities: [entity] });
    expect(answered.output.every(Number.isFinite)).toBe(true);
    by.set(answered.by.variant, (by.get(answered.by.variant) ?? 0) + 1);
  }
  await models.refresh();
  return by;
}

test('a canary that is as good goes from step to step, keeps its entities, and passes', async () => {
  const version = await staged(tinyModel(0.01));
  const promoted: unknown[] = [];
  const models = await serve(
    { canary: { ...CANARY, whenPassed: 'promote' } },
    { promote: async (...given: unknown[]) => void promoted.push(given) },
  );
  const seen: number[] = [];
  const taken = new Set<string>();
  for (let round = 0; round < 40 && promoted.length === 0; round += 1) {
    const { percent } = models.watching('tiny')?.canary ?? { percent: -1 };
    if (seen.at(-1) !== percent) seen.push(percent);
    for (const entity of taken) expect(models.active('tiny', { entity }).variant).toBe('canary');
    for (let index = 0; index < 200; index += 1) {
      const entity = `user-${index}`;
      if (models.active('tiny', { entity }).variant === 'canary') taken.add(entity);
    }
    await predict(models, 600, round * 600);
  }
  expect(seen).toEqual([5, 25, 50, 100]);
  expect(promoted).toEqual([['tiny', version, expect.objectContaining({ by: 'headwater (canary)' })]]);
  expect(models.routingOf('tiny').canary).toMatchObject({ version, state: 'passed', percent: 100 });
  // The trail: begun, three steps, passed.
  expect(routings.rows.map(({ reason }) => reason.split(':')[1]?.trim())).toEqual([
    ...['running', 'running', 'running', 'running', 'passed'],
  ]);
});

test.each<readonly [string, () => ModelPackage, RegExp]>([
  ['scores of another kind', () => tinyModel(6), /its scores differ from production's by [\d.]+ /],
  ['what is no number', () => ({ ...tinyModel(Number.NaN), examples: [] }), /\d+ of \d+ rows failed; 1 % may/],
])('a canary that gives %s is taken back by itself; every request is answered', async (_, bad, why) => {
  const version = await staged(bad());
  const models = await serve({ canary: { ...CANARY, steps: [25, 100] } });
  let rows = 0;
  for (let round = 0; round < 40 && models.routingOf('tiny').canary?.state !== 'rolled_back'; round += 1) {
    rows += (await predict(models, 100, round * 100)).get('canary') ?? 0;
  }
  expect(models.routingOf('tiny').canary).toMatchObject({ version, percent: 0, reason: expect.stringMatching(why) });
  // Within the rows that it was given, and what of the last round came along.
  expect(rows).toBeLessThanOrEqual(100 + 100);
  expect((await predict(models, 300, 9_000)).get('canary')).toBeUndefined();
  const own = await models.routingHistory('tiny', 1);
  expect(own[0]).toMatchObject({ by: 'headwater (canary)', reason: expect.stringMatching(why) });
  // Others know, and after a restart it is still known; another version is tried anew.
  const other = await serve({ canary: { ...CANARY, steps: [25, 100] } });
  expect(other.routingOf('tiny').canary).toMatchObject({ state: 'rolled_back', percent: 0 });
  const next = await staged(tinyModel(0.01));
  await other.refresh();
  expect(other.routingOf('tiny').canary).toMatchObject({ version: next, state: 'running', percent: 25 });
});

test('a canary that throws: production answers, and it is taken back after three requests of two hundred', async () => {
  await staged(tinyModel(0));
  const models = await serve({ canary: { ...CANARY, steps: [50], guardrails: { judgeAfterRows: 200 } } });
  const entity = Array.from({ length: 50 }, (_, index) => `user-${index}`).find(
    (each) => models.active('tiny', { entity: each }).variant === 'canary',
  );
  const canary = models.active('tiny', { entity });
  const broken = { ...canary, batcher: { infer: () => Promise.reject(new Error('out of memory')) } as never };
  const watching = models.watching('tiny');
  if (watching === undefined) throw new Error('a canary runs');
  for (let call = 0; call < 3; call += 1) {
    expect(watching.canary?.percent).toBe(50);
    const { by } = await inferWatched(watching, broken, Float32Array.of(1, 2, 0, 0.1), 1);
    expect(by.variant).toBe('production');
  }
  expect(watching.canary?.progress).toMatchObject({ state: 'rolled_back', reason: '3 of 3 rows failed; 1 % may' });
});

test('guardrails: slower by a factor and by milliseconds that matter; alike is alike', () => {
  const judge = (canaryMs: number, controlMs: number) => {
    const guardrails = new Guardrails(guardrailsSchema.parse({}));
    let against: string | undefined;
    for (let row = 0; row < 400; row += 1) {
      const isCanary = row % 4 === 3;
      const seen = { rows: 1, latencyMs: isCanary ? canaryMs : controlMs, scores: [(row % 97) / 97], failed: 0 };
      against ??= guardrails.see(seen, isCanary, [{ row: 0, share: 0.25 }]);
    }
    return against;
  };
  expect(judge(1, 1)).toBeUndefined();
  expect(judge(2, 0.1)).toBeUndefined();
  expect(judge(40, 5)).toMatch("its p95 is 40.0 ms, production's 5.0; 3 times as much may be");
});

test('a canary whose scores differ by little for long is rolled back once they differ by much', () => {
  const guardrails = new Guardrails(guardrailsSchema.parse({}));
  const random = new Random(1);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const judge = (units: number, canaryShift: number): string | undefined => {
    let against: string | undefined;
    for (let unit = 0; unit < units; unit += 1) {
      const isCanary = random.chance(0.5);
      const seen = { rows: 1, latencyMs: 1, scores: [normal() + (isCanary ? canaryShift : 0)], failed: 0 };
      against ??= guardrails.see(seen, isCanary, [{ row: 0, share: 0.5 }]);
    }
    return against;
  };
  expect(judge(6_000, 0.25)).toBeUndefined();
  expect(judge(6_000, 1)).toMatch("its scores differ from production's by");
});

test('rows that fail in production as well do not speak against a canary', async () => {
  await staged(tinyModel(0));
  const models = await serve({ canary: { ...CANARY, steps: [50] } });
  const watching = models.watching('tiny');
  const [production, canary] = watching?.slots.map(({ active }) => active) ?? [];
  if (watching === undefined || canary === undefined || production === undefined) throw new Error('a canary runs');
  const failing = { infer: () => Promise.reject(new Error('refused')) } as never;
  const router = {
    production: { ...production, batcher: failing },
    see: (...given: Parameters<typeof watching.see>) => watching.see(...given),
  } as unknown as typeof watching;
  for (let call = 0; call < 5; call += 1) {
    const answer = inferWatched(router, { ...canary, batcher: failing }, Float32Array.of(1, 2, 0, 0.1), 1);
    await expect(answer).rejects.toThrow('refused');
  }
  expect(watching.canary?.progress.state).toBe('running');
});

const experiment = (weights: readonly [number, number], rules: readonly object[] = []) =>
  routingSchema.parse({
    experiment: {
      name: 'steeper',
      rules,
      variants: [
        { name: 'control', weight: weights[0] },
        { name: 'challenger', weight: weights[1], follow: { version: 2 } },
      ],
    },
  });

test('routing is changed at run time, in every process, with who and why; and taken back to the configuration', async () => {
  await register(tinyModel(3));
  const [one, two] = [await serve({}), await serve({})];
  const author = { by: 'ada', reason: 'to see whether steeper is better' };
  expect(await one.setRouting('tiny', experiment([1, 3]), author)).toMatchObject({
    revision: 1,
    shares: { control: 0.25, challenger: 0.75 },
  });
  expect(two.routingOf('tiny').revision).toBe(0);
  await two.refresh();
  for (const models of [one, two]) {
    const entities = Array.from({ length: 400 }, (_, index) => `user-${index}`);
    const challenged = entities.filter((entity) => models.active('tiny', { entity }).version === 2);
    expect(challenged.length / 400).toBeCloseTo(0.75, 1);
  }
  expect(await one.routingHistory('tiny', 10)).toMatchObject([{ revision: 1, ...author }]);
  // Two authors: the second has not seen what the first did.
  await two.setRouting('tiny', experiment([1, 1]), author, 1);
  await expect(one.setRouting('tiny', experiment([1, 9]), author, 1)).rejects.toThrow('it is at revision 2, not 1');
  expect(one.routingOf('tiny')).toMatchObject({ revision: 2, shares: { control: 0.5 } });
  await one.setRouting('tiny', null, { by: 'ada', reason: 'done' });
  expect(one.active('tiny', { entity: 'user-1' })).toMatchObject({ variant: 'production', version: 1 });
});

test('a store that is down changes nothing, and what a canary came to is written when it is back', async () => {
  await staged({ ...tinyModel(Number.NaN), examples: [] });
  const models = await serve({ canary: { ...CANARY, steps: [50, 100] } });
  routings.isDown = true;
  await predict(models, 100);
  expect(models.routingOf('tiny').canary?.state).toBe('rolled_back');
  await expect(models.setRouting('tiny', null, { by: 'ada', reason: 'x' })).rejects.toThrow('down');
  expect(routings.rows.map(({ reason }) => reason)).toEqual(['version 2: running: begins at 50 %']);
  routings.isDown = false;
  // Somebody else, who has not seen it, was faster: it must go all the same.
  routings.rows.push({
    ...{ model: 'tiny', revision: 2, atMs: 0, by: 'another process', reason: '' },
    state: { routing: null, canary: { version: 2, step: 1, state: 'running', reason: 'goes on' } },
  });
  await models.refresh();
  await models.refresh();
  expect(routings.rows.at(-1)).toMatchObject({ revision: 3, state: { canary: { state: 'rolled_back' } } });
  expect(models.routingOf('tiny').canary).toMatchObject({ state: 'rolled_back', percent: 0 });
});

test('rules decide before shares: by entity, by a feature of the request', async () => {
  await register(tinyModel(3));
  const models = await serve(
    experiment(
      [1, 1],
      [
        { variant: 'control', entities: ['vip'] },
        { variant: 'challenger', feature: 'category', in: ['b'] },
        { variant: 'control', feature: 'amount', atLeast: 100 },
      ],
    ),
  );
  const variantsOf = (features: Record<string, unknown>, prefix = 'user') =>
    new Set(
      Array.from({ length: 40 }, (_, index) => {
        const entity = prefix === 'vip' ? 'vip' : `${prefix}-${index}`;
        return models.active('tiny', { entity, features }).variant;
      }),
    );
  expect(variantsOf({ category: 'b', amount: 500 })).toEqual(new Set(['challenger']));
  expect(variantsOf({ amount: 500 })).toEqual(new Set(['control']));
  expect(variantsOf({ amount: 5 })).toEqual(new Set(['challenger', 'control']));
  expect(variantsOf({ category: 'b' }, 'vip')).toEqual(new Set(['control']));
  expect(models.asksFeatures('tiny')).toBe(true);
});

test('a bandit deals by what came of it', async () => {
  await register(tinyModel(3));
  const sums = (variant: string, mean: number) => ({
    ...{ variant, predictions: 1_000, assignedUnits: 1_000, units: 1_000, outcomes: 1_000, total: mean * 1_000 },
    ...{ totalSquared: mean * 1_000, outcomesSquared: 1_000, product: mean * 1_000 },
  });
  const { experiment: weights } = experiment([1, 1]);
  const models = await serve(
    { experiment: { ...weights, allocation: 'thompson' } },
    { outcomes: async () => [sums('control', 0.1), sums('challenger', 0.2)] },
  );
  const { shares } = models.routingOf('tiny');
  expect(shares?.challenger).toBeGreaterThan(0.95);
  expect(shares?.control).toBeGreaterThanOrEqual(0.02);
});

test('what cannot be: two deals at once, steps that go back, rules for nobody', () => {
  const { experiment: one } = experiment([1, 1]);
  expect(() => routingSchema.parse({ experiment: one, canary: {} })).toThrow('an experiment and a canary');
  expect(() => servingConfigSchema.parse({ models: [{ name: 'x', experiment: one, canary: {} }] })).toThrow(
    'an experiment and a canary',
  );
  expect(() => canarySchema.parse({ steps: [25, 5] })).toThrow('each step must be larger');
  expect(() => experiment([1, 1], [{ variant: 'nobody', entities: ['x'] }])).toThrow('nobody is no variant');
  expect(() => experiment([1, 1], [{ variant: 'control', feature: 'x' }])).toThrow('requires \\"in\\", \\"atLeast\\"');
});
