import { expect, jest, test } from '@jest/globals';
import { sessionOptionsOf } from '#registry/graphs/session_options';
import { providerProblem } from '#registry/onnx/execution_providers';
import { LoadedModel } from '#serving/models/loaded_model';
import { MicroBatcher } from '#serving/models/micro_batcher';
import { modelRuntimeSchema } from '#serving/models/model_runtime';
import { tinyModel, tinyScore } from '../../../support/platforms/tiny_model.ts';
import { serveTiny } from '../../../support/platforms/tiny_serving.ts';

const runtimeOf = (runtime: object) => ({ models: [{ name: 'tiny', runtime }] });

test.each([
  ['coreml', /has none of this name; it has cpu, /],
  ['cuda', /cannot open it here: .+/],
])(
  'a model that is configured for %s is refused by name when serving starts, where onnxruntime lacks it',
  async (provider, why) => {
    const problem = await providerProblem(provider);
    // Where the tests run beside a GPU.
    if (provider === 'cuda' && problem === undefined) return;
    expect(problem).toMatch(why);
    await expect(serveTiny(runtimeOf({ executionProviders: [provider, 'cpu'] }))).rejects.toThrow(
      `serving.models: model "tiny" has the execution provider ${provider} in runtime.executionProviders`,
    );
  },
);

test('models on demand have a runtime of their own, or one of their name, and what onnxruntime lacks is refused', async () => {
  const onDemand = { runtime: { ownThreadFromMs: 0 }, runtimes: { quick: { batching: { maxRows: 1 } } } };
  const serving = await serveTiny({ onDemand }, async (registry) => {
    for (const name of ['costly', 'quick']) {
      await registry.register({ name, package: tinyModel(0), metrics: {}, params: {} });
      await registry.transition(name, 1, 'Production');
    }
  });
  try {
    for (const name of ['costly', 'quick']) await serving.models.ensure(name);
    const threads = ['tiny', 'costly', 'quick'].map((name) => serving.models.active(name).model.hasThread);
    expect(threads).toEqual([false, true, false]);
  } finally {
    await serving.stop();
  }
  const lacking = { executionProviders: ['coreml'] };
  await expect(serveTiny({ onDemand: { runtime: lacking } })).rejects.toThrow('serving.onDemand has the execution');
  await expect(serveTiny({ onDemand: { runtimes: { a: lacking } } })).rejects.toThrow(
    'serving.onDemand.runtimes: model "a" has the execution provider coreml',
  );
}, 60_000);

test('the settings of a model reach onnxruntime, and its answers stay the same', async () => {
  const settings = { intraOpThreads: 2, interOpThreads: 3, graphOptimization: 'disabled' };
  const runtime = modelRuntimeSchema.parse({ ...settings, warmUpRuns: 20, ownThreadFromMs: 0 });
  expect(sessionOptionsOf(runtime)).toEqual({
    ...{ executionProviders: ['cpu'], executionMode: 'parallel', logSeverityLevel: 3 },
    ...{ intraOpNumThreads: 2, interOpNumThreads: 3, graphOptimizationLevel: 'disabled' },
  });
  const runs = jest.spyOn(LoadedModel.prototype, 'run');
  try {
    const serving = await serveTiny(runtimeOf(runtime));
    const { model } = serving.models.active('tiny');
    expect(model.hasThread).toBe(true);
    // One for the examples, three that are timed, twenty on the thread.
    expect(runs).toHaveBeenCalledTimes(24);
    const output = await model.run(Float32Array.of(10, 1, 0, 0.1), 1);
    expect(output[1]).toBeCloseTo(tinyScore(0, [10, 1, 0, 0.1]), 5);
    await serving.stop();
  } finally {
    runs.mockRestore();
  }
}, 60_000);

test.each([
  { batching: { maxRows: 64, maxWaitMs: 0 }, turns: false, runs: 1 },
  { batching: { maxRows: 1, maxWaitMs: 0 }, turns: false, runs: 8 },
  { batching: { maxRows: 3, maxWaitMs: 0 }, turns: false, runs: 3 },
  { batching: { maxRows: 64, maxWaitMs: 20 }, turns: true, runs: 1 },
  // What fills a run waits for no timer.
  { batching: { maxRows: 4, maxWaitMs: 60_000 }, turns: true, runs: 2 },
])(
  'eight requests with $batching, in turns of their own: $turns, are $runs runs',
  async ({ batching, turns, runs }) => {
    const model = await LoadedModel.load(tinyModel(0));
    const run = jest.spyOn(model, 'run');
    const batcher = new MicroBatcher(model, batching);
    const answers: Promise<void>[] = [];
    for (let amount = 0; amount < 8; amount += 1) {
      const row = Float32Array.of(amount, 1, 0, 0.1);
      answers.push(
        batcher.infer(row, 1).then((output) => {
          expect(output[1]).toBeCloseTo(tinyScore(0, [...row]), 5);
        }),
      );
      if (turns) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(answers);
    expect(run).toHaveBeenCalledTimes(runs);
    run.mockRestore();
    await model.release();
  },
);

test.each([
  [{ executionProviders: [] }, 'executionProviders'],
  [{ executionProviders: ['CUDAExecutionProvider'] }, 'executionProviders'],
  [{ graphOptimization: 'most' }, 'graphOptimization'],
  [{ intraOpThreads: 0 }, 'intraOpThreads'],
  [{ batching: { maxRow: 3 } }, 'batching'],
])('%j is no runtime: %s is named', (runtime, key) => {
  const parsed = modelRuntimeSchema.safeParse(runtime);
  expect(parsed.error?.issues.map(({ path }) => path[0])).toContain(key);
});
