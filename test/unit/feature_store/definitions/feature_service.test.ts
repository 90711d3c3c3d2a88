import { expect, test } from '@jest/globals';
import { account } from '#examples/fraud/features/transactions';
import { count, sum } from '#feature_store/definitions/aggregations';
import { type Feature, field } from '#feature_store/definitions/feature';
import { checkServices, featureService, serviceOfView } from '#feature_store/definitions/feature_service';
import { checkViews } from '#feature_store/definitions/feature_view';
import { columns, onDemand, onDemandView } from '#feature_store/definitions/on_demand';
import { RequestFieldsError } from '#feature_store/errors';
import { requestFields, vectorOf } from '#feature_store/retrieval/feature_vector';
import { ON_DEMAND_VIEWS, SERVICES, VIEWS } from '../../../support/definitions/all_definitions.ts';
import { testView } from '../../../support/definitions/test_view.ts';

const base = { version: 1, entity: account, owner: 'tests', description: 'd' } as const;
const view = <Name extends string>(name: string, features: Readonly<Record<Name, Feature>>) =>
  testView(features, { name });

const spending = view('spending', { ...sum('amount').over('1h', '24h'), currency: field('currency', 'string', '') });
const visits = view('visits', count({ as: 'visits' }).over('1h'));
const ratioNow = onDemandView({
  ...base,
  name: 'ratio_now',
  inputs: [columns(spending, 'sum_amount_24h')],
  request: { amount_now: 'double', note: 'string' },
  features: {
    share_now: onDemand('double', '', ({ amount_now: now, sum_amount_24h: sum24 }) =>
      sum24 === null ? null : Number(now) / Number(sum24),
    ),
    hour: onDemand('long', '', (_, asOfMs) => new Date(asOfMs).getUTCHours()),
  },
});
const scoring = featureService({
  name: 'scoring',
  version: 2,
  owner: 'risk',
  description: 'd',
  features: [columns(visits, 'visits_1h'), columns(spending, 'sum_amount_1h', 'currency'), ratioNow],
});

test('a service is columns in order, with what has to be read for them and what a request brings', () => {
  expect(scoring.columns.map(({ name, view: of }) => `${of} ${name}`)).toEqual([
    'visits@1 visits_1h',
    'spending@1 sum_amount_1h',
    'spending@1 currency',
    'ratio_now@1 share_now',
    'ratio_now@1 hour',
  ]);
  expect(scoring.stored.map(({ view: { name }, names }) => [name, names])).toEqual([
    ['visits', ['visits_1h']],
    ['spending', ['sum_amount_1h', 'currency', 'sum_amount_24h']],
  ]);
  expect(scoring.signature).toMatchObject({
    service: 'scoring@2',
    entity: 'account',
    joinKeys: ['account_id'],
    request: [
      { name: 'amount_now', type: 'double' },
      { name: 'note', type: 'string' },
    ],
  });
});

test('the vector has every column; what no row has is missing, and is what on-demand features see', () => {
  const at = Date.UTC(2026, 0, 1, 13);
  const rows = [undefined, { values: { sum_amount_1h: 5, sum_amount_24h: 20, currency: 'EUR' } }];
  expect(vectorOf(scoring, rows, { amount_now: 10, note: null }, at)).toEqual({
    visits_1h: null,
    sum_amount_1h: 5,
    currency: 'EUR',
    share_now: 0.5,
    hour: 13,
  });
  expect(vectorOf(scoring, [undefined, undefined], { amount_now: 10, note: 'x' }, at)).toMatchObject({
    share_now: null,
  });
});

test('fields of a request are refused all at once, each by its name', () => {
  expect(requestFields(scoring, { amount_now: 1, note: null, more: 2 })).toEqual({ amount_now: 1, note: null });
  expect(() => requestFields(scoring, { amount_now: '1' })).toThrow(RequestFieldsError);
  expect(() => requestFields(scoring, { amount_now: '1' })).toThrow(
    /amount_now must be a number; note is required by scoring@2/,
  );
});

test('the fingerprint follows what is computed, and nothing that is only said of it', () => {
  const of = (features: Readonly<Record<string, Feature>>) =>
    serviceOfView(view('spending', features)).signature.fingerprint;
  const currency = field('currency', 'string', 'one');
  const first = of({ currency, ...count().over('1h') });
  expect(of({ currency: { ...currency, description: 'two' }, ...count().over('1h') })).toBe(first);
  expect(of({ currency, ...count().over('6h') })).not.toBe(first);
  expect(of({ ...count().over('1h'), currency })).toBe(first);
  expect(of({ currency: field('country', 'string', 'one'), ...count().over('1h') })).not.toBe(first);
  const amount = (type: 'double' | 'long') => of({ amount: field('amount', type, '') });
  expect(amount('long')).not.toBe(amount('double'));
});

test('what cannot be a service is refused, with all problems at once', () => {
  const other = testView(
    { currency: field('currency', 'string', '') },
    { name: 'elsewhere', entity: { name: 'merchant', joinKeys: ['merchant_id'] } },
  );
  const define = () => featureService({ ...scoring, name: 'mixed', features: [columns(spending), columns(other)] });
  expect(define).toThrow(
    /"currency" comes from spending@1 and from elsewhere@1[\s\S]*of several entities: account, merchant/,
  );
  expect(() => columns(spending, 'sum_amount_1d' as never)).toThrow(/spending@1 has no feature "sum_amount_1d"/);
  expect(() =>
    onDemandView({
      ...ratioNow,
      request: { sum_amount_24h: 'double' },
      features: { sum_amount_24h: onDemand('long', '', () => 1) },
    }),
  ).toThrow(/two things are called "sum_amount_24h", one of them a field of the request[\s\S]*a feature of its own/);
  expect(() => checkServices([scoring, scoring], [])).toThrow(/two services or views are called scoring@2/);
});

test('two views of one entity share no feature name: the API says features by their names', () => {
  const twin = view('twin', { currency: field('currency', 'string', '') });
  expect(() => checkViews([spending, twin])).toThrow(
    /views spending and twin of account both have a feature "currency"/,
  );
  expect(() => checkViews([spending, { ...spending, version: 2 }])).not.toThrow();
});

test('the shipped services are of what the catalog has', () => {
  for (const { stored, onDemand: parts } of SERVICES) {
    for (const { view: of } of stored) expect(VIEWS).toContain(of);
    for (const part of parts) expect(ON_DEMAND_VIEWS).toContain(part);
  }
});
