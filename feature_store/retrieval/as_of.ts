import type { AsOfFeature, ExpressionFeature } from '#feature_store/definitions/feature';
import { type FeatureValue, finite } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';

type Values = Readonly<Record<string, FeatureValue>>;

/**
 * A stored row's values as whoever looks at `asOfMs` sees them: features that depend on when they are looked at, such as the time since the
 * last event, are computed for that time; the API and serving do so for now, training sets for the label's time.
 */
export function valuesAsOf({ features, asOfOrder }: FeatureView, values: Values, asOfMs: number): Values {
  if (asOfOrder.length === 0) return values;
  const seen: Record<string, FeatureValue> = { ...values };
  for (const name of asOfOrder) {
    seen[name] = finite((features[name] as AsOfFeature | ExpressionFeature).compute(seen, asOfMs));
  }
  return seen;
}
