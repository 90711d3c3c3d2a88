import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { ModelRegistry } from '#registry/model_registry';
import { tinyModel } from '../../support/platforms/tiny_model.ts';

/** What every registry must do. */
export function describeRegistry(name: string, create: () => ModelRegistry): void {
  describe(`${name} keeps the contract of a model registry`, () => {
    let registry: ModelRegistry;
    beforeAll(() => {
      registry = create();
    });
    const model = `tiny-${randomUUID().slice(0, 8)}`;
    const register = (bias: number) =>
      registry.register({
        name: model,
        package: tinyModel(bias),
        metrics: { auc: 0.9 + bias / 100 },
        params: { bias: String(bias) },
      });

    test('versions count from 1; what is downloaded is what was registered', async () => {
      const first = await register(1);
      const second = await register(2);
      expect([first.version, second.version]).toEqual([1, 2]);
      const [listed] = await registry.listVersions(model);
      expect(listed).toMatchObject({ name: model, version: 1, stage: 'None', metrics: { auc: 0.91 } });
      expect(await registry.listModels()).toContain(model);
      const wanted = tinyModel(2);
      const got = await registry.download(second);
      expect(Buffer.from(got.onnx).equals(Buffer.from(wanted.onnx))).toBe(true);
      expect(got.signature).toEqual(wanted.signature);
      expect(got.examples).toEqual(wanted.examples);
    }, 60_000);

    test('promoting archives the version before, and stage and alias stay in step', async () => {
      expect(await registry.resolve(model, { stage: 'Production' })).toBeUndefined();
      await registry.transition(model, 1, 'Production', { by: 'test' });
      expect(await registry.resolve(model, { alias: 'champion' })).toMatchObject({ version: 1 });
      await registry.transition(model, 2, 'Production', { by: 'test', reason: 'better' });
      expect(await registry.resolve(model, { stage: 'Production' })).toMatchObject({ version: 2 });
      expect(await registry.resolve(model, { alias: 'champion' })).toMatchObject({ version: 2 });
      expect(await registry.resolve(model, { version: 1 })).toMatchObject({ stage: 'Archived' });
      // Rolling back is the same path.
      await registry.transition(model, 1, 'Production', { by: 'test', reason: 'rollback' });
      const versions = await registry.listVersions(model);
      expect(versions.map(({ stage }) => stage)).toEqual(['Production', 'Archived']);
      expect(versions.map(({ aliases }) => aliases)).toEqual([['champion'], []]);
      // Out of production is out of both.
      await registry.transition(model, 1, 'Archived', { by: 'test' });
      expect(await registry.resolve(model, { alias: 'champion' })).toBeUndefined();
      expect(await registry.resolve(model, { stage: 'Production' })).toBeUndefined();
      await registry.transition(model, 1, 'Production', { by: 'test' });
    }, 60_000);

    test('files that go with a version', async () => {
      const { version } = await registry.register({
        ...{ name: model, package: tinyModel(3), metrics: {}, params: {}, tags: { owner: 'risk' } },
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
      const found = await registry.resolve(model, { version });
      if (found === undefined) throw new Error('it was registered');
      expect(found.tags).toMatchObject({ owner: 'risk' });
      expect(Buffer.from((await registry.attachment(found, 'report.html')) as Uint8Array).toString()).toBe(
        '<h1>ä</h1>',
      );
      expect(await registry.attachment(found, 'no-such-file')).toBeUndefined();
    }, 60_000);

    test('aliases of one’s own', async () => {
      await registry.setAlias(model, 'canary', 2);
      expect(await registry.resolve(model, { alias: 'canary' })).toMatchObject({ version: 2 });
    }, 30_000);

    test('what is not there is undefined when resolved, and named when moved', async () => {
      expect(await registry.resolve(model, { version: 99 })).toBeUndefined();
      expect(await registry.resolve(model, { alias: 'nobody' })).toBeUndefined();
      expect(await registry.resolve('no-such-model', { stage: 'Production' })).toBeUndefined();
      await expect(registry.transition(model, 99, 'Production')).rejects.toMatchObject({
        code: 'REGISTRY_UNKNOWN_MODEL',
        message: expect.stringContaining('version 99'),
      });
    }, 30_000);

    test('tags of a version stay with it', async () => {
      await registry.setTag(model, 2, 'headwater.replaced', '1');
      await registry.setTag(model, 2, 'headwater.replaced', '7');
      expect(await registry.resolve(model, { version: 2 })).toMatchObject({ tags: { 'headwater.replaced': '7' } });
    }, 30_000);

    test('of those who want a model to themselves at once one has it; afterwards others can', async () => {
      let most = 0;
      let inside = 0;
      const work = async (): Promise<string> => {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setTimeout(resolve, 300));
        inside -= 1;
        return 'done';
      };
      const all = await Promise.allSettled(Array.from({ length: 4 }, () => registry.exclusively(model, work)));
      const won = all.filter(({ status }) => status === 'fulfilled');
      expect(won.length).toBe(1);
      expect(most).toBe(1);
      for (const one of all) {
        if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'REGISTRY_PROMOTION_CONFLICT' });
      }
      expect(await registry.exclusively(model, work)).toBe('done');
      await expect(registry.exclusively(model, () => Promise.reject(new Error('in between')))).rejects.toThrow(
        'in between',
      );
      expect(await registry.exclusively(model, work)).toBe('done');
    }, 60_000);
  });
}
