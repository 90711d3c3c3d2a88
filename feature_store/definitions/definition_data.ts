import { createHash } from 'node:crypto';
import { canonicalJson } from '#kernel/json';
import { type Code, type CodeDescription, type CodeOptions, describeCode, fieldsRead } from './code_identity.ts';
import type { Feature } from './feature.ts';
import type { FeatureView } from './feature_view.ts';
import type { ViewSource } from './joined_sources.ts';
import type { OnDemandView } from './on_demand.ts';
import { describeSchema } from './schema_description.ts';
import type { EventSource } from './sources/source.ts';
import { viewId } from './values/feature_row.ts';

// Definitions as data: what a fingerprint is made of, what the offline store keeps of what was applied, and what a model keeps of what it was trained on.

/** Everything that decides a feature's value, besides what its view shares and the features it is computed from. */
export interface FeatureData {
  readonly type: string;
  readonly kind: string;
  readonly aggregation?: string;
  /** The field or feature that is aggregated. */
  readonly of?: string;
  readonly parameter?: number;
  readonly windowMs?: number;
  readonly gapMs?: number;
  readonly measure?: string;
  /** Features that it is computed from, in order of name. */
  readonly inputs?: readonly string[];
  readonly compute?: CodeDescription;
  readonly where?: CodeDescription;
  /** The event fields that it reads, with their schemas. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** How the events of a source are read. */
interface SourceData {
  readonly source: string;
  readonly eventTypes: readonly string[];
  readonly eventIdField: string;
  readonly timestampField: string;
  /** Fields that ids are made of. */
  readonly idFields?: readonly string[];
  /** Of times that are numbers. */
  readonly timestampUnit?: string;
  /** How events of earlier versions are made into those of the newest. */
  readonly upgrades?: Readonly<Record<string, CodeDescription>>;
}

/** What all features of a view have in common. Of several sources, `source` and `eventTypes` are those of all, the rest of {@link SourceData} is the first's. */
export interface SharedData extends SourceData {
  readonly entity: string;
  readonly joinKeys: readonly string[];
  /** Schemas of the join keys. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** The sources after the first. */
  readonly otherSources?: readonly SourceData[];
  readonly ttlMs: number;
  /** Those that keep rows from being written. */
  readonly rules?: readonly RuleData[];
}

interface RuleData {
  readonly holds: CodeDescription;
  readonly features: Readonly<Record<string, string>>;
}

export interface ViewData {
  readonly shared: SharedData;
  readonly features: Readonly<Record<string, FeatureData>>;
}

/** A view of features that are computed on demand. */
export interface OnDemandData {
  readonly entity: string;
  readonly joinKeys: readonly string[];
  /** The stored features that its functions see, by view. */
  readonly inputs: Readonly<Record<string, readonly string[]>>;
  readonly request: Readonly<Record<string, string>>;
  readonly features: Readonly<Record<string, FeatureData>>;
}

type Features = Readonly<Record<string, FeatureData>>;

/** Returns sixteen hexadecimal digits of SHA-256: equal for data of one meaning. Sources of functions, which differ from compiler to compiler, do not count. */
export const dataFingerprint = (data: unknown): string =>
  createHash('sha256')
    .update(canonicalJson(withoutSources(data)))
    .digest('hex')
    .slice(0, 16);

function withoutSources(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(withoutSources);
  if (typeof data !== 'object' || data === null) return data;
  const entries = Object.entries(data).filter(
    ([key, value]) => value !== undefined && !(key === 'source' && 'code' in data),
  );
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutSources(value)]));
}

const known = new WeakMap<FeatureView, ViewData>();

/** Returns all that decides the values of a view. */
export function viewData(view: FeatureView): ViewData {
  let data = known.get(view);
  if (data === undefined) {
    const features = Object.entries<Feature>(view.features).map(([name, feature]) => [
      name,
      featureData(feature, view),
    ]);
    const all = Object.fromEntries(features) as Features;
    data = { shared: sharedData(view, all), features: all };
    known.set(view, data);
  }
  return data;
}

function sharedData(view: FeatureView, features: Features): SharedData {
  const { entity, events, sources, ttlMs } = view;
  const [first, ...others] = sources;
  const rules = Object.values(view.rules)
    .filter(({ action }) => action !== 'warn')
    .map((rule): RuleData => {
      const looked = rule.features.map((name) => [name, dataFingerprint(withInputs(features, [name]))]);
      return { holds: describeCode(rule.holds as Code, rule.code), features: Object.fromEntries(looked) };
    })
    .sort((a, b) => (dataFingerprint(a) < dataFingerprint(b) ? -1 : 1));
  return {
    entity: entity.name,
    joinKeys: entity.joinKeys,
    ...{ ...sourceData(first), source: events.name, eventTypes: [...events.eventTypes].sort() },
    ...(others.length === 0 ? {} : { otherSources: others.map(sourceData) }),
    keys: fieldSchemas(events, entity.joinKeys),
    ttlMs,
    ...(rules.length === 0 ? {} : { rules }),
  };
}

function sourceData(source: EventSource): SourceData {
  const upgrades = (source.earlier ?? []).map(({ version, upgrade, uses }) => [
    `${version}`,
    describeCode(upgrade as Code, uses === undefined ? {} : { uses }),
  ]);
  return {
    source: source.name,
    eventTypes: [...source.eventTypes].sort(),
    eventIdField: source.eventIdField,
    timestampField: source.timestampField,
    ...(source.idFields === undefined ? {} : { idFields: source.idFields }),
    ...(source.timestampUnit === undefined ? {} : { timestampUnit: source.timestampUnit }),
    ...(upgrades.length === 0 ? {} : { upgrades: Object.fromEntries(upgrades) }),
  };
}

const fieldSchemas = (
  { schema }: ViewSource,
  names: readonly string[] | undefined,
): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    (names ?? Object.keys(schema.shape))
      .filter((name) => schema.shape[name] !== undefined)
      .map((name) => [name, describeSchema(schema.shape[name])]),
  );

function featureData(feature: Feature, { events, features }: FeatureView): FeatureData {
  const { type, kind } = feature;
  switch (feature.kind) {
    case 'event':
    case 'previous': {
      const { compute, code } = feature as { readonly compute: Code; readonly code?: CodeOptions };
      return { type, kind, compute: describeCode(compute, code), fields: fieldSchemas(events, eventFields(feature)) };
    }
    case 'window': {
      const { aggregation, field, parameter, windowMs, where, code } = feature;
      const filtered = where === undefined ? [] : fieldsRead(where as Code, 0, code);
      const own = field === undefined || features[field] !== undefined ? [] : [field];
      return {
        ...{ type, kind, aggregation, windowMs },
        ...(field === undefined ? {} : { of: field }),
        ...(parameter === undefined ? {} : { parameter }),
        ...(where === undefined ? {} : { where: describeCode(where as Code, code) }),
        fields: fieldSchemas(events, filtered === undefined ? undefined : [...own, ...filtered]),
      };
    }
    case 'session':
      return { type, kind, measure: feature.measure, gapMs: feature.gapMs };
    case 'expression':
    case 'as_of': {
      const { inputs, compute, code } = feature;
      return { type, kind, inputs: [...inputs].sort(), compute: describeCode(compute as Code, code) };
    }
  }
}

/** Fields that a function of events reads; undefined: any. */
function eventFields(feature: Extract<Feature, { kind: 'event' | 'previous' }>): readonly string[] | undefined {
  const { compute, code } = feature;
  if (feature.kind === 'event' && feature.field !== undefined && code?.uses?.name === feature.field)
    return [feature.field];
  const now = fieldsRead(compute as Code, 0, code);
  const before = feature.kind === 'previous' ? previousFields(compute as Code, code) : [];
  return now === undefined || before === undefined ? undefined : [...now, ...before];
}

const previousFields = (compute: Code, code: CodeOptions | undefined): readonly string[] | undefined =>
  fieldsRead(compute, 2, code, ['event']);

/** Features that a feature is computed from. */
const inputsOf = ({ inputs = [], of }: FeatureData): readonly string[] => (of === undefined ? inputs : [of]);

/** The features of these names, and all that they are computed from. */
export function withInputs(features: Features, names: readonly string[]): Features {
  const found: Record<string, FeatureData> = {};
  const visit = (name: string): void => {
    const feature = features[name];
    if (feature === undefined || found[name] !== undefined) return;
    found[name] = feature;
    inputsOf(feature).forEach(visit);
  };
  names.forEach(visit);
  return found;
}

/** Returns some features of a view with all that decides their values. */
export const partOfView = (view: ViewData, names: readonly string[]): ViewData => ({
  shared: view.shared,
  features: withInputs(view.features, names),
});

export const featureFingerprint = (view: ViewData, name: string): string =>
  dataFingerprint([name, partOfView(view, [name])]);

export function onDemandData({ entity, inputs, request, features }: OnDemandView): OnDemandData {
  const own = Object.entries(features).map(([name, { type, kind, compute, code }]) => [
    name,
    { type, kind, compute: describeCode(compute as Code, code) },
  ]);
  return {
    entity: entity.name,
    joinKeys: entity.joinKeys,
    inputs: Object.fromEntries(inputs.map(({ view, names }) => [viewId(view), [...names].sort()])),
    request,
    features: Object.fromEntries(own),
  };
}
