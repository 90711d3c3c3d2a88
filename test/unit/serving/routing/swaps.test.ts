import { expect, jest, test } from '@jest/globals';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { IncompleteModelError } from '#registry/errors';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import type { ModelPackage } from '#registry/packages/model_package';
import { type Mlp, mlpToOnnx } from '#registry/trainers/tfjs/onnx_mlp';
import { LoadedModel } from '#serving/models/loaded_model';
import { ModelLoader, ModelSlot } from '#serving/models/model_slot';
import { byForm } from '../../../support/jest/forms.ts';
import { tinyModel } from '../../../support/platforms/tiny_model.ts';

const WIDE = 1_600;

/** Ten megabytes: a hidden layer of 1,600 by 1,600. */
function largeModel(): ModelPackage {
  const layer = (inputs: number, outputs: number) => ({
    weights: new Float32Array(inputs * outputs).fill(1 / inputs),
    bias: new Float32Array(outputs),
  });
  const mlp: Mlp = {
    ...{ width: 4, fill: Float32Array.of(1, 2, 0, 0.4), center: new Float32Array(4) },
    scale: new Float32Array(4).fill(1),
    layers: [layer(4, WIDE), layer(WIDE, WIDE), layer(WIDE, 1)],
  };
  return { ...tinyModel(0), onnx: mlpToOnnx(mlp, 'test'), examples: [] };
}

/** A registry whose newest version is what the test says. */
function registryOf(download: (version: number) => Promise<ModelPackage>) {
  let version = 1;
  const versionOf = (): ModelVersion => ({
    ...{ name: 'm', version, stage: 'None', aliases: [], createdAtMs: 0, description: '' },
    ...{ tags: {}, metrics: {}, runId: '' },
  });
  const registry = {
    resolve: async () => versionOf(),
    download: async (wanted: ModelVersion) => download(wanted.version),
  } as unknown as ModelRegistry;
  const loader = new ModelLoader({ registry, log: silentLogger, metrics: createMetricsRegistry({ process: false }) });
  const slot = new ModelSlot(loader, { name: 'm', variant: 'production', follow: { version: 1 } });
  return {
    ...{ loader, slot },
    swapTo(next: number): void {
      version = next;
    },
  };
}

const SWAPS = byForm({ short: 40, long: 100 });
const MEBIBYTE = 2 ** 20;

test('memory is level after ten swaps of a model of ten megabytes, however fast they follow', async () => {
  const { onnx, ...rest } = largeModel();
  const { slot, loader, swapTo } = registryOf(async () => ({ ...rest, onnx: onnx.slice() }));
  const used: number[] = [];
  for (let swap = 1; swap <= SWAPS; swap += 1) {
    swapTo(swap);
    await slot.refresh();
    expect(slot.active?.version).toBe(swap);
    await slot.active?.batcher.infer(new Float32Array(4), 1);
    used.push(process.memoryUsage().rss / MEBIBYTE);
  }
  await slot.stop();
  await loader.stop();
  // Without a limit, 30 models of 10 MB and more stay for 30 seconds.
  const before = Math.max(...used.slice(10, 20));
  const after = Math.min(...used.slice(-10));
  expect(after - before).toBeLessThan(120);
}, 600_000);

test('a thread that is stopped while it computes finishes its runs, and ends by itself', async () => {
  for (let round = 0; round < 5; round += 1) {
    const model = await LoadedModel.load(largeModel(), { runtime: { ownThreadFromMs: 0 } });
    expect(model.hasThread).toBe(true);
    const runs = Array.from({ length: 4 }, () => model.run(new Float32Array(64 * 4), 64));
    await model.release();
    for (const output of await Promise.all(runs)) expect(output).toHaveLength(128);
  }
}, 120_000);

test('a version whose files are not complete is tried again, later each time, and serves when they are', async () => {
  let isComplete = false;
  let tries = 0;
  const { slot, loader } = registryOf(async () => {
    tries += 1;
    if (!isComplete) throw new IncompleteModelError('there is no model.onnx');
    return tinyModel(0);
  });
  await slot.refresh();
  expect(slot.rejected).toMatchObject({ version: 1, reason: expect.stringContaining('there is no model.onnx') });
  // Not with every look at the registry.
  for (let look = 0; look < 20; look += 1) await slot.refresh();
  expect(tries).toBe(1);
  isComplete = true;
  // More than the two seconds that it waits after the first failure.
  const clock = jest.spyOn(performance, 'now').mockReturnValue(Number.MAX_SAFE_INTEGER);
  await slot.refresh();
  clock.mockRestore();
  expect([tries, slot.active?.version, slot.rejected]).toEqual([2, 1, undefined]);
  await slot.stop();
  await loader.stop();
});
