import type { DefinitionRecord } from '#feature_store/definition_store/applied_definitions';
import { type DefinitionSet, definitionSet } from '#feature_store/definitions/definition_set';
import { viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { UnknownViewError } from '#feature_store/errors';
import { ON_DEMAND_VIEWS, SERVICES, VIEWS } from '#feature_store/views/catalog';

/** Returns the definitions of the code as data. */
export const catalogDefinitions = (): DefinitionSet =>
  definitionSet({ views: VIEWS, onDemand: ON_DEMAND_VIEWS, services: SERVICES });

/** Returns definitions as the offline store keeps them. */
export const recordsOf = ({ views, onDemand, services, named }: DefinitionSet): readonly DefinitionRecord[] => [
  ...Object.entries(views).map(([id, data]): DefinitionRecord => ({ kind: 'view', id, data })),
  ...Object.entries(onDemand).map(([id, data]): DefinitionRecord => ({ kind: 'on_demand', id, data })),
  ...named.flatMap((id): DefinitionRecord[] => {
    const data = services[id]?.data;
    return data === undefined ? [] : [{ kind: 'service', id, data }];
  }),
];

/** Returns on-demand views and services of the code, as the offline store keeps them. */
export const recordsBesideViews = (): readonly DefinitionRecord[] =>
  recordsOf(catalogDefinitions()).filter(({ kind }) => kind !== 'view');

/** Returns the view with an id such as `fraud@1`. @throws {@link UnknownViewError} */
export function viewOf(id: string): FeatureView {
  const found = VIEWS.find((view) => viewId(view) === id);
  if (found === undefined) throw new UnknownViewError(id, VIEWS.map(viewId));
  return found;
}
