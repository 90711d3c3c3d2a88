import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { RegistryUnavailableError } from '#registry/errors';
import { KeptModels } from '#registry/kept_models';
import { LocalRegistry } from '#registry/local/local_registry';
import type { ModelVersion, VersionSelector } from '#registry/model_registry';
import { servingConfigSchema } from '#serving/config';
import { ModelServer } from '#serving/inference/model_server';
import { type RoutingRow, type RoutingStore, routingSchema } from '#serving/routing/routing';
import { tinyModel } from '../../../support/platforms/tiny_model.ts';
import { serveTiny } from '../../../support/platforms/tiny_serving.ts';

/** A registry elsewhere: requests are counted, a download may hang, and it may be away. */
class RemoteRegistry extends LocalRegistry {
  isAway = false;
  requests = 0;
  readonly hanging = new Map<string, Promise<void>>();

  override async resolve(name: string, selector: VersionSelector) {
    this.#ask();
    return super.resolve(name, selector);
  }

  async fingerprints() {
    this.#ask();
    const prints = new Map<string, string>();
    for (const name of await super.listModels()) prints.set(name, JSON.stringify(await super.listVersions(name)));
    return prints;
  }

  override async download(version: ModelVersion) {
    this.#ask();
    await this.hanging.get(version.name);
    return super.download(version);
  }

  #ask(): void {
    this.requests += 1;
    if (this.isAway) throw new RegistryUnavailableError('the registry', new Error('does not answer'));
  }
}

let directory: string;
let registry: RemoteRegistry;
const started: ModelServer[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'many-models-'));
  registry = new RemoteRegistry({ kind: 'local', directory: join(directory, 'registry') });
});
afterEach(async () => {
  for (const models of started.splice(0)) await models.stop();
});

async function promoted(name: string, bias = 0): Promise<number> {
  const { version } = await registry.register({ name, package: tinyModel(bias), metrics: {}, params: {} });
  await registry.transition(name, version, 'Production');
  return version;
}

function server(names: readonly string[], more: object = {}, settings: object = {}): ModelServer {
  const config = servingConfigSchema.parse({ models: names.map((name) => ({ name })), ...settings });
  const deps = { registry, log: silentLogger, metrics: createMetricsRegistry({ process: false }), ...more };
  const models = new ModelServer(deps, { ...config, refreshIntervalMs: 60_000 });
  started.push(models);
  return models;
}

test('models that have not changed are looked at with one request for all; a promoted one is taken', async () => {
  const names = Array.from({ length: 12 }, (_, index) => `model_${index}`);
  for (const name of names) await promoted(name);
  const models = server(names);
  await models.start();
  registry.requests = 0;
  for (let poll = 0; poll < 3; poll += 1) await models.refresh();
  expect(registry.requests).toBe(3);
  await promoted('model_7', 1);
  await models.refresh();
  expect(models.active('model_7').version).toBe(2);
  expect(models.active('model_8').version).toBe(1);
});

test('a model that is slow to download delays no other', async () => {
  let release: () => void = () => {};
  registry.hanging.set('a_slow', new Promise((resolve) => (release = resolve)));
  for (const name of ['a_slow', 'b', 'c']) await promoted(name);
  const models = server(['a_slow', 'b', 'c']);
  const starting = models.start();
  while (models.waiting.length > 1) await new Promise((resolve) => setImmediate(resolve));
  expect(models.waiting).toEqual(['a_slow']);
  release();
  await starting;
  expect(models.waiting).toEqual([]);
});

test('after a restart while the registry is away, the versions that answered before do; a damaged one does not', async () => {
  const kept = () => new KeptModels(join(directory, 'kept'));
  for (const name of ['a', 'b']) await promoted(name);
  const before = server(['a', 'b'], { kept: kept() });
  await before.start();
  await promoted('a', 1);
  await before.refresh();
  const followed = async () => (await kept().find('a', { stage: 'Production' }))?.version;
  while ((await followed()) !== 2) await new Promise((resolve) => setImmediate(resolve));
  while ((await kept().find('b', { stage: 'Production' })) === undefined) await new Promise((r) => setImmediate(r));
  await before.stop();
  // Those that answer no more are removed.
  const folders = () => readdirSync(join(directory, 'kept', 'a')).filter((each) => !each.endsWith('.json'));
  while (folders().length > 1) await new Promise((resolve) => setImmediate(resolve));
  const [own] = readdirSync(join(directory, 'kept', 'b')).filter((each) => !each.endsWith('.json'));
  writeFileSync(join(directory, 'kept', 'b', own as string, 'model.onnx'), 'no ONNX');
  registry.isAway = true;
  const after = server(['a', 'b'], { kept: kept() });
  await after.start();
  expect(after.active('a').version).toBe(2);
  expect(after.waiting).toEqual(['b']);
  registry.isAway = false;
  await promoted('a', 2);
  await after.refresh();
  expect(after.active('a').version).toBe(3);
});

test('routing of a model that is loaded on demand takes effect, also after it was loaded anew', async () => {
  const rows: RoutingRow[] = [];
  const routings: RoutingStore = {
    read: async () => [...new Map(rows.map((row) => [row.model, row])).values()],
    append: async (row) => {
      rows.push(row);
      return true;
    },
    list: async () => rows,
  };
  await promoted('rare');
  await promoted('rare', 3);
  const settings = { onDemand: { memoryMb: 100 } };
  const models = server([], { routings }, settings);
  await models.start();
  await models.ensure('rare');
  const variants = [1, 2].map((version) => ({ name: `v${version}`, weight: 1, follow: { version } }));
  const routing = routingSchema.parse({ experiment: { name: 'two', variants } });
  await models.setRouting('rare', routing, { by: 'ada', reason: 'compare' });
  const answering = (of: ModelServer) =>
    new Set(Array.from({ length: 50 }, (_, index) => of.active('rare', { entity: `e${index}` }).version));
  expect(answering(models)).toEqual(new Set([1, 2]));
  expect(models.isSplit('rare')).toBe(true);
  models.unload('rare');
  await models.ensure('rare');
  expect(answering(models)).toEqual(new Set([1, 2]));
});

test('a canary that takes long is no reason to refuse requests of production', async () => {
  const tiny = await serveTiny(
    { models: [{ name: 'tiny', canary: { steps: [50] } }], maxQueueMs: 80 },
    async (local) => {
      await local.register({ name: 'tiny', package: tinyModel(0), metrics: {}, params: {} });
      await local.transition('tiny', 2, 'Staging');
    },
  );
  try {
    const entity = (variant: string) =>
      Array.from({ length: 100 }, (_, index) => `e${index}`).find(
        (each) => tiny.models.active('tiny', { entity: each }).variant === variant,
      ) as string;
    const { batcher } = tiny.models.active('tiny', { entity: entity('canary') });
    Object.defineProperty(batcher, 'rowMs', { value: 1_000 });
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const infer = batcher.infer.bind(batcher);
    Object.defineProperty(batcher, 'infer', {
      value: async (...given: Parameters<typeof infer>) => {
        await held;
        return infer(...given);
      },
    });
    const ask = (variant: string) =>
      tiny.service.app.inject({ method: 'POST', url: '/predict', payload: { entity_id: entity(variant) } });
    const first = ask('canary');
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    for (let request = 0; request < 20; request += 1) {
      const answer = await ask(request % 2 === 0 ? 'production' : 'canary');
      // What the canary has no room for, production answers.
      expect([answer.statusCode, answer.json().variant]).toEqual([200, 'production']);
    }
    release();
    expect((await first).json()).toMatchObject({ variant: 'canary' });
  } finally {
    await tiny.stop();
  }
});
