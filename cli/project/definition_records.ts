import type { DefinitionRecord } from '#feature_store/definition_store/applied_definitions';
import type { Catalog } from '#feature_store/definitions/catalog';
import { type DefinitionSet, definitionSet } from '#feature_store/definitions/sets/definition_set';

/** Returns definitions as the offline store keeps them. */
export const recordsOf = ({ views, onDemand, services, named }: DefinitionSet): readonly DefinitionRecord[] => [
  ...Object.entries(views).map(([id, data]): DefinitionRecord => ({ kind: 'view', id, data })),
  ...Object.entries(onDemand).map(([id, data]): DefinitionRecord => ({ kind: 'on_demand', id, data })),
  ...named.flatMap((id): DefinitionRecord[] => {
    const data = services[id]?.data;
    return data === undefined ? [] : [{ kind: 'service', id, data }];
  }),
];

/** Returns on-demand views and services of a catalog, as the offline store keeps them. */
export const recordsBesideViews = (catalog: Catalog): readonly DefinitionRecord[] =>
  recordsOf(definitionSet(catalog)).filter(({ kind }) => kind !== 'view');
