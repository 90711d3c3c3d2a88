import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { recommendationView } from '#examples/activity/features/recommendation';
import { userActivityV1, userActivityV2 } from '#examples/activity/features/user_activity';
import { fraudView } from '#examples/fraud/features/fraud';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featuresJson } from '#feature_store/api/served_features';
import { featureApiConfigSchema } from '#feature_store/config';
import type { FeatureRow, FeatureValue } from '#feature_store/definitions/values/feature_row';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import type { StatisticsFilter } from '#feature_store/statistics/statistics_store';
import { ttlsOf } from '#feature_store/stores';
import { eventTime, HOUR_MS, processingTime, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { SERVICES } from '../../../support/definitions/all_definitions.ts';
import { keyOf } from '../../../support/entity_keys.ts';

const VIEWS = [fraudView, userActivityV1, userActivityV2, recommendationView];
const nowMs = Date.now();

const rowOf = (view: string, version: number, id: string, values: FeatureRow['values']): FeatureRow => ({
  view,
  version,
  entityKey: keyOf(id, view === 'fraud' ? 'account' : 'user'),
  eventTime: eventTime(nowMs - 2_000),
  computedAt: processingTime(nowMs - 1_000),
  values,
});

let service: HttpService;
let asked: StatisticsFilter | undefined;
afterEach(() => service.stop());

async function open(settings: object = {}) {
  const store = new MemoryOnlineStore(
    { log: silentLogger, clock: systemClock, ttlMs: ttlsOf(VIEWS) },
    { file: join(mkdtempSync(join(tmpdir(), 'api-')), 'online.log') },
  );
  await store.start();
  await store.write([
    rowOf('fraud', 1, 'a1', { amount: 12.5, merchant_category: 'say "cash"', count_1h: 3, country_changed: null }),
    rowOf('user_activity', 1, 'u1', { activity_count_1h: 1, last_event_ms: nowMs - 2_000 }),
    rowOf('user_activity', 2, 'u1', { activity_count_1h: 2, last_event_ms: nowMs - 2_000, top_device_type_7d: 'tv' }),
    rowOf('recommendation', 1, 'u1', { view_count_7d: 4, view_count_30d: 9, top_categories_30d: ['hats', 'shoes'] }),
  ]);
  const statistics = {
    async list(filter: StatisticsFilter) {
      asked = filter;
      const measured = {
        rows: 4,
        nulls: 1,
        mean: 2,
        stddev: 1,
        min: 0,
        max: 3,
        quantiles: [0, 3],
        top: [],
        sampled: 3,
      };
      return [
        { view: 'fraud', version: 1, feature: 'amount', windowStartMs: 0, windowMs: HOUR_MS, statistics: measured },
      ];
    },
  };
  const features = new FeatureReader({ online: store, clock: systemClock }, { views: VIEWS, services: SERVICES });
  const metrics = createMetricsRegistry({ process: false });
  service = await createFeatureApi(
    {
      store,
      features,
      statistics,
      embeddings: { search: async () => [] },
      history: { pointInTimeJoin: async (moments) => moments.map(() => undefined) },
      views: VIEWS,
      clock: systemClock,
      log: silentLogger,
      metrics,
    },
    featureApiConfigSchema.parse(settings),
  );
}

async function ask(url: string, payload?: object, headers: Record<string, string> = {}) {
  const method = payload === undefined ? 'GET' : 'POST';
  const answer = await service.app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
  return { status: answer.statusCode, body: answer.json() as Record<string, never> };
}

const computedAt = new Date(nowMs - 1_000).toISOString();

test('all features of an entity: of the newest version of each view, or of one that is asked for', async () => {
  await open();
  const { status, body } = await ask('/features/u1');
  expect(status).toBe(200);
  expect(body).toMatchObject({
    user_id: 'u1',
    entity: 'user',
    features: {
      activity_count_1h: { value: 2, computed_at: computedAt },
      top_device_type_7d: { value: 'tv', computed_at: computedAt },
      view_count_7d: { value: 4, computed_at: computedAt },
      purchase_count_7d: { value: null, computed_at: computedAt },
    },
  });
  const { features } = body as unknown as { features: Record<string, { value: FeatureValue }> };
  expect(features.seconds_since_last_event?.value).toBeGreaterThanOrEqual(2);
  expect((await ask('/features/u1?version=v1')).body).toMatchObject({ features: { activity_count_1h: { value: 1 } } });
  // Versions are of views: one that has a first version only is part of the second as well.
  const [one, two] = [(await ask('/features/u1?version=v1')).body, (await ask('/features/u1?version=v2')).body];
  expect(Object.keys(two.features ?? {})).toEqual(expect.arrayContaining(Object.keys(one.features ?? {})));
  expect((await ask('/features/u1?version=v9')).status).toBe(400);
  expect((await ask('/features/a1?view=fraud@1&freshness=true')).body).toMatchObject({
    features: { merchant_category: { value: 'say "cash"', age_ms: expect.any(Number) } },
  });
  expect((await ask('/features/u1?entity=account')).status).toBe(404);
  expect(await ask('/features/nobody')).toMatchObject({
    status: 404,
    body: { error: { message: expect.stringMatching(/"nobody"/) } },
  });
  expect(await ask('/features/u1?view=none@1')).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringMatching(/none@1/) } },
  });
});

test('one feature, and many entities at once', async () => {
  await open();
  expect((await ask('/features/a1/amount')).body).toEqual({
    user_id: 'a1',
    entity: 'account',
    feature: 'amount',
    value: 12.5,
    computed_at: computedAt,
    view: 'fraud@1',
  });
  expect(await ask('/features/a1/amuont')).toMatchObject({
    status: 404,
    body: { error: { message: expect.stringMatching(/amuont/) } },
  });
  const batch = await ask('/features/batch', {
    entities: ['a1', 'nobody', 'a1'],
    features: ['count_1h', 'country_changed'],
  });
  const found = {
    count_1h: { value: 3, computed_at: computedAt },
    country_changed: { value: null, computed_at: computedAt },
  };
  expect(batch.body).toEqual({
    results: [
      { user_id: 'a1', entity: 'account', features: found },
      { user_id: 'nobody', entity: 'account', features: null },
      { user_id: 'a1', entity: 'account', features: found },
    ],
  });
  expect((await ask('/features/batch', { entities: [] })).status).toBe(400);
});

test('columns hold what rows hold: names once, null where an entity has no row', async () => {
  await open();
  const body = { entities: ['a1', 'nobody'], features: ['count_1h', 'country_changed'] };
  expect((await ask('/features/batch?format=columns&view=fraud@1', body)).body).toEqual({
    entities: ['a1', 'nobody'],
    views: [
      {
        ...{ view: 'fraud@1', entity: 'account', features: ['count_1h', 'country_changed'] },
        ...{ computed_at: [computedAt, null], values: [[3, null], null] },
      },
    ],
  });
  const all = { entities: ['a1', 'nobody', 'a1'] };
  const asRows = (await ask('/features/batch?view=fraud@1', all)).body as unknown as {
    readonly results: readonly { readonly features: unknown }[];
  };
  const asColumns = (await ask('/features/batch?view=fraud@1&freshness=true&format=columns', all)).body as unknown as {
    readonly entities: readonly string[];
    readonly views: readonly {
      readonly features: readonly string[];
      readonly computed_at: readonly (string | null)[];
      readonly age_ms: readonly (number | null)[];
      readonly values: readonly (readonly unknown[] | null)[];
    }[];
  };
  const [block] = asColumns.views;
  const again = asColumns.entities.map((_, index) => {
    const values = block?.values[index];
    if (values === null || values === undefined) return null;
    const cells = block?.features.map((name, at) => [
      name,
      { value: values[at], computed_at: block.computed_at[index] },
    ]);
    return Object.fromEntries(cells ?? []);
  });
  expect(again).toEqual(asRows.results.map(({ features }) => features));
  expect(block?.age_ms).toEqual([expect.any(Number), null, expect.any(Number)]);
  expect((await ask('/features/batch?format=table', all)).status).toBe(400);
});

test('answers are the JSON that would be written of the objects, whatever is in the values', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
  );
  fc.assert(
    fc.property(fc.record({ amount: value, merchant_category: value, count_1h: value }), (values) => {
      const row = rowOf('fraud', 1, 'a', values);
      const wanted = new Set(['amount', 'merchant_category', 'count_1h']);
      const text = featuresJson([{ view: fraudView, row }], { wanted, freshness: false, nowMs });
      const expected = Object.fromEntries(
        Object.keys(fraudView.features)
          .filter((name) => wanted.has(name))
          .map((name) => [name, { value: values[name as keyof typeof values], computed_at: computedAt }]),
      );
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(expected)));
    }),
  );
});

test('vectors of a service: stored and computed on demand, with what the request brings', async () => {
  await open();
  const payment = { payment_amount: 30, payment_category: 'cash' };
  const rows = [
    { entity: 'a1', request: payment },
    { entity: 'nobody', request: payment },
  ];
  const { body } = await ask('/features/vector', { service: 'payment_authorisation@1', rows });
  expect(body).toMatchObject({
    service: 'payment_authorisation@1',
    fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
    vectors: [
      { entity: 'a1', features: { count_1h: 3, payment_is_cash_like: true, payment_to_max: null } },
      { entity: 'nobody', features: null },
    ],
  });
  const cold = await ask('/features/vector', {
    service: 'product_recommendation@1',
    rows: [{ entity: 'u1' }, { entity: 'new' }],
  });
  expect(cold.body).toMatchObject({
    vectors: [
      { features: { favourite_category: 'hats', is_cold_user: false } },
      { features: { favourite_category: 'popular', is_cold_user: true, view_count_7d: null } },
    ],
  });
  expect(await ask('/features/vector', { service: 'fraud@1', rows: [{ entity: 'a1' }] })).toMatchObject({
    status: 200,
  });
  expect(await ask('/features/vector', { service: 'none@1', rows: [{ entity: 'a1' }] })).toMatchObject({ status: 404 });
  const bad = [{ entity: 'a1', request: { payment_amount: 'x', payment_category: 'cash' } }, { entity: 'b' }];
  expect(await ask('/features/vector', { service: 'payment_authorisation@1', rows: bad })).toMatchObject({
    status: 422,
    body: {
      error: {
        fields: [
          { field: 'rows.0.payment_amount', problem: 'must be a number' },
          { field: 'rows.1.payment_amount' },
          { field: 'rows.1.payment_category' },
        ],
      },
    },
  });
  expect((await ask('/services')).body).toMatchObject({
    services: expect.arrayContaining([expect.objectContaining({ service: 'fraud@1' })]),
  });
});

test('statistics of features, by view, feature and time', async () => {
  await open();
  const { body } = await ask('/stats?view=fraud@1&feature=amount&from=2026-01-01T00:00:00Z&limit=7');
  expect(asked).toMatchObject({ view: fraudView, feature: 'amount', fromMs: Date.UTC(2026, 0, 1), limit: 7 });
  expect(body).toMatchObject({
    statistics: [
      { view: 'fraud@1', feature: 'amount', window_start: '1970-01-01T00:00:00.000Z', null_share: 0.25, mean: 2 },
    ],
  });
  expect((await ask('/stats?view=none@1')).status).toBe(400);
  expect((await ask('/stats?from=yesterday')).status).toBe(400);
});

test('counters count, by one or by more', async () => {
  await open();
  const of = { user_id: 'a1', entity: 'account', counter: 'attempts' };
  expect((await ask('/counters/a1/attempts')).body).toEqual({ ...of, value: 0 });
  expect((await ask('/counters/a1/attempts', {})).body).toEqual({ ...of, value: 1 });
  expect((await ask('/counters/a1/attempts', { by: 5 })).body).toEqual({ ...of, value: 6 });
  expect((await service.app.inject({ method: 'POST', url: '/counters/a1/attempts' })).json()).toEqual({
    ...of,
    value: 7,
  });
  expect((await ask('/counters/a1/attempts', { by: 0.5 })).status).toBe(400);
  expect((await ask('/counters/a1/Bad-Name')).status).toBe(400);
});

test('with keys configured, only health, metrics and documents are open', async () => {
  const key = '0123456789abcdef';
  await open({ apiKeys: [key] });
  expect(await ask('/features/a1')).toMatchObject({ status: 401, body: { error: { code: 'HTTP_UNAUTHORIZED' } } });
  expect((await ask('/features/a1', undefined, { 'x-api-key': key })).status).toBe(200);
  for (const url of ['/health', '/metrics', '/docs']) {
    expect((await service.app.inject({ url })).statusCode).toBeLessThan(400);
  }
});

test('values of past times are read by service; rows that are refused are named', async () => {
  await open();
  const at = '2026-11-28T12:00:00.000Z';
  const read = await ask('/features/historical', { service: 'fraud@1', rows: [{ entity: 'a1', timestamp: at }] });
  expect(read).toMatchObject({ status: 200, body: { service: 'fraud@1', entity: 'account' } });
  const { columns } = read.body as unknown as { columns: { name: string; type: string; values: unknown[] }[] };
  expect(columns.find(({ name }) => name === 'count_1h')).toEqual({ name: 'count_1h', type: 'long', values: [null] });
  const missing = [
    { entity: 'a1', timestamp: at },
    { entity: 'a2', timestamp: at, request: { hour: 'noon' } },
  ];
  const refused = await ask('/features/historical', { service: 'payment_authorisation@1', rows: missing });
  expect(refused.status).toBe(422);
  expect(JSON.stringify(refused.body)).toMatch(/rows\.0\..*rows\.1\./);
  const rows = Array.from({ length: 5_001 }, () => ({ entity: 'a1', timestamp: at }));
  expect((await ask('/features/historical', { service: 'fraud@1', rows })).status).toBe(400);
  expect((await ask('/features/historical', { service: 'none@1', rows: rows.slice(0, 1) })).status).toBe(404);
});
