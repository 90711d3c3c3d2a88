import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { scoreTable } from '#registry/evaluation/score';
import { modelLimitsSchema } from '#registry/graphs/model_limits';
import { Artifacts } from '#registry/mlflow/artifacts';
import { MlflowClient } from '#registry/mlflow/client';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { readModelFolder } from '#registry/model_folder';
import { hasBoundedWork } from '#registry/onnx/bounded_work';
import { PACKAGE_FILE, packageDocument } from '#registry/packages/package_files';
import { quantize } from '#registry/trainers/quantize';
import type { TrainingTable } from '#registry/training_table';
import { examineModel, LoadedModel } from '#serving/models/loaded_model';
import {
  EXTERNAL_PLACES,
  endlessModel,
  externalModel,
  greedyModel,
  sometimesEndlessModel,
  sometimesGreedyModel,
} from '../support/hostile/hostile_models.ts';
import { tinyModel, tinyScore } from '../support/platforms/tiny_model.ts';
import { serveTiny } from '../support/platforms/tiny_serving.ts';

// Models and registries that mean harm.

const LIMITS = modelLimitsSchema.parse({ examineMs: 4_000, runMs: 1_500, memoryMb: 512 });
/** So that memory is what ends it, on a slow machine too. */
const PATIENT = { ...LIMITS, examineMs: 60_000 };
const ROW = Float32Array.of(10, 3, 1, 0.7);

const place = fc.constantFrom(...EXTERNAL_PLACES);
const elsewhere = fc.oneof(
  fc.constantFrom(
    'package.json',
    '/etc/passwd',
    '../package.json',
    './package.json',
    '',
    '.',
    '..',
    'a/../../b',
    'C:\\x',
    'a\\b',
    'a\0b',
  ),
  fc.constantFrom('*/_ORT_MEM_ADDR_/*', 'file:///etc/passwd', '/proc/self/environ', '//host/share', 'weights.bin/'),
  fc.string({ unit: fc.constantFrom(...'./a\\'), maxLength: 8 }),
);

test('a model that keeps values outside of its file is refused before onnxruntime sees it, wherever the tensor is', async () => {
  await fc.assert(
    fc.asyncProperty(place, elsewhere, async (where, location) => {
      const model = externalModel(where, { location, offset: '0', length: '16' });
      for (const load of [
        LoadedModel.load(model),
        LoadedModel.load(model, { isExamined: true }),
        examineModel(model),
      ]) {
        await expect(load).rejects.toMatchObject({
          code: 'REGISTRY_INVALID_MODEL',
          message: expect.stringMatching(/the value of its tensor "(weights|others)" is at .*, not in its file/),
        });
      }
    }),
    { numRuns: 40 },
  );
});

function folderWith(model: ReturnType<typeof externalModel>): string {
  const root = mkdtempSync(join(tmpdir(), 'external-'));
  const folder = join(root, 'model');
  mkdirSync(join(folder, 'inner'), { recursive: true });
  writeFileSync(join(folder, 'model.onnx'), model.onnx);
  writeFileSync(join(folder, PACKAGE_FILE), packageDocument(model));
  const weights = Buffer.from(Float32Array.of(99, 0.5, 0.25, -1, 2).buffer);
  writeFileSync(join(folder, 'inner', 'weights.bin'), weights);
  writeFileSync(join(root, 'secret.bin'), weights);
  symlinkSync(join(root, 'secret.bin'), join(folder, 'link.bin'));
  return folder;
}

test('values of the model’s own folder are read from there, and from nowhere else', async () => {
  for (const where of EXTERNAL_PLACES) {
    const folder = folderWith(externalModel(where, { location: 'inner/weights.bin', offset: '4', length: '16' }));
    const { package: model } = await readModelFolder(folder);
    const loaded = await LoadedModel.load(model);
    const once = 10 * 0.5 + 3 * 0.25 - 1 + 0.7 * 2;
    expect((await loaded.run(ROW, 1))[0]).toBeCloseTo(where === 'twice' ? 2 * once : once, 4);
    await loaded.release();
  }
  const refused = [
    [{ location: 'link.bin' }, /is a link to .*secret\.bin/],
    [{ location: '../secret.bin' }, /must lie in the model's own folder/],
    [{ location: 'no-such-file' }, /there is no such file beside it/],
    [{ location: 'inner/weights.bin', offset: '8', length: '16' }, /which has 20 bytes/],
    [{ location: 'inner/weights.bin', offset: '-4', length: '16' }, /which has 20 bytes/],
    [{ location: 'inner/weights.bin', offset: '1e1', length: '4' }, /which has 20 bytes/],
    [{}, /must lie in the model's own folder/],
  ] as const;
  for (const [external, message] of refused) {
    const folder = folderWith(externalModel('initializer', external as Record<string, string>));
    await expect(readModelFolder(folder)).rejects.toThrow(message);
  }
});

test('what is no ONNX, and what onnxruntime would take for its own format, is refused', async () => {
  const tiny = tinyModel(0);
  const onnx = Buffer.concat([Buffer.from([8, 0, 0, 0]), Buffer.from('ORTM'), Buffer.alloc(64)]);
  await expect(LoadedModel.load({ ...tiny, onnx })).rejects.toThrow(/ORT format/);
  // A cut may fall between two fields, and what is put behind it may be a field that ONNX does not know: such a file is still a model.
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(tiny.onnx.length - 1), async (noise, at) => {
      const spoilt = Buffer.concat([tiny.onnx.subarray(0, at), noise]);
      const error: unknown = await LoadedModel.load({ ...tiny, onnx: spoilt }).then(
        (model) => model.release(),
        (thrown: unknown) => thrown,
      );
      if (error === undefined) return;
      expect(error).toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
      refused += 1;
    }),
    { numRuns: 40, examples: [[new Uint8Array(), 0]] },
  );
  expect(refused).toBeGreaterThan(30);
}, 120_000);

/** How long the event loop was held up while `work` ran, ms. */
async function longestPause(work: Promise<unknown>): Promise<number> {
  let isDone = false;
  void work.then(
    () => {
      isDone = true;
    },
    () => {
      isDone = true;
    },
  );
  let longest = 0;
  while (!isDone) {
    const before = performance.now();
    await sleep(5);
    longest = Math.max(longest, performance.now() - before);
  }
  return longest;
}

test.each([
  ['never ends', endlessModel, LIMITS, /computed for longer than 4000 ms/],
  ['takes 3 GB', greedyModel, PATIENT, /took more memory than \d+ MiB/],
] as const)(
  'a graph that %s is refused at its limit, and holds up no other',
  async (_, model, limits, reason) => {
    const loading = LoadedModel.load(model(), { limits });
    const pause = longestPause(loading);
    await expect(loading).rejects.toMatchObject({
      code: 'REGISTRY_INVALID_MODEL',
      message: expect.stringMatching(reason),
    });
    expect(await pause).toBeLessThan(1_500);
    // Others are examined after it.
    await (await LoadedModel.load(tinyModel(0), { limits: LIMITS })).release();
  },
  120_000,
);

const ROWS: TrainingTable = {
  featureService: { service: 'tiny@1' },
  columns: [
    { name: 'amount', type: 'double' },
    { name: 'count', type: 'long' },
    { name: 'weekend', type: 'boolean' },
    { name: 'category', type: 'string' },
  ],
  rows: Array.from({ length: 2_500 }, (_, row) => [row, 3, row % 2 === 0, 'b']),
  labels: Array.from({ length: 2_500 }, (_, row) => row % 2),
};

test.each([
  ['never ends', endlessModel, LIMITS, /computed for longer than 4000 ms/],
  ['takes 3 GB', greedyModel, PATIENT, /took more memory than \d+ MiB/],
  ['does not end for some rows', sometimesEndlessModel, LIMITS, /computed for longer than 4000 ms/],
] as const)(
  'a graph that %s is refused by what trains, judges and optimizes models, which holds up nothing else',
  async (_, model, limits, reason) => {
    const rows = ROWS.rows.map((row, index) => [index === 1_700 ? 1e18 : 1, ...row.slice(1)]);
    const scoring = scoreTable(model(), { ...ROWS, rows }, 0, rows.length, limits);
    const pause = longestPause(scoring);
    await expect(scoring).rejects.toMatchObject({
      code: 'REGISTRY_INVALID_MODEL',
      message: expect.stringMatching(reason),
    });
    expect(await pause).toBeLessThan(1_500);
  },
  120_000,
);

test('what trains and judges models computes what serving computes, and refuses values in other files', async () => {
  const { rows, outputs, width } = await scoreTable(tinyModel(1), ROWS, 100, 2_400, LIMITS);
  expect([rows.length, rows[0], width]).toEqual([2_300, 100, 2]);
  for (const index of [0, 999, 1_000, 2_299]) {
    const expected = tinyScore(1, [100 + index, 3, index % 2 === 0 ? 1 : 0, 0.7]);
    expect(outputs[index * width + 1]).toBeCloseTo(expected, 5);
  }
  const external = externalModel('initializer', { location: 'package.json', offset: '0', length: '16' });
  await expect(scoreTable(external, ROWS, 0, 10, LIMITS)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
  await expect(quantize(external.onnx, { onLine: () => {} })).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
}, 60_000);

test('graphs whose work has no bound are distinguished from the others', () => {
  expect([tinyModel(0), greedyModel(), externalModel('subgraph', {})].map(({ onnx }) => hasBoundedWork(onnx))).toEqual([
    true,
    true,
    true,
  ]);
  for (const { onnx } of [endlessModel(), sometimesEndlessModel(), sometimesGreedyModel()])
    expect(hasBoundedWork(onnx)).toBe(false);
});

test.each([
  ['does not end', sometimesEndlessModel, 1e18, /computed for longer than 1500 ms/],
  ['takes all memory', sometimesGreedyModel, 4e8, /took more memory than \d+ MiB|computed for longer/],
] as const)(
  'a graph that %s for one row while it serves is withdrawn: the version before answers again, other models throughout',
  async (_, model, bad, reason) => {
    const tiny = await serveTiny(
      { models: [{ name: 'tiny' }, { name: 'odd' }, { name: 'only' }], modelLimits: LIMITS },
      async (registry) => {
        for (const [name, version] of [
          ['odd', tinyModel(1)],
          ['only', model()],
        ] as const) {
          await registry.register({ name, package: version, metrics: {}, params: {} });
          await registry.transition(name, 1, 'Production');
        }
      },
    );
    const { app } = tiny.service;
    const ask = (model_name: string, amount: number) =>
      app.inject({
        method: 'POST',
        url: '/predict',
        payload: { model_name, features: { amount, count: 3, weekend: true, category: 'b' } },
      });
    try {
      await tiny.registry.register({ name: 'odd', package: model(), metrics: {}, params: {} });
      await tiny.registry.transition('odd', 2, 'Production');
      await tiny.models.refresh();
      expect((await ask('odd', 10)).json()).toMatchObject({ model_version: 2 });
      const asked = Promise.all([ask('odd', bad), ask('odd', 10), ask('only', bad)]);
      const others: number[] = [];
      let isOver = false;
      void asked.then(() => {
        isOver = true;
      });
      while (!isOver) {
        others.push((await ask('tiny', 10)).statusCode);
        await sleep(20);
      }
      for (const { statusCode, body } of await asked) {
        expect([statusCode, body]).toEqual([503, expect.stringMatching(reason)]);
      }
      expect(others.length).toBeGreaterThan(3);
      expect(new Set(others)).toEqual(new Set([200]));
      await pollUntil(async () => (await ask('odd', 10)).statusCode === 200);
      await tiny.models.refresh();
      expect((await ask('odd', 10)).json()).toMatchObject({ model_version: 1 });
      expect((await ask('only', 10)).statusCode).toBe(503);
      const status = tiny.models
        .status()
        .map(({ name, version, ready, rejected }) => [name, version, ready, rejected?.version]);
      expect(status).toEqual([
        ['tiny', 1, true, undefined],
        ['odd', 1, true, 2],
        ['only', undefined, false, 1],
      ]);
      expect(await tiny.metrics.metrics()).toMatch(/models_withdrawn_total\{model="odd"\} 1/);
    } finally {
      await tiny.stop();
    }
  },
  120_000,
);

async function pollUntil(isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await isSo()) return;
    await sleep(50);
  }
  throw new Error('it did not come to that');
}

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server with given answers that keeps its requests. */
async function hostile(answer: (seen: Seen, response: ServerResponse) => void): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const asked = { method: request.method ?? '', url: request.url ?? '', headers: request.headers };
    seen.push(asked);
    answer(asked, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const clientOf = (trackingUri: string, more: object = {}) =>
  new MlflowClient(
    mlflowConfigSchema.parse({ kind: 'mlflow', trackingUri, token: 'a-token-of-ours', timeoutMs: 3_000, ...more }),
  );
const redirect = (response: ServerResponse, location: string, status = 302): void =>
  void response.writeHead(status, { location }).end();

test('a token goes to its own server alone, wherever that redirects', async () => {
  const other = await hostile((_, response) => response.end('bytes'));
  const own = await hostile((asked, response) => {
    if (asked.url.includes('/away')) redirect(response, `${other.url}/elsewhere`);
    else if (asked.url.includes('/here')) redirect(response, '/final', 307);
    else if (asked.url.includes('/round')) redirect(response, asked.url);
    else if (asked.url.includes('/file')) redirect(response, 'file:///etc/passwd');
    else if (asked.url.includes('/odd')) redirect(response, 'http://');
    else response.end('own');
  });
  const client = clientOf(own.url);
  const read = async (path: string) => Buffer.from(await client.getArtifact(path)).toString();
  expect(await read('1/away')).toBe('bytes');
  expect(other.seen).toHaveLength(1);
  expect(other.seen[0]?.headers.authorization).toBeUndefined();
  expect(await read('1/here')).toBe('own');
  expect(own.seen.at(-1)?.headers.authorization).toBe('Bearer a-token-of-ours');
  await expect(read('1/round')).rejects.toThrow(/redirects more than 5 times/);
  await expect(read('1/file')).rejects.toThrow(/only http and https are followed/);
  await expect(read('1/odd')).rejects.toThrow(/what is no URL/);
  // A login in the address, and one that leads back.
  const back = await hostile((_, response) => redirect(response, `${own.url}/final`));
  const via = await hostile((_, response) => redirect(response, `${back.url}/x`));
  await clientOf(`${via.url.replace('://', '://user:pass-word-7@')}`, { token: undefined }).getArtifact('1/x');
  expect(via.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('user:pass-word-7').toString('base64')}`);
  expect([...back.seen, own.seen.at(-1)].map((seen) => seen?.headers.authorization)).toEqual([undefined, undefined]);
});

test('what writes is redirected nowhere', async () => {
  const other = await hostile((_, response) => response.end('{}'));
  for (const status of [301, 302, 303, 307, 308]) {
    const own = await hostile((_, response) => redirect(response, `${other.url}/take`, status));
    await expect(clientOf(own.url).post('runs/create', { secret: 'body' })).rejects.toThrow(/redirects a POST to/);
    await expect(clientOf(own.url).putArtifact('1/a/model.onnx', 'bytes')).rejects.toThrow(/redirects a PUT to/);
    expect(own.seen).toHaveLength(2);
  }
  expect(other.seen).toEqual([]);
});

test('artifact paths stay in their folder, sources on this machine are refused, downloads are bounded', async () => {
  const own = await hostile((asked, response) => {
    if (asked.url.endsWith('/large')) response.writeHead(200, { 'content-length': '5000' }).end(Buffer.alloc(5_000));
    else if (asked.url.endsWith('/endless')) {
      const write = (): void => {
        if (!response.destroyed && response.write(Buffer.alloc(1_000))) setImmediate(write);
        else if (!response.destroyed) response.once('drain', write);
      };
      write();
    } else response.end('x');
  });
  const client = clientOf(own.url, { maxArtifactBytes: 4_000 });
  const artifacts = new Artifacts(client, {
    read: async () => Buffer.from('a file of this machine'),
    write: async () => {},
  });
  const root = 'mlflow-artifacts:/1/run/artifacts/model';
  expect(Buffer.from((await artifacts.read(root, 'a b#c?d%2e')) ?? []).toString()).toBe('x');
  expect(own.seen[0]?.url).toBe('/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/model/a%20b%23c%3Fd%252e');
  const asked = own.seen.length;
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.constantFrom(
          '../../2/run/artifacts/model.onnx',
          '..',
          'a/../../x',
          '/etc/passwd',
          'a//b',
          '',
          '.',
          './x',
          'a\\..\\x',
          'http://h/x',
          'a\nb',
        ),
        fc
          .string({ unit: fc.constantFrom(...'./\\a'), maxLength: 8 })
          .filter((path) => /(^|\/)(\.{0,2})(\/|$)|\\/.test(path)),
      ),
      async (path) => {
        await expect(artifacts.read(root, path)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
        await expect(artifacts.write(root, path, 'x')).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
        await expect(artifacts.read(`mlflow-artifacts:/${path}`, '..')).rejects.toMatchObject({
          code: 'REGISTRY_INVALID_MODEL',
        });
      },
    ),
    { numRuns: 100 },
  );
  for (const source of [
    ...[
      'file:///etc',
      'FILE:///etc',
      '/etc',
      'etc',
      'file:etc',
      'ftp://h/x',
      'http://h/x',
      'https://h/x',
      's3://',
      's3://b',
      's3://b/../x',
    ],
    ...[
      'dbfs:/x',
      'runs:/x',
      'models:/m/1',
      '\\\\host\\share',
      's3://b/*',
      'mlflow-artifacts:/../../x',
      'mlflow-artifacts:/a/../b',
    ],
  ]) {
    await expect(artifacts.read(source, 'passwd')).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
    await expect(artifacts.write(source, 'passwd', 'x')).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
  }
  expect(own.seen.length).toBe(asked);
  for (const name of ['large', 'endless']) {
    await expect(artifacts.read(root, name)).rejects.toThrow(/more than 4000 bytes/);
  }
});
