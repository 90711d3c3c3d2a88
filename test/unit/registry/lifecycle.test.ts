import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from '@jest/globals';
import { COMPARISON_TAG } from '#registry/lifecycle/comparison';
import { checkGates } from '#registry/lifecycle/gates';
import { gatesConfigSchema } from '#registry/lifecycle/gates_config';
import { type AuditEntry, Lifecycle } from '#registry/lifecycle/lifecycle';
import { LocalRegistry } from '#registry/local/local_registry';
import type { ModelVersion } from '#registry/model_registry';
import { ModelProto } from '#registry/onnx/onnx_proto';
import { examineModel } from '#serving/models/loaded_model';
import { tinyModel } from '../../support/platforms/tiny_model.ts';

const NAME = 'tiny';
let directory: string;
let registry: LocalRegistry;
let audit: AuditEntry[];

const lifecycleOf = (gates: object = {}, problems: readonly string[] = []) =>
  new Lifecycle(
    {
      registry,
      examine: examineModel,
      checkSignature: () => problems,
      record: async (entry) => void audit.push(entry),
    },
    { [NAME]: gatesConfigSchema.parse(gates) },
  );
const register = (auc: number) =>
  registry.register({ name: NAME, package: tinyModel(auc), metrics: { auc, rmse: auc }, params: {} });
const promotion = { stage: 'Production', by: 'ann', reason: 'better' } as const;
const stages = async () => (await registry.listVersions(NAME)).map(({ stage }) => stage);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lifecycle-'));
  registry = new LocalRegistry({ kind: 'local', directory });
  audit = [];
});

test('a version goes through its stages, is rolled back, twice, and everything is written down', async () => {
  const lifecycle = lifecycleOf({ metric: 'auc' });
  for (const auc of [0.8, 0.85, 0.9]) await register(auc);
  await lifecycle.promote(NAME, 1, { ...promotion, stage: 'Staging' });
  expect(await stages()).toEqual(['Staging', 'None', 'None']);
  for (const version of [1, 2, 3]) await lifecycle.promote(NAME, version, promotion);
  expect(await stages()).toEqual(['Archived', 'Archived', 'Production']);
  expect(await lifecycle.rollback(NAME, { by: 'bob', reason: 'alarms' })).toMatchObject({
    version: 2,
    aliases: ['champion'],
  });
  expect(await lifecycle.rollback(NAME, { by: 'bob', reason: 'still' })).toMatchObject({ version: 1 });
  expect(await stages()).toEqual(['Production', 'Archived', 'Archived']);
  expect(audit.map(({ action, version, stage, replaced, by }) => [action, version, stage, replaced, by])).toEqual([
    ['promote', 1, 'Staging', undefined, 'ann'],
    ['promote', 1, 'Production', undefined, 'ann'],
    ['promote', 2, 'Production', 1, 'ann'],
    ['promote', 3, 'Production', 2, 'ann'],
    ['rollback', 2, 'Production', 3, 'bob'],
    ['rollback', 1, 'Production', 2, 'bob'],
  ]);
  expect(audit[2]).toMatchObject({
    metrics: { auc: 0.85 },
    reason: 'better',
    gates: expect.arrayContaining([expect.objectContaining({ gate: 'metric', passed: true })]),
  });
  await lifecycle.archive(NAME, 1, { by: 'ann', reason: 'over' });
  expect(await stages()).toEqual(['Archived', 'Archived', 'Archived']);
  await expect(lifecycle.rollback(NAME, { by: 'bob', reason: '' })).rejects.toMatchObject({
    code: 'REGISTRY_NOTHING_TO_ROLL_BACK',
  });
});

test('what was promoted elsewhere is rolled back to what was archived last', async () => {
  for (const auc of [0.8, 0.9]) await register(auc);
  await registry.transition(NAME, 1, 'Production');
  await registry.transition(NAME, 2, 'Production');
  expect(await lifecycleOf().rollback(NAME, { by: 'ann', reason: '' })).toMatchObject({ version: 1 });
});

test('every gate that is not passed is named; nothing is moved, unless it is forced', async () => {
  const gates = { metric: 'auc', worst: 0.7, tolerance: 0.01, maxBytes: 10, maxLatencyMs: 1e-9, approval: true };
  await register(0.9);
  await registry.transition(NAME, 1, 'Production');
  await register(0.85);
  const lifecycle = lifecycleOf(gates, ['it was trained on other definitions']);
  await expect(lifecycle.promote(NAME, 2, promotion)).rejects.toMatchObject({
    code: 'REGISTRY_PROMOTION_REFUSED',
    message: expect.stringMatching(
      /signature: it was trained on other definitions; size: \d+ of 10 bytes; latency: .*; metric: auc 0\.85; version 1 in production has 0\.9, 0\.01 worse at most; approval: .*--approved-by/,
    ),
  });
  await expect(lifecycle.promote(NAME, 2, { ...promotion, approvedBy: 'ann' })).rejects.toThrow(
    /approval of another person/,
  );
  expect(await stages()).toEqual(['Production', 'None']);
  expect(audit).toEqual([]);
  await lifecycle.promote(NAME, 2, { ...promotion, force: true });
  expect(await stages()).toEqual(['Archived', 'Production']);
  expect(audit[0]?.gates.filter(({ passed }) => !passed)).toHaveLength(5);
});

test('a model that was tampered with, or does not do what its trainer saw, is not promoted', async () => {
  await register(0.9);
  const { examples, ...model } = tinyModel(0.8);
  const wrong = examples.map((example) => ({ ...example, output: [0.5, 0.5] }));
  await registry.register({ name: NAME, package: { ...model, examples: wrong }, metrics: { auc: 1 }, params: {} });
  await expect(lifecycleOf().promote(NAME, 2, promotion)).rejects.toThrow(
    /golden rows: .*example 0 gives .* where the trainer saw 0\.5/,
  );
  const file = join(directory, NAME, 'versions', '1', 'model.onnx');
  writeFileSync(file, readFileSync(file).subarray(0, 100));
  await expect(lifecycleOf().promote(NAME, 1, promotion)).rejects.toMatchObject({
    code: 'REGISTRY_ARTIFACT_INTEGRITY',
  });
  await expect(lifecycleOf().promote(NAME, 9, promotion)).rejects.toThrow(
    /no model tiny version 9; there is version 1, version 2/,
  );
});

test('of two promotions at once one wins, and the other is told', async () => {
  for (const auc of [0.8, 0.9]) await register(auc);
  const lifecycle = lifecycleOf();
  const both = await Promise.allSettled([1, 2].map((version) => lifecycle.promote(NAME, version, promotion)));
  const lost = both.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
  expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(lost.reason).toMatchObject({ code: 'REGISTRY_PROMOTION_CONFLICT', retryable: true });
  expect((await stages()).filter((stage) => stage === 'Production')).toHaveLength(1);
  expect(audit).toHaveLength(1);
});

test('a metric may be better when lower, must be there, and must not be too bad', () => {
  const version = (number: number, metrics: Record<string, number>): ModelVersion => ({
    ...{
      name: NAME,
      version: number,
      stage: 'None',
      aliases: [],
      createdAtMs: 0,
      description: '',
      tags: {},
      runId: '',
    },
    metrics,
  });
  const model = tinyModel(0);
  const metricOf = (value: Record<string, number>, champion: number | undefined, gates: object) => {
    const candidate = { version: version(2, value), package: model, examined: { latencyMs: 1 }, signatureProblems: [] };
    const held = champion === undefined ? undefined : version(1, { rmse: champion });
    return checkGates(candidate, held, gatesConfigSchema.parse(gates)).find(({ gate }) => gate === 'metric');
  };
  const lower = { metric: 'rmse', better: 'lower', tolerance: 0.5, worst: 9 };
  expect(metricOf({ rmse: 3.4 }, 3, lower)?.passed).toBe(true);
  expect(metricOf({ rmse: 3.6 }, 3, lower)?.passed).toBe(false);
  expect(metricOf({ rmse: 9.5 }, undefined, lower)?.passed).toBe(false);
  expect(metricOf({ rmse: 8 }, undefined, lower)?.passed).toBe(true);
  expect(metricOf({ auc: 1 }, 3, lower)).toMatchObject({ passed: false, detail: 'version 2 has no rmse: it has auc' });
  expect(metricOf({ rmse: 1 }, 3, {})).toBeUndefined();
  // It has to be better, not merely as good.
  expect(metricOf({ rmse: 2.9 }, 3, { ...lower, tolerance: -0.2 })?.passed).toBe(false);
});

test('gates look at operators, and at what is known of the training data', async () => {
  const gatesOf = async (tags: Record<string, string>, gates: object = {}) => {
    const { version } = await registry.register({ name: NAME, package: tinyModel(0), metrics: {}, params: {}, tags });
    const results = await lifecycleOf(gates).validate(NAME, version);
    return Object.fromEntries(results.map(({ gate, passed, detail }) => [gate, passed || detail]));
  };
  expect(await gatesOf({})).toMatchObject({ opset: true, 'data quality': true });
  expect(await gatesOf({ 'headwater.data_quality': 'green' })).toMatchObject({ 'data quality': true });
  expect(await gatesOf({ 'headwater.data_quality': 'amount is missing in every row' })).toMatchObject({
    'data quality': 'amount is missing in every row',
  });
  expect(await gatesOf({}, { maxOpset: 1 })).toMatchObject({ opset: expect.stringMatching(/^opset \d+, 1 at most$/) });
});

test.each([
  ['', 'onnxruntime does not take it: .*Frobnicate'],
  ['com.acme', 'opset: it has operators of com.acme, which onnxruntime does not have'],
])('a model with an operator that nobody knows, of domain "%s", is refused by name', async (domain, reason) => {
  const tensor = { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'N' }, { dimValue: 4 }] } } };
  const onnx = ModelProto.encode(
    ModelProto.fromObject({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 15 }, ...(domain === '' ? [] : [{ domain, version: 1 }])],
      graph: {
        name: 'unknown',
        node: [{ opType: 'Frobnicate', domain, input: ['features'], output: ['probabilities'] }],
        input: [{ name: 'features', type: tensor }],
        output: [{ name: 'probabilities', type: tensor }],
      },
    }),
  ).finish();
  await registry.register({ name: NAME, package: { ...tinyModel(0), onnx }, metrics: {}, params: {} });
  await expect(lifecycleOf().promote(NAME, 1, promotion)).rejects.toMatchObject({
    code: 'REGISTRY_PROMOTION_REFUSED',
    message: expect.stringMatching(new RegExp(reason)),
  });
  expect(await stages()).toEqual(['None']);
});

test('the metric is what both came to on the same rows, where they were compared; a comparison with another champion counts for nothing', async () => {
  const lifecycle = lifecycleOf({ metric: 'auc', worst: 0.7 });
  await register(0.95);
  await lifecycle.promote(NAME, 1, promotion);
  // The world has changed: nothing comes to what version 1 came to then.
  await register(0.85);
  await expect(lifecycle.promote(NAME, 2, promotion)).rejects.toThrow(/auc 0.85; version 1 in production has 0.95/);
  const compare = (version: number, champion: number, auc: number, held: number) =>
    registry.setTag(
      NAME,
      version,
      COMPARISON_TAG,
      JSON.stringify({ champion, rows: 400, metrics: { auc }, championMetrics: { auc: held } }),
    );
  await compare(2, 7, 0.85, 0.6);
  await expect(lifecycle.promote(NAME, 2, promotion)).rejects.toThrow(/version 1 in production has 0.95/);
  await compare(2, 1, 0.6, 0.5);
  await expect(lifecycle.promote(NAME, 2, promotion)).rejects.toThrow(/auc 0.6 is worse than 0.7/);
  await compare(2, 1, 0.84, 0.9);
  await expect(lifecycle.promote(NAME, 2, promotion)).rejects.toThrow(/has 0.9 on the same 400 rows/);
  await registry.setTag(NAME, 2, COMPARISON_TAG, 'not JSON');
  await expect(lifecycle.promote(NAME, 2, promotion)).rejects.toThrow(/version 1 in production has 0.95/);
  await compare(2, 1, 0.84, 0.6);
  expect(await lifecycle.promote(NAME, 2, promotion)).toMatchObject({ version: 2, stage: 'Production' });
  expect(audit.at(-1)?.gates).toContainEqual({
    gate: 'metric',
    passed: true,
    detail: 'auc 0.84; version 1 in production has 0.6 on the same 400 rows',
  });
});
