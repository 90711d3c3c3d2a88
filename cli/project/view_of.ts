import { viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { UnknownViewError } from '#feature_store/errors';
import { loadProject } from './project.ts';

/** Returns the view of the project with an id such as `fraud@1`. @throws {@link UnknownViewError} */
export async function viewOf(id: string): Promise<FeatureView> {
  const { views } = (await loadProject()).catalog;
  const found = views.find((view) => viewId(view) === id);
  if (found === undefined) throw new UnknownViewError(id, views.map(viewId));
  return found;
}
