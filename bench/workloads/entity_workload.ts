import { account, transactions } from '#examples/fraud/features/transactions';
import { fromEvent } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { COLUMNS } from './serving_workload.ts';

/** What is stored of an entity. */
export const FEATURES = COLUMNS.slice(0, 15);

/** The view that the bench model names as its feature service. */
export const entityView: FeatureView = featureView({
  ...{ name: 'bench', version: 1, entity: account, source: transactions, ttl: '1d', owner: 'bench' },
  description: 'Fifteen numbers of an entity',
  features: Object.fromEntries(FEATURES.map((name) => [name, fromEvent('double', 'a number', () => 0)])),
});
