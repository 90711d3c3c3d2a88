import { type DefinitionSet, definitionSet } from '#feature_store/definitions/definition_set';
import type { DefinitionRecord } from '#feature_store/offline/applied_definitions';
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
