import { account, transactions } from '#examples/fraud/features/transactions';
import type { Feature } from '#feature_store/definitions/feature';
import { type FeatureView, type FeatureViewSpec, featureView } from '#feature_store/definitions/feature_view';

/** A view of accounts over transactions, with these features. */
export const testView = <Name extends string>(
  features: Readonly<Record<Name, Feature>>,
  more: Partial<Omit<FeatureViewSpec<Name>, 'features'>> = {},
): FeatureView<Name> =>
  featureView({
    name: 'v',
    version: 1,
    entity: account,
    source: transactions,
    ttl: '1d',
    owner: 'tests',
    description: 'd',
    features,
    ...more,
  });
