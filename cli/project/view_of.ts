import type { Catalog } from '#feature_store/definitions/catalog';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { UnknownViewError } from '#feature_store/errors';

/** Returns the view of a catalog with an id such as `fraud@1`. @throws {@link UnknownViewError} */
export function viewOf({ views }: Pick<Catalog, 'views'>, id: string): FeatureView {
  const found = views.find((view) => viewId(view) === id);
  if (found === undefined) throw new UnknownViewError(id, views.map(viewId));
  return found;
}
