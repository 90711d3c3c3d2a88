import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractCase } from '#kernel/contract';
import type { ModelRegistry, ModelVersion } from '../model_registry.ts';
import type { ModelPackage } from '../packages/model_package.ts';
import { mlpToOnnx } from '../trainers/tfjs/onnx_mlp.ts';

const TIMEOUT_MS = 60_000;
/** How long work that has a model to itself holds it. */
const WORK_MS = 300;

/** A logistic regression of two columns, whose bias tells one version from another. */
function contractModel(bias: number): ModelPackage {
  const onnx = mlpToOnnx(
    {
      ...{ width: 2, fill: new Float32Array(2), center: new Float32Array(2), scale: Float32Array.of(1, 1) },
      layers: [{ weights: Float32Array.of(0.5, -1), bias: Float32Array.of(bias) }],
    },
    'contract',
  );
  const score = 1 / (1 + Math.exp(-bias));
  return {
    onnx,
    signature: {
      inputs: [
        { name: 'amount', type: 'double', required: true },
        { name: 'category', type: 'string', required: false, categories: { a: 0.1, é: 0.7 } },
      ],
      ...{ task: 'binary_classification', classes: ['no', 'yes'], featureService: { service: 'contract@1' } },
      onnx: { input: 'features', output: 'probabilities' },
    },
    examples: [{ features: { amount: 0, category: null }, output: [1 - score, score] }],
  };
}

interface Opened {
  readonly registry: ModelRegistry;
  /** A name that no other case has. */
  readonly model: string;
  /** Registers the next version, whose model has this bias. */
  register(bias: number): Promise<ModelVersion>;
}

/**
 * Returns what every model registry does.
 *
 * @param open - opens the same registry each time, as another process would
 */
export function registryContract(open: () => ModelRegistry | Promise<ModelRegistry>): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const test = (name: string, check: (opened: Opened) => Promise<void>): void => {
    const run = async (): Promise<void> => {
      const registry = await open();
      const model = `contract-${randomUUID().slice(0, 8)}`;
      const register = (bias: number) =>
        registry.register({
          ...{ name: model, package: contractModel(bias), params: { bias: String(bias) } },
          metrics: { auc: 0.9 + bias / 100 },
        });
      try {
        await check({ registry, model, register });
      } finally {
        await registry.close();
      }
    };
    cases.push({ name, timeoutMs: TIMEOUT_MS, run });
  };

  test('versions count from 1; what is downloaded is what was registered, in another client too', async (opened) => {
    const { registry, model, register } = opened;
    const [first, second] = [await register(1), await register(2)];
    assert.deepEqual([first.version, second.version], [1, 2]);
    const [listed] = await registry.listVersions(model);
    const { name, version, stage, metrics } = listed as ModelVersion;
    assert.deepEqual(
      { name, version, stage, metrics },
      { name: model, version: 1, stage: 'None', metrics: { auc: 0.91 } },
    );
    assert.ok((await registry.listModels()).includes(model), 'listModels lacks the model');
    const other = await open();
    try {
      const found = await other.download(second);
      const expected = contractModel(2);
      assert.ok(Buffer.from(found.onnx).equals(Buffer.from(expected.onnx)), 'the ONNX bytes differ');
      assert.deepEqual(found.signature, expected.signature);
      assert.deepEqual(found.examples, expected.examples);
    } finally {
      await other.close();
    }
  });

  test('promoting archives the version before; stage and alias stay in step', async ({ registry, model, register }) => {
    await register(1);
    await register(2);
    const versionAt = async (selector: Parameters<ModelRegistry['resolve']>[1]) =>
      (await registry.resolve(model, selector))?.version;
    assert.equal(await versionAt({ stage: 'Production' }), undefined);
    await registry.transition(model, 1, 'Production', { by: 'contract' });
    assert.equal(await versionAt({ alias: 'champion' }), 1);
    await registry.transition(model, 2, 'Production', { by: 'contract', reason: 'better' });
    assert.equal(await versionAt({ stage: 'Production' }), 2);
    assert.equal(await versionAt({ alias: 'champion' }), 2);
    assert.equal((await registry.resolve(model, { version: 1 }))?.stage, 'Archived');
    // Rolling back is the same path.
    await registry.transition(model, 1, 'Production', { by: 'contract', reason: 'rollback' });
    const versions = await registry.listVersions(model);
    assert.deepEqual(
      versions.map(({ stage, aliases }) => [stage, [...aliases]]),
      [
        ['Production', ['champion']],
        ['Archived', []],
      ],
    );
    await registry.transition(model, 2, 'Staging', { by: 'contract' });
    assert.equal(await versionAt({ alias: 'challenger' }), 2);
    // Out of production is out of both.
    await registry.transition(model, 1, 'Archived', { by: 'contract' });
    assert.equal(await versionAt({ alias: 'champion' }), undefined);
  });

  test('files and tags go with a version', async ({ registry, model }) => {
    const { version } = await registry.register({
      ...{ name: model, package: contractModel(3), metrics: {}, params: {}, tags: { owner: 'risk' } },
      attachments: new Map([['report.html', Buffer.from('<h1>ä</h1>')]]),
      trials: [
        {
          number: 1,
          params: { depth: '3' },
          metrics: { rmse: 1.5 },
          startedMs: 1_790_000_000_000,
          finishedMs: 1_790_000_001_000,
        },
      ],
    });
    await registry.setTag(model, version, 'headwater.replaced', '1');
    await registry.setTag(model, version, 'headwater.replaced', '7');
    const found = (await registry.resolve(model, { version })) as ModelVersion;
    assert.equal(found.tags.owner, 'risk');
    assert.equal(found.tags['headwater.replaced'], '7');
    assert.equal(Buffer.from((await registry.attachment(found, 'report.html')) ?? []).toString(), '<h1>ä</h1>');
    assert.equal(await registry.attachment(found, 'no-such-file'), undefined);
  });

  test("aliases of the caller's own move from version to version", async ({ registry, model, register }) => {
    await register(1);
    await register(2);
    for (const version of [2, 1]) {
      await registry.setAlias(model, 'canary', version);
      assert.equal((await registry.resolve(model, { alias: 'canary' }))?.version, version);
    }
  });

  test('what is missing is undefined when resolved, and named when moved', async ({ registry, model, register }) => {
    await register(1);
    assert.equal(await registry.resolve(model, { version: 99 }), undefined);
    assert.equal(await registry.resolve(model, { alias: 'none' }), undefined);
    assert.equal(await registry.resolve(`${model}-other`, { stage: 'Production' }), undefined);
    await assert.rejects(registry.transition(model, 99, 'Production'), {
      ...{ code: 'REGISTRY_UNKNOWN_MODEL', message: /version 99/ },
    });
  });

  test('of several that work on a model exclusively one does, the others are refused; afterwards others can', async (opened) => {
    const { registry, model, register } = opened;
    await register(1);
    const other = await open();
    let most = 0;
    let inside = 0;
    const work = async (): Promise<string> => {
      inside += 1;
      most = Math.max(most, inside);
      await sleep(WORK_MS);
      inside -= 1;
      return 'done';
    };
    try {
      const all = await Promise.allSettled(
        [registry, other, registry, other].map((each) => each.exclusively(model, work)),
      );
      assert.equal(most, 1);
      assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
      for (const one of all)
        if (one.status === 'rejected') assert.equal(one.reason.code, 'REGISTRY_PROMOTION_CONFLICT');
      assert.equal(await other.exclusively(model, work), 'done');
      await assert.rejects(
        registry.exclusively(model, () => Promise.reject(new Error('in between'))),
        /in between/,
      );
      assert.equal(await other.exclusively(model, work), 'done');
    } finally {
      await other.close();
    }
  });

  return cases;
}
