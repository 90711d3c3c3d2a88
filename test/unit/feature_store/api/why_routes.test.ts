import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import { count } from '#feature_store/definitions/aggregations';
import { explainValue } from '#feature_store/explanation/explain_value';
import type { ExplanationRequest } from '#feature_store/explanation/value_explanation';
import type { OnlineStore } from '#feature_store/online/online_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { testView } from '../../../support/definitions/test_view.ts';

const first = testView({ ...count().over('1h') });
const second = testView({ ...count().over('1h') }, { version: 2 });
const AT = Date.UTC(2026, 10, 28, 12);
const event = { event_id: 'e1', account_id: 'a1' };

const used = (model: string) => ({
  models: [{ name: model, version: 1, stage: 'Production' }],
  predictions: [{ predictionId: `p-${model}`, requestId: 'r1', model, version: 1, timeMs: AT }],
});
const USED_BY = {
  models: [...used('m1').models, ...used('m2').models],
  predictions: [...used('m1').predictions, ...used('m2').predictions],
};

let service: HttpService;
let asked: ExplanationRequest | undefined;
const open = async (config: object): Promise<void> => {
  const online = { read: async () => [] } as unknown as OnlineStore;
  const views = [first, second];
  service = await createFeatureApi(
    {
      ...{ store: online, views, clock: systemClock, log: silentLogger },
      features: new FeatureReader({ online, clock: systemClock }, { views, services: [] }),
      statistics: { list: async () => [] },
      embeddings: { search: async () => [] },
      history: { pointInTimeJoin: async (moments) => moments.map(() => undefined) },
      metrics: createMetricsRegistry({ process: false }),
      async explain(request) {
        asked = request;
        if (request.entityKey !== 'account:a1') return undefined;
        const times = { eventTimeMs: AT, arrivedAtMs: AT, knownAtMs: AT };
        const found = { eventId: 'e1', userId: 'a1', event, from: 'archive', place: '0/1', ...times };
        return explainValue(request, {
          ...{ atMs: request.atMs ?? AT, stored: undefined, usedBy: USED_BY },
          ...{ found: { events: [found], refused: [], places: [] }, allowedLatenessMs: 0 },
        });
      },
    },
    featureApiConfigSchema.parse({ port: 0, ...config }),
  );
};
beforeEach(() => open({}));
afterEach(() => service.stop());

const get = (url: string, key?: string) =>
  service.app.inject({ method: 'GET', url, headers: key === undefined ? {} : { 'x-api-key': key } });

test('the newest version of a view is explained, or the one that is named, at a time and a page', async () => {
  const answer = await get('/why/a1/count_1h?at=2026-11-28T12:30:00Z&limit=5&offset=0');
  expect(answer.json()).toMatchObject({
    ...{ user_id: 'a1', entity: 'account', view: 'v@2', feature: 'count_1h', at: '2026-11-28T12:30:00.000Z' },
    ...{ served: null, recomputed: { value: 1 }, equal: false },
    events: { total: 1, items: [{ event_id: 'e1', contribution: true, from: 'archive', place: '0/1' }] },
  });
  expect(asked?.page).toEqual({ offset: 0, limit: 5 });
  expect((await get('/why/a1/count_1h?view=v@1')).json()).toMatchObject({ view: 'v@1' });
});

test.each([
  ['/why/a2/count_1h', 404, 'FEATURE_STORE_UNKNOWN_ENTITY'],
  ['/why/a1/other', 404, 'FEATURE_STORE_UNKNOWN_FEATURE'],
  ['/why/a1/count_1h?view=v@3', 400, 'FEATURE_STORE_UNKNOWN_VIEW'],
  ['/why/a1/count_1h?entity=user', 400, 'FEATURE_STORE_UNKNOWN_ENTITY_TYPE'],
  ['/why/a1/count_1h?at=soon', 400, 'HTTP_INVALID_REQUEST'],
  ['/why/a1/count_1h?limit=100000', 400, 'HTTP_INVALID_REQUEST'],
])('%s is %i %s', async (url, status, code) => {
  const answer = await get(url);
  expect([answer.statusCode, answer.json().error?.code]).toEqual([status, code]);
});

describe('with keys', () => {
  const keyOf = (name: string) => `the-api-key-of-${name}`;
  const keys = {
    ...{ first: ['features:v@1'], other: ['features:w@1'], user: ['features:*', 'predict:m2'] },
    all: ['features:*', 'predict:*'],
  };
  beforeEach(async () => {
    await service.stop();
    const apiKeys = Object.entries(keys).map(([name, scopes]) => ({ key: keyOf(name), name, scopes }));
    await open({ apiKeys });
  });

  test.each([
    ['of no caller', undefined, '/why/a1/count_1h', 401],
    ['of another view', 'other', '/why/a1/count_1h', 403],
    ['of a view that the caller may not read', 'first', '/why/a1/count_1h?view=v@2', 403],
    ['of a view that it may read', 'first', '/why/a1/count_1h?view=v@1', 200],
  ] as const)('a request %s: %s %s is %i', async (_, name, url, status) => {
    asked = undefined;
    expect((await get(url, name && keyOf(name))).statusCode).toBe(status);
    // Nothing is read for a caller that may not see it.
    expect(asked === undefined).toBe(status !== 200);
  });

  test('the newest version that the caller may read is explained', async () => {
    expect((await get('/why/a1/count_1h', keyOf('first'))).json()).toMatchObject({ view: 'v@1' });
    expect((await get('/why/a1/count_1h', keyOf('all'))).json()).toMatchObject({ view: 'v@2' });
  });

  test.each([
    ['first', []],
    ['user', ['m2']],
    ['all', ['m1', 'm2']],
  ] as const)('%s sees models and predictions of %j', async (name, models) => {
    const { used_by: usedBy } = (await get('/why/a1/count_1h', keyOf(name))).json();
    expect(usedBy.models.map((model: { readonly name: string }) => model.name)).toEqual(models);
    expect(usedBy.predictions.map(({ model }: { readonly model: string }) => model)).toEqual(models);
  });
});
