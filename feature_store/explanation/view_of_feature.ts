import type { FeatureView } from '../definitions/feature_view.ts';
import { viewId } from '../definitions/values/feature_row.ts';

/** Returns the view of a feature among those of an entity: the newest version of the one that has it. */
export function viewOfFeature(
  views: readonly FeatureView[],
  feature: string,
  id: string | undefined,
): FeatureView | undefined {
  const having = views.filter((view) => Object.hasOwn(view.features, feature));
  if (id !== undefined) return having.find((view) => viewId(view) === id);
  return having.reduce<FeatureView | undefined>(
    (newest, view) => (newest === undefined || view.version > newest.version ? view : newest),
    undefined,
  );
}
