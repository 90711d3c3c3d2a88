import { expect, test } from '@jest/globals';
import { createMetricsRegistry } from '#monitoring/metrics';
import { OnDemandModels } from '#serving/inference/on_demand';
import type { ModelRouter } from '#serving/routing/model_router';

test('a version that takes another space is reckoned with: others make room, one that does not fit goes', async () => {
  const sizes = new Map([
    ['a', 1e6],
    ['b', 1e6],
  ]);
  const retired: string[] = [];
  const routerOf = (name: string): ModelRouter => {
    let production: unknown;
    return {
      get production() {
        return production;
      },
      refresh: async () => {
        const bytes = sizes.get(name);
        if ((production as { model: { bytes: number } } | undefined)?.model.bytes !== bytes)
          production = { model: { bytes } };
      },
      retire: () => void retired.push(name),
      stop: async () => {},
    } as unknown as ModelRouter;
  };
  const metrics = createMetricsRegistry({ process: false });
  const models = new OnDemandModels(routerOf, metrics, { memoryMb: 10 });
  const taken = async () => Number(/^models_on_demand_bytes (\d+)/m.exec(await metrics.metrics())?.[1]);
  await models.load('a');
  await models.load('b');
  expect(await taken()).toBe(8e6);
  sizes.set('a', 1.4e6);
  await models.refresh((router) => router.refresh());
  expect([await taken(), retired]).toEqual([9.6e6, []]);
  sizes.set('b', 2e6);
  await models.refresh((router) => router.refresh());
  expect([await taken(), retired]).toEqual([8e6, ['a']]);
  sizes.set('b', 9e6);
  await models.refresh((router) => router.refresh());
  expect([await taken(), retired, models.all]).toEqual([0, ['a', 'b'], []]);
});
