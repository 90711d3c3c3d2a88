import {
  dataFingerprint,
  type OnDemandData,
  onDemandData,
  partOfView,
  type ViewData,
  viewData,
} from './definition_data.ts';
import { definitionOfKind } from './definition_kind.ts';
import { DefinitionError, definedIn } from './errors.ts';
import type { FeatureView } from './feature_view.ts';
import type { OnDemandView, ViewColumns } from './on_demand.ts';
import type { Entity, JoinKeyType } from './sources/source.ts';
import type { KeyedEntity } from './values/entity_key.ts';
import { viewId } from './values/feature_row.ts';
import type { FeatureType } from './values/value_type.ts';

/** The columns that a model uses, of one or more views of an entity. */
export interface FeatureServiceSpec<Part extends ViewColumns | OnDemandView = ViewColumns | OnDemandView> {
  readonly name: string;
  readonly version: number;
  readonly owner: string;
  readonly description: string;
  /** The columns, in this order. */
  readonly features: readonly Part[];
  /** Whether an entity of which nothing is stored is refused, or gets missing values, and what on-demand features make of them. */
  readonly unknownEntities?: 'refuse' | 'defaults';
}

export interface ServiceColumn {
  readonly name: string;
  readonly type: FeatureType;
  /** `fraud@1` */
  readonly view: string;
}

/** What a service says of itself: kept with each training set and each model made from it. */
export interface ServiceSignature {
  /** `fraud_scoring@1` */
  readonly service: string;
  readonly entity: string;
  readonly joinKeys: readonly string[];
  readonly columns: readonly ServiceColumn[];
  /** What a request must bring, for features computed on demand. */
  readonly request: readonly { readonly name: string; readonly type: FeatureType }[];
  /** Changes when anything does that changes values, and with nothing else. */
  readonly fingerprint: string;
}

/** All that decides what a service answers, as data: kept with training sets and models, so that a difference can be named. */
export interface ServiceData {
  readonly unknownEntities: string;
  /** View by column. */
  readonly columns: Readonly<Record<string, string>>;
  readonly views: Readonly<Record<string, ViewData>>;
  readonly onDemand: Readonly<Record<string, OnDemandData>>;
}

declare const COLUMN_NAMES: unique symbol;

/** Names of the columns that a part of a service brings. */
export type ColumnsOf<Part> =
  Part extends OnDemandView<infer Name> ? Name : Part extends ViewColumns<infer Name> ? Name : never;

/** The features one model uses, of one entity: read, joined and versioned together. */
export interface FeatureService<Name extends string = string> extends KeyedEntity {
  /** Only types know it: the names of the columns. */
  readonly [COLUMN_NAMES]?: Name;
  readonly name: string;
  readonly version: number;
  readonly owner: string;
  readonly description: string;
  readonly columns: readonly ServiceColumn[];
  /** Views that have to be read, those that only on-demand features need among them, with what is needed of each. */
  readonly stored: readonly ViewColumns[];
  readonly onDemand: readonly OnDemandView[];
  readonly unknownEntities: 'refuse' | 'defaults';
  readonly signature: ServiceSignature;
  readonly data: ServiceData;
}

/**
 * Defines a feature service: the columns that a model uses, under a name and version.
 *
 * @throws {@link DefinitionError} when its columns are of several entities, or two have one name
 */
export function featureService<const Part extends ViewColumns | OnDemandView>(
  spec: FeatureServiceSpec<Part>,
): FeatureService<ColumnsOf<Part>> {
  const id = `${spec.name}@${spec.version}`;
  const problems: string[] = [];
  const columns: ServiceColumn[] = [];
  const stored = new Map<FeatureView, string[]>();
  const onDemand: OnDemandView[] = [];
  const entities = new Map<string, Entity>();
  const request = new Map<string, FeatureType>();
  const need = ({ view, names }: ViewColumns): void => {
    const needed = stored.get(view) ?? [];
    stored.set(view, [...needed, ...names.filter((name) => !needed.includes(name))]);
  };
  const add = (name: string, type: FeatureType, view: string): void => {
    const other = columns.find((column) => column.name === name);
    if (other !== undefined) {
      problems.push(
        `service ${id}: "${name}" comes from ${other.view} and from ${view}: choose one of them with columns()`,
      );
    }
    columns.push({ name, type, view });
  };
  for (const part of spec.features) {
    if ('kind' in part) {
      onDemand.push(part);
      entities.set(part.entity.name, part.entity);
      for (const input of part.inputs) need(input);
      for (const [name, type] of Object.entries(part.request)) {
        const held = request.get(name);
        if (held !== undefined && held !== type)
          problems.push(`service ${id}: request field "${name}" is ${held} and ${type}`);
        request.set(name, type);
      }
      for (const [name, { type }] of Object.entries(part.features)) add(name, type, viewId(part));
    } else {
      entities.set(part.view.entity.name, part.view.entity);
      need(part);
      for (const name of part.names)
        add(name, (part.view.features[name] as { type: FeatureType }).type, viewId(part.view));
    }
  }
  const [entity, ...others] = entities.values();
  if (entity === undefined) problems.push(`service ${id} has no features`);
  if (others.length > 0) problems.push(`service ${id} is of several entities: ${[...entities.keys()].join(', ')}`);
  if (entity === undefined || problems.length > 0) throw new DefinitionError(problems, definedIn());
  const views = [...stored].map(([view, names]) => ({ view, names }));
  const fields = [...request].map(([name, type]) => ({ name, type }));
  const { name: entityName, joinKeys } = entity;
  const described = { service: id, entity: entityName, joinKeys, columns, request: fields };
  const { unknownEntities = 'refuse' } = spec;
  const data: ServiceData = {
    unknownEntities,
    columns: Object.fromEntries(columns.map(({ name, view }) => [name, view])),
    views: Object.fromEntries(views.map(({ view, names }) => [viewId(view), partOfView(viewData(view), names)])),
    onDemand: Object.fromEntries(onDemand.map((view) => [viewId(view), onDemandData(view)])),
  };
  const fingerprint = dataFingerprint([id, data]);
  return definitionOfKind('service', {
    ...spec,
    unknownEntities,
    data,
    entity,
    // What reads no stored view takes ids as they are written.
    joinKeyTypes: views[0]?.view.joinKeyTypes ?? joinKeys.map((): JoinKeyType => 'string'),
    columns,
    stored: views,
    onDemand,
    signature: { ...described, fingerprint },
  });
}

/** A view, whole, as a service of its own: `fraud@1`. */
const implicit = new WeakMap<FeatureView, FeatureService>();
export function serviceOfView(view: FeatureView): FeatureService {
  let service = implicit.get(view);
  if (service === undefined) {
    const { name, version, owner, description } = view;
    const features = [{ view, names: Object.keys(view.features) }];
    service = featureService({ name, version, owner, description, features });
    implicit.set(view, service);
  }
  return service;
}

/** Services by their ids, views as services of their own among them. */
export const servicesById = (definitions: {
  readonly views: readonly FeatureView[];
  readonly services: readonly FeatureService[];
}): ReadonlyMap<string, FeatureService> =>
  new Map(
    [...definitions.views.map(serviceOfView), ...definitions.services].map((each) => [each.signature.service, each]),
  );

/** @throws {@link DefinitionError} when two services have one name and version, or one has the name of a view */
export function checkServices(services: readonly FeatureService[], viewIds: readonly string[]): void {
  const seen = new Set<string>(viewIds);
  const problems: string[] = [];
  for (const { signature } of services) {
    if (seen.has(signature.service)) problems.push(`two services or views are called ${signature.service}`);
    seen.add(signature.service);
  }
  if (problems.length > 0) throw new DefinitionError(problems);
}
