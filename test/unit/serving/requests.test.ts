import { mkdtempSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import type { LocalRegistry } from '#registry/local/local_registry';
import { Admission } from '#serving/inference/admission';
import { keyOf } from '../../support/entity_keys.ts';
import { tinyModel, tinyScore } from '../../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';
import { makeSelfSigned } from '../../support/servers/self_signed.ts';

let tiny: TinyServing;
afterEach(() => tiny.stop());

const features = { amount: 10, count: 3, weekend: true, category: 'b' };

async function send(url: string, payload: unknown, headers: Readonly<Record<string, string>> = {}) {
  const answer = await tiny.service.app.inject({
    ...{ method: 'POST', url, headers: { 'content-type': 'application/json', ...headers } },
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  });
  const isJson = answer.headers['content-type']?.toString().match(/^application\/(problem\+)?json/) != null;
  const body = isJson ? (answer.json() as Record<string, unknown>) : {};
  return { status: answer.statusCode, body, text: answer.body, headers: answer.headers };
}

const challenger = async (registry: LocalRegistry): Promise<void> => {
  await registry.register({ name: 'tiny', package: tinyModel(3), metrics: {}, params: {} });
  await registry.transition('tiny', 2, 'Staging');
};
const experiment = {
  name: 'steeper',
  variants: [
    { name: 'control', weight: 1 },
    { name: 'challenger', weight: 1, follow: { stage: 'Staging' } },
  ],
};

test('a batch of entities under an experiment: each by its own variant, in their order, and logged so', async () => {
  tiny = await serveTiny({ models: [{ name: 'tiny', experiment }] }, challenger);
  const entities = Array.from({ length: 60 }, (_, index) => `e${index}`);
  const { status, body } = await send('/predict/batch', {
    ...{ entity_ids: entities, return_probabilities: true, return_freshness: true },
  });
  expect(status).toBe(200);
  expect(body).toMatchObject({ count: 60, variant: 'mixed' });
  const { variants, model_versions, freshness } = body as Record<string, unknown[]>;
  const probabilities = body.probabilities as { fraud: number }[];
  for (const [index, entity] of entities.entries()) {
    const { variant, version } = tiny.models.active('tiny', { entity });
    expect([variants?.[index], model_versions?.[index]]).toEqual([variant, version]);
    const expected = tinyScore(version === 2 ? 3 : 0, [index, 2, 0, 0.1]);
    expect(probabilities[index]?.fraud).toBeCloseTo(expected, 5);
    expect(freshness?.[index]).toMatchObject({ 'tiny@1': { event_time: '2026-01-01T00:00:00.000Z' } });
  }
  expect(new Set(variants)).toEqual(new Set(['control', 'challenger']));
  await tiny.log.drain();
  expect(tiny.logged).toHaveLength(60);
  for (const { rowIndex, entityKey, variant, experiment: name } of tiny.logged) {
    expect(entityKey).toBe(keyOf(`e${rowIndex}`));
    expect([variant, name]).toEqual([variants?.[rowIndex], 'steeper']);
  }
});

test('a request is counted once for its variant, also where its text turns out not to be read in one go', async () => {
  tiny = await serveTiny({ models: [{ name: 'tiny', experiment }] }, challenger);
  for (const more of [{}, { explain: true }, { return_freshness: true }]) {
    expect(await send('/predict', { features, ...more })).toMatchObject({ status: 200 });
  }
  const counts = (await tiny.metrics.metrics()).matchAll(/^ab_variant_assignments\{.*\} (\d+)$/gm);
  expect([...counts].reduce((sum, [, count]) => sum + Number(count), 0)).toBe(3);
});

test('rows as lines: an answer for each in its order, bad ones told by line, the rest goes on', async () => {
  tiny = await serveTiny();
  const lines = Array.from({ length: 1_000 }, (_, index) =>
    index === 500
      ? '{"amount": "much", "colour": 1}'
      : index === 700
        ? '{"amount": '
        : JSON.stringify({ ...features, amount: index }),
  );
  const answer = await send('/predict/batch?model_name=tiny&return_probabilities=true', `${lines.join('\n')}\n\n`, {
    'content-type': 'application/x-ndjson',
  });
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toBe('application/x-ndjson');
  const answers = answer.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(answers).toHaveLength(1_000);
  for (const [index, each] of answers.entries()) {
    if (index === 500) {
      expect(each).toMatchObject({
        line: 501,
        error: { code: 'SERVING_INVALID_FEATURES', fields: [{ field: 'amount' }, { field: 'colour' }] },
      });
    } else if (index === 700) {
      expect(each).toMatchObject({ line: 701, error: { message: expect.stringContaining('not JSON') } });
    } else expect(each.outputs.fraud).toBeCloseTo(tinyScore(0, [index, 3, 1, 0.7]), 5);
  }
  await tiny.log.drain();
  expect(tiny.logged.map(({ rowIndex }) => rowIndex)).not.toContain(500);
  expect(tiny.logged).toHaveLength(998);
  expect(await send('/predict/batch?model_name=other', '{}', { 'content-type': 'application/x-ndjson' })).toMatchObject(
    {
      status: 404,
    },
  );
});

test('a deadline that cannot be kept is refused, one that can is kept, nonsense is told', async () => {
  tiny = await serveTiny();
  const within = (ms: string) => send('/predict', { features }, { 'x-request-timeout-ms': ms });
  expect(await within('10000')).toMatchObject({ status: 200 });
  expect(await within('0.000001')).toMatchObject({ status: 504, body: { error: { code: 'SERVING_DEADLINE_PASSED' } } });
  expect(await within('soon')).toMatchObject({ status: 400 });
  expect(await tiny.metrics.metrics()).toContain('requests_refused_total{reason="deadline"} 1');
});

test('the door: what waits is reckoned by what requests and rows have taken, a process that was held up refuses nobody', () => {
  let nowMs = 0;
  let endTurn = () => {};
  const time = {
    now: () => nowMs,
    atEndOfTurn(work: () => void) {
      endTurn = work;
    },
  };
  const admission = new Admission({ maxQueueMs: 100, maxPendingRows: 1_000 }, () => {}, time);
  const turn = (requests: number, costMs: number): number => {
    let refused = 0;
    for (let request = 0; request < requests; request += 1) {
      nowMs += costMs;
      try {
        admission.enter();
      } catch {
        refused += 1;
      }
    }
    endTurn();
    return refused;
  };
  for (let warm = 0; warm < 100; warm += 1) turn(10, 1);
  expect(turn(3, 400)).toBe(0);
  for (let warm = 0; warm < 200; warm += 1) turn(10, 1);
  // A millisecond each: a hundred are what fits.
  const refused = turn(300, 1);
  expect(refused).toBeGreaterThan(180);
  expect(refused).toBeLessThan(215);
  expect(turn(50, 1)).toBe(0);
  // Rows that were taken are waited for as well, until they are given back.
  admission.take(100, 98, undefined);
  expect(turn(50, 1)).toBeGreaterThan(40);
  expect(() => admission.take(950, 1, undefined)).toThrow('more rows are waiting');
  expect(() => admission.take(1, 5, nowMs + 50)).toThrow('x-request-timeout-ms');
  admission.give(100, 98);
  expect(turn(50, 1)).toBe(0);
  admission.take(1, 5, nowMs + 50);
});

test('stages are told when configured', async () => {
  tiny = await serveTiny({ serverTiming: true });
  const { headers, body } = await send('/predict', { entity_id: 'e1' });
  expect(headers['server-timing']).toMatch(
    /^parse;dur=[\d.]+, features;dur=[\d.]+, queue;dur=[\d.]+, inference;dur=[\d.]+, write;dur=[\d.]+$/,
  );
  expect(body).toMatchObject({ model_version: 1 });
});

test('the cache: the same row, however it is written, is computed once; another version computes it anew', async () => {
  tiny = await serveTiny({ predictionCache: {} }, challenger);
  const first = await send('/predict', { features, return_probabilities: true });
  expect(first.body.cached).toBeUndefined();
  const turned = Object.fromEntries(Object.entries(features).reverse());
  const again = await send('/predict', { features: turned, return_probabilities: true });
  expect(again.body).toMatchObject({ cached: true, probabilities: first.body.probabilities });
  expect((await send('/predict', { features: { ...features, amount: 11 } })).body.cached).toBeUndefined();
  await tiny.registry.transition('tiny', 2, 'Production');
  await tiny.models.refresh();
  const other = await send('/predict', { features, return_probabilities: true });
  expect(other.body).toMatchObject({ model_version: 2 });
  expect(other.body.cached).toBeUndefined();
  expect(await tiny.metrics.metrics()).toContain(
    'prediction_cache_lookups_total{model="tiny",version="1",outcome="hit"} 1',
  );
  await tiny.log.drain();
  expect(tiny.logged).toHaveLength(4);
});

test('scopes: a key may predict with one model, and route none', async () => {
  const keys = [
    { key: 'a-key-of-sixteen-characters', name: 'shop', scopes: ['predict:tiny'] },
    { key: 'other-key-of-sixteen-chars', name: 'nobody', scopes: ['predict:huge'] },
    { key: 'admin-key-of-sixteen-chars', scopes: ['routing:*', 'predict:*', 'explain:*'] },
  ];
  tiny = await serveTiny({ apiKeys: keys });
  const as = (index: number) => ({ 'x-api-key': (keys[index] as { key: string }).key });
  const scanned = { features };
  const parsed = { entity_id: 'e1' };
  for (const body of [scanned, parsed]) {
    expect(await send('/predict', body, as(0))).toMatchObject({ status: 200 });
    expect(await send('/predict', body, as(1))).toMatchObject({
      status: 403,
      text: expect.stringContaining('predict:tiny'),
    });
    expect(await send('/predict', body)).toMatchObject({ status: 401 });
  }
  for (const url of ['/explain', '/invocations', '/v2/models/tiny/infer', '/predict/batch']) {
    const body = {
      ...(url === '/explain' ? { features } : {}),
      ...(url === '/v2/models/tiny/infer'
        ? { inputs: [{ name: 'amount', datatype: 'FP64', shape: [1], data: [1] }] }
        : url === '/explain'
          ? {}
          : { instances: [features] }),
    };
    expect(await send(url, body, as(1))).toMatchObject({ status: 403 });
    expect(await send(url, body, as(2))).toMatchObject({ status: 200 });
  }
  const put = (index: number) =>
    tiny.service.app.inject({
      ...{ method: 'PUT', url: '/models/tiny/routing', headers: as(index), payload: { routing: null, reason: 'x' } },
    });
  expect((await put(0)).statusCode).toBe(403);
  expect((await put(2)).statusCode).toBe(409);
});

test('pages of configured origins may ask, others not; headers forbid to run or frame answers', async () => {
  tiny = await serveTiny({ cors: { allowedOrigins: ['https://shop.example'] } });
  const preflight = (origin: string) =>
    tiny.service.app.inject({
      ...{ method: 'OPTIONS', url: '/predict' },
      headers: { origin, 'access-control-request-method': 'POST' },
    });
  expect((await preflight('https://shop.example')).headers['access-control-allow-origin']).toBe('https://shop.example');
  expect((await preflight('https://evil.example')).headers['access-control-allow-origin']).toBeUndefined();
  const { headers } = await send('/predict', { features });
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'content-security-policy': expect.stringContaining("default-src 'none'"),
  });
});

test('TLS, when there is a certificate', async () => {
  const tls = makeSelfSigned(mkdtempSync(join(tmpdir(), 'tls-')), 'localhost');
  tiny = await serveTiny({ tls });
  await tiny.service.start();
  expect(tiny.service.url).toMatch(/^https:/);
  const status = await new Promise((resolve, reject) => {
    httpsRequest(`${tiny.service.url}/models`, { rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve({ code: answer.statusCode, hsts: answer.headers['strict-transport-security'] });
    })
      .on('error', reject)
      .end();
  });
  expect(status).toEqual({ code: 200, hsts: expect.stringContaining('max-age') });
});

test('the API’s description names every route, its answers and its errors', async () => {
  tiny = await serveTiny();
  const answer = await tiny.service.app.inject({ url: '/openapi.json' });
  const document = answer.json() as { openapi: string; paths: Record<string, Record<string, { responses: object }>> };
  expect(document.openapi).toBe('3.1.0');
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      expect([path, method, Object.keys(responses)]).toEqual([path, method, expect.arrayContaining(['200'])]);
    }
  }
  // Its pages are kept by browsers, and asked for again only when they have changed.
  const script = await tiny.service.app.inject({ url: '/docs/static/swagger-ui.css' });
  expect(script.headers['cache-control']).toBe('public, max-age=3600');
  const headers = { 'if-none-match': String(script.headers.etag) };
  expect((await tiny.service.app.inject({ url: '/docs/static/swagger-ui.css', headers })).statusCode).toBe(304);
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining(['/predict', '/predict/batch', '/explain', '/models/{name}', '/invocations']),
  );
});

test('models on demand: loaded when asked for, by many at once; the one not asked for longest makes room', async () => {
  const { length } = tinyModel(0).onnx;
  // Room for two and a half.
  const onDemand = { memoryMb: (length * 4 * 2.5) / 1e6 };
  tiny = await serveTiny({ onDemand }, async (registry) => {
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      await registry.register({ name, package: tinyModel(index), metrics: {}, params: {} });
      await registry.transition(name, 1, 'Production');
    }
    await registry.register({ name: 'staged', package: tinyModel(1), metrics: {}, params: {} });
  });
  const scores = async (model: string) => {
    const { body } = await send('/predict', { model_name: model, features, return_probabilities: true });
    return (body.probabilities as { fraud: number }).fraud;
  };
  const loaded = () => tiny.models.status().map(({ name }) => name);
  const first = await Promise.all(Array.from({ length: 20 }, () => scores('a')));
  for (const score of first) expect(score).toBeCloseTo(tinyScore(0, [10, 3, 1, 0.7]), 5);
  expect(await scores('b')).toBeCloseTo(tinyScore(1, [10, 3, 1, 0.7]), 5);
  await scores('a');
  expect(await scores('c')).toBeCloseTo(tinyScore(2, [10, 3, 1, 0.7]), 5);
  expect(loaded().sort()).toEqual(['a', 'c', 'tiny']);
  const text = await tiny.metrics.metrics();
  expect(text).toContain('models_evicted_total 1');
  expect(text).toMatch(/model_load_seconds_count\{model="a"\} 1/);
  for (const name of ['staged', 'nobody']) {
    expect(await send('/predict', { model_name: name, features })).toMatchObject({
      status: 404,
      text: expect.stringContaining(`model \\"${name}\\" is not served here`),
    });
  }
  // A promotion is followed.
  await tiny.registry.register({ name: 'a', package: tinyModel(4), metrics: {}, params: {} });
  await tiny.registry.transition('a', 2, 'Production');
  await tiny.models.refresh();
  expect(await scores('a')).toBeCloseTo(tinyScore(4, [10, 3, 1, 0.7]), 5);
  const about = await tiny.service.app.inject({ url: '/v2/models/b' });
  expect(about.statusCode).toBe(200);
});

test('the threshold of a row follows its category and what is known of its entity, and is told', async () => {
  const thresholds = [
    { feature: 'category', in: ['a'], add: -0.3 },
    { feature: 'count', atLeast: 5, add: 0.4 },
    { feature: 'amount', below: 2, add: -1 },
  ];
  tiny = await serveTiny({ models: [{ name: 'tiny', thresholds }] });
  const cases: readonly (readonly [object, number, number])[] = [
    [{ amount: 10, count: 3, category: 'b' }, 0.5, 0.7],
    [{ amount: 10, count: 3, category: 'a' }, 0.2, 0.1],
    [{ amount: 10, count: 9, category: 'a' }, 0.6, 0.1],
    [{ amount: 1, count: 9, category: 'a' }, 0.01, 0.1],
  ];
  for (const [given, threshold, category] of cases) {
    const { amount, count } = given as { amount: number; count: number };
    const score = tinyScore(0, [amount, count, 0, category]);
    const { body } = await send('/predict', { features: given });
    expect(body.threshold).toBeCloseTo(threshold, 6);
    expect(body.prediction).toBe(score >= threshold ? 'fraud' : 'legitimate');
  }
  const { body } = await send('/predict/batch', { instances: cases.map(([given]) => given) });
  expect(body.thresholds).toEqual(cases.map(([, threshold]) => expect.closeTo(threshold, 6)));
});

test('rules of thresholds about what a model does not know: the version is refused, with the reason', async () => {
  tiny = await serveTiny({ models: [{ name: 'tiny', thresholds: [{ feature: 'colour', in: ['red'], add: 0.1 }] }] });
  expect(tiny.models.status()[0]).toMatchObject({
    ready: false,
    rejected: { version: 1, reason: expect.stringContaining('colour, which it has no column for') },
  });
});

test('names that mean something to JavaScript mean nothing in a request', async () => {
  const tiny = await serveTiny();
  const bodies = [
    '{"model_name": "tiny", "features": {"amount": 1, "__proto__": {"polluted": true}}}',
    '{"model_name": "tiny", "features": {"amount": 1}, "__proto__": {"polluted": true}}',
    '{"model_name": "tiny", "features": {"amount": 1, "constructor": {"prototype": {"polluted": true}}}}',
    '{"model_name": "__proto__", "features": {"amount": 1}}',
    '{"model_name": "constructor", "features": {"amount": 1}}',
    '{"model_name": "../../../etc/passwd", "features": {"amount": 1}}',
    '{"model_name": "tiny", "entity_id": "e1\'; DROP TABLE predictions; --"}',
    '{"model_name": "tiny", "entity_id": "__proto__"}',
  ];
  for (const payload of bodies) {
    const headers = { 'content-type': 'application/json' };
    const { statusCode } = await tiny.service.app.inject({ method: 'POST', url: '/predict', payload, headers });
    expect([payload, statusCode >= 400 && statusCode < 500]).toEqual([payload, true]);
  }
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  await tiny.stop();
});
