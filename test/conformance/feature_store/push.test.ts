import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import { count } from '#feature_store/definitions/aggregations';
import { DefinitionError } from '#feature_store/definitions/errors';
import { expression, field } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { inRange } from '#feature_store/definitions/rules/quality_rule';
import { entity, source } from '#feature_store/definitions/sources/source';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { pushesOf } from '#feature_store/push/push_rows';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { ttlsOf } from '#feature_store/stores';
import { DAY_MS, eventTime, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

// POST /features/push: rows that were computed elsewhere are in both stores, each once, and those that cannot be are named.

const scores = source('scores', {
  schema: z.strictObject({ user_id: z.string().min(1), at: z.int(), score: z.number(), label: z.string().optional() }),
  id: { from: ['user_id', 'at'] },
  timestamp: { field: 'at', unit: 'ms' },
});
const spec = {
  ...({
    name: 'risk',
    version: 1,
    entity: entity('user', ['user_id']),
    source: scores,
    ttl: '30d',
    owner: 'o',
  } as const),
  ...({ description: 'd', mode: 'push' } as const),
};
const risk = featureView({
  ...spec,
  features: {
    score: field('score', 'double', 'Score'),
    label: field('label', 'string', 'Label'),
    is_high: expression(['score'], 'boolean', 'Whether the score is high', ({ score }) => Number(score) > 0.9),
  },
  rules: { score_in_range: inRange('score', { min: 0, max: 1 }, 'drop') },
});

const NOW = Date.now();
let folder: string;
let offline: OfflineDatabase;
let online: MemoryOnlineStore;
let service: HttpService;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'push-'));
  const views = [risk];
  offline = createOfflineDatabase({ log: silentLogger, views }, { kind: 'pglite', directory: join(folder, 'offline') });
  await offline.start();
  online = new MemoryOnlineStore(
    { log: silentLogger, clock: systemClock, ttlMs: ttlsOf(views) },
    { file: join(folder, 'online.log') },
  );
  await online.start();
  service = await createFeatureApi(
    {
      ...{
        store: online,
        statistics: offline.statistics,
        embeddings: offline.embeddings,
        history: offline.features,
        views,
      },
      ...{ clock: systemClock, log: silentLogger },
      features: new FeatureReader({ online, clock: systemClock }, { views, services: [] }),
      pushes: pushesOf(views, { online, offline }, systemClock),
      metrics: createMetricsRegistry({ process: false }),
    },
    featureApiConfigSchema.parse({}),
  );
}, 120_000);
afterAll(async () => {
  await service.stop();
  await online.stop();
  await offline.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function push(rows: readonly object[], view = 'risk@1') {
  const answer = await service.app.inject({ method: 'POST', url: '/features/push', payload: { view, rows } });
  return { status: answer.statusCode, body: answer.json() as Record<string, never> };
}
const scoreOf = async (user: string) =>
  (await service.app.inject({ url: `/features/${user}/score` })).json<{ readonly value: number }>().value;
const history = () =>
  offline.features.rowsBetween(
    risk,
    { from: eventTime(0), to: eventTime(NOW + DAY_MS) },
    { limit: 10_000, after: undefined },
  );

test('rows are in both stores; pushed again they change nothing, and an older one does not replace a newer one online', async () => {
  const rows = [
    { user_id: 'u1', at: NOW - 1_000, score: 0.5, label: 'a' },
    { user_id: 'u1', at: NOW - 2_000, score: 0.4 },
    { user_id: 'u2', at: NOW - 400 * DAY_MS, score: 0.95 },
  ];
  expect(await push(rows)).toEqual({ status: 200, body: { view: 'risk@1', written: 3, refused: [] } });
  expect(await scoreOf('u1')).toBe(0.5);
  const before = await history();
  expect(before.map(({ entityKey, values }) => [entityKey, values])).toEqual([
    ['user:u1', { score: 0.4, label: null, is_high: false }],
    ['user:u1', { score: 0.5, label: 'a', is_high: false }],
    ['user:u2', { score: 0.95, label: null, is_high: true }],
  ]);
  await push([...rows].reverse());
  expect(await history()).toEqual(before);
  expect(await scoreOf('u1')).toBe(0.5);
});

test('what cannot be written is named by row and field; the others are written', async () => {
  const at = NOW - 3_000;
  const { status, body } = await push([
    { user_id: 'v1', at, score: 0.1 },
    { user_id: 'v2', at, score: 'high' },
    { user_id: 'v3', at, score: 2 },
    { user_id: '', at, score: 0.1 },
    { user_id: 'v4', at: NOW + DAY_MS, score: 0.1 },
    { user_id: 'v5', at, score: 0.1, colour: 'red' },
    { user_id: 'v6', at: NOW * 1_000_000, score: 0.1 },
  ]);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    written: 1,
    refused: [
      { row: 1, problems: [{ field: 'score', problem: expect.stringMatching(/must be a number/) }] },
      { row: 2, problems: [{ field: 'score', problem: expect.stringMatching(/breaks rule score_in_range/) }] },
      { row: 3, problems: [{ field: 'user_id' }] },
      { row: 4, problems: [{ field: 'at', problem: expect.stringMatching(/in the future/) }] },
      { row: 5, problems: [{ field: 'colour', problem: 'is not a known field' }] },
      { row: 6, problems: [{ field: 'at' }] },
    ],
  });
  expect(await scoreOf('v1')).toBe(0.1);
  // No body of the API holds text that no store takes.
  expect(await push([{ user_id: 'v7\u0000', at, score: 0.1 }])).toMatchObject({ status: 400 });
});

test('in any order and however often, both stores hold what a map of the newest row by entity holds', async () => {
  const rowArbitrary = fc.record({
    user_id: fc.constantFrom('w1', 'w2', 'w3'),
    at: fc.integer({ min: NOW - 50, max: NOW - 1 }),
    score: fc.constantFrom(0, 0.25, 0.5, 1),
  });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(rowArbitrary, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 5 }),
      async (pushes) => {
        run += 1;
        const newest = new Map<string, { readonly at: number; readonly score: number }>();
        for (const rows of pushes) {
          const own = rows.map((row) => ({ ...row, user_id: `${row.user_id}-${run}` }));
          await push(own);
          for (const { user_id, at, score } of own) {
            const held = newest.get(user_id);
            if (held === undefined || at >= held.at) newest.set(user_id, { at, score });
          }
        }
        const keys = [...newest.keys()].map((user) => `user:${user}` as const);
        for (const [user, { score }] of newest) expect(await scoreOf(user)).toBe(score);
        const stored = await offline.features.newestOf(risk, keys as never);
        expect(new Map(stored.map(({ entityKey, values }) => [String(entityKey), values.score]))).toEqual(
          new Map([...newest].map(([user, { score }]) => [`user:${user}`, score])),
        );
      },
    ),
    { numRuns: 20 },
  );
}, 120_000);

test('other views, bad bodies and definitions that would need state are refused by name', async () => {
  expect(await push([{}], 'fraud@1')).toMatchObject({
    status: 404,
    body: { code: 'FEATURE_STORE_NOT_PUSHED' },
  });
  expect((await push([])).status).toBe(400);
  const windows = () => featureView({ ...spec, features: count({ as: 'n' }).over('1h') });
  expect(windows).toThrow(DefinitionError);
  expect(windows).toThrow(/feature n_1h: rows of a view of mode push are whole/);
});
