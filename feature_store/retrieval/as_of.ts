import type { AsOfFeature, ExpressionFeature } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { declaredValue } from '#feature_store/definitions/values/declared_value';
import { type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { FeatureComputationError } from '../errors.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/**
 * A stored row's values as a reader at `asOfMs` sees them: features that depend on when they are looked at, such as the time since the
 * last event, are computed for that time; the API and serving do so for now, training sets for the label's time.
 */
export function valuesAsOf(view: FeatureView, values: Values, asOfMs: number): Values {
  const { features, asOfOrder } = view;
  if (asOfOrder.length === 0) return values;
  const seen: Record<string, FeatureValue> = { ...values };
  for (const name of asOfOrder) {
    const { type, compute } = features[name] as AsOfFeature | ExpressionFeature;
    try {
      seen[name] = declaredValue(type, compute(seen, asOfMs));
    } catch (error) {
      throw new FeatureComputationError(viewId(view), name, error);
    }
  }
  return seen;
}
