import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { count, sum } from '#feature_store/definitions/aggregations';
import { createCatalog } from '#feature_store/definitions/catalog';
import { viewData } from '#feature_store/definitions/definition_data';
import { field, fromEvent } from '#feature_store/definitions/feature';
import { type FeatureViewSpec, featureView } from '#feature_store/definitions/feature_view';
import { lineageOf } from '#feature_store/definitions/sets/lineage';
import { type EventSource, entity, source } from '#feature_store/definitions/sources/source';
import { FeatureTest } from '#feature_store/testing/feature_test';

const customer = entity('customer', ['customer']);
const ofCustomer = { customer: z.string(), amount: z.number() };
const web = source('web', { schema: z.object({ ...ofCustomer, page: z.string() }) });
const shop = source('shop', {
  schema: z.object({ ...ofCustomer, till: z.number() }),
  id: { from: ['customer', 'till'] },
});
const base = {
  ...{ name: 'sales', version: 1, entity: customer, ttl: '30d' as const, owner: 'tests', description: 'd' },
  features: {
    ...sum('amount').over('1h'),
    ...count({ as: 'visits', where: (event) => event.event_type === 'shop' }).over('1h'),
  },
} as const;
type Changed = Partial<Pick<FeatureViewSpec<string>, 'name' | 'mode' | 'features'>>;
const viewOf = (source: unknown, more: Changed = {}) =>
  featureView({ ...base, ...more, source: source as EventSource } as FeatureViewSpec<string>);

test('a view of two sources has the events of both, and the order in which they are named does not matter', () => {
  const view = viewOf([web, shop]);
  expect(view.sources).toEqual([shop, web]);
  expect(viewData(viewOf([shop, web]))).toEqual(viewData(view));
  expect(viewOf([web]).events).toBe(web);
  expect(viewData(viewOf([web]))).toEqual(viewData(viewOf(web)));
  expect(viewData(view).shared).toMatchObject({
    source: 'shop+web',
    eventTypes: ['shop', 'web'],
    idFields: ['customer', 'till'],
  });
  expect(lineageOf(view, 'sum_amount_1h')).toMatchObject({
    source: 'shop+web',
    eventTypes: ['shop', 'web'],
    fields: ['amount'],
  });
  expect(
    createCatalog([view, viewOf(web, { name: 'pages', features: { page: field('page', 'string', '') } })]).sources,
  ).toEqual([shop, web]);
  expect(
    view.events.schema.safeParse({ event_type: 'shop', customer: 'c', amount: 1, event_id: 'e', timestamp: 't' })
      .success,
  ).toBe(true);
});

test.each<[string, unknown, RegExp, Changed?]>([
  ['no source', [], /view sales@1: it has no source/],
  ['one source twice', [web, web], /view sales@1: source web is given twice/],
  [
    'one type of events in two',
    [web, source('app', { schema: z.object(ofCustomer), type: 'web' })],
    /sources app and web both have the event type "web"/,
  ],
  [
    'a field of two types',
    [web, source('app', { schema: z.object({ ...ofCustomer, amount: z.string() }) })],
    /field amount is a string in app and a number in web/,
  ],
  [
    'a join key that one lacks',
    [web, source('app', { schema: z.object({ amount: z.number() }) })],
    /join key customer is not a field of app/,
  ],
  [
    'a field that none has',
    [web, shop],
    /there is no field "aisle"/,
    { features: { aisle: field('aisle', 'string', '') } },
  ],
  [
    'batch without a history',
    [web, source('app', { schema: z.object(ofCustomer), history: { files: ['a.csv'] } })],
    /its source web needs a history/,
    { mode: 'batch' },
  ],
  [
    'rows that are pushed',
    [web, shop],
    /have the form of one source/,
    { mode: 'push', features: { amount: field('amount', 'double', '') } },
  ],
])('%s is refused by name', (_, sources, message, more = {}) => {
  expect(() => viewOf(sources, more)).toThrow(message);
});

test('a definition changes when how a source is read changes, also one after the first', () => {
  const renamed = source('web', { schema: z.object({ ...ofCustomer, page: z.string(), key: z.string() }), id: 'key' });
  expect(viewData(viewOf([shop, renamed])).shared).not.toEqual(viewData(viewOf([shop, web])).shared);
});

test('events of both count in a test of features', () => {
  const view = featureView({
    ...base,
    source: [web, shop],
    features: {
      ...base.features,
      where: fromEvent('string', 'Page or till.', (event) => String(event.page ?? event.till)),
    },
  });
  const features = new FeatureTest([view]);
  const { now: timestamp } = features;
  features.ingest({ event_id: '1', customer: 'c', amount: 5, page: '/', event_type: 'web', timestamp });
  features.advance('1m');
  features.ingest({ customer: 'c', amount: 7, till: 3, event_type: 'shop', timestamp: features.now });
  expect(features.row(view, { customer: 'c' })).toEqual({ sum_amount_1h: 12, visits_1h: 1, where: '3' });
});
