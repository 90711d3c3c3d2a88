import { expect, test } from '@jest/globals';
import { fraudView } from '#examples/fraud/features/fraud';
import { account, transactions } from '#examples/fraud/features/transactions';
import { count, sum } from '#feature_store/definitions/aggregations';
import { expression, field } from '#feature_store/definitions/feature';
import { checkViews, describeView, featureView } from '#feature_store/definitions/feature_view';

const base = {
  name: 'v',
  version: 1,
  entity: account,
  source: transactions,
  ttl: '1d',
  owner: 'tests',
  description: 'd',
} as const;
const number = () => 1;

test('all problems of a view are listed at once, with view and feature', () => {
  const define = () =>
    featureView({
      ...base,
      entity: { name: 'shop', joinKeys: ['shop_id'] },
      features: {
        ...sum('amuont').over('1h'),
        'Bad Name': field('amount', 'double', ''),
        a: expression(['b'], 'double', '', number),
        b: expression(['a', 'nothing'], 'double', '', number),
        ...count().over('400d'),
      },
    });
  expect(define).toThrow(
    /join key shop_id is not a field of transactions[\s\S]*v@1, feature sum_amuont_1h: there is no field "amuont"[\s\S]*"Bad Name" must be lower-case[\s\S]*feature b: there is no feature "nothing"[\s\S]*longest window is 366d[\s\S]*depends on itself/,
  );
});

test('a type that its field does not hold is refused, and so is a sum of texts; the file is named', () => {
  const define = () =>
    featureView({
      ...base,
      features: {
        amount: field('amount', 'string', ''),
        country: field('country', 'long', ''),
        nowhere: field('amuont', 'double', ''),
        odd: field('amount', 'doubel' as 'double', ''),
        category: field('merchant_category', 'string', ''),
        ...sum('merchant_id').over('1h'),
        ...sum('category').over('1h'),
        ...sum('nowhere').over('1h'),
      },
    });
  expect(define).toThrow(
    /definitions in test\/unit\/feature_store\/definitions\/feature_view\.test\.ts have[\s\S]*feature amount: it is string, and field amount holds a number[\s\S]*feature country: it is long, and field country holds a string[\s\S]*feature nowhere: there is no field "amuont"[\s\S]*"doubel" is no type: double, long, int64, boolean, string, timestamp, bytes, decimal[\s\S]*sum_merchant_id_1h: sum is of numbers, and merchant_id is a string[\s\S]*sum_category_1h: sum is of numbers, and category is a string/,
  );
});

test('expressions come after what they are computed from', () => {
  const view = featureView({
    ...base,
    features: {
      c: expression(['b'], 'double', '', number),
      b: expression(['a'], 'double', '', number),
      a: field('amount', 'double', ''),
    },
  });
  expect(view.expressionOrder).toEqual(['b', 'c']);
});

test('two views of one name and version are refused, two versions are not', () => {
  const view = (version: number) => featureView({ ...base, version, features: count().over('1h') });
  expect(() => checkViews([view(1), view(1)])).toThrow('two views are called v@1');
  expect(() => checkViews([view(1), view(2)])).not.toThrow();
});

test('the fraud view has what a fraud model needs, each with a description', () => {
  const { features } = describeView(fraudView);
  expect(features.length).toBeGreaterThanOrEqual(25);
  expect(features.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'amount',
      'merchant_category',
      'count_1h',
      'sum_amount_24h',
      'amount_deviation',
      'risk_score',
    ]),
  );
  for (const { description } of features) expect(description.length).toBeGreaterThan(10);
});
