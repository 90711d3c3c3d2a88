import { type Duration, durationMs } from '#kernel/times/duration';
import { type Code, type CodeOptions, codeProblems } from './code_identity.ts';
import { definitionOfKind } from './definition_kind.ts';
import { DefinitionError, definedIn } from './errors.ts';
import {
  type AsOfFeature,
  type ExpressionFeature,
  type Feature,
  LARGEST_TOP,
  LONGEST_SEQUENCE,
  LONGEST_WINDOW_MS,
  type ValueOf,
  type WindowFeature,
} from './feature.ts';
import { aggregationProblem, fieldTypeOf, joinKeyTypeOf, typeProblem } from './field_types.ts';
import { type EventSources, joinProblems, joinSources, type ViewSource } from './joined_sources.ts';
import type { QualityRule } from './rules/quality_rule.ts';
import { contractProblems, type ViewContract } from './rules/view_contract.ts';
import type { Entity, EventSource, JoinKeyType } from './sources/source.ts';
import type { KeyedEntity } from './values/entity_key.ts';
import { type FeatureValue, type ViewReference, viewId } from './values/feature_row.ts';
import { type FeatureType, parseType } from './values/value_type.ts';

/**
 * `streaming`: at each event. `batch`: from the source's history, by `headwater features materialize`. `push`: rows are computed elsewhere and come by `POST /features/push`, in the form of the
 * source's events; the features are fields of a row, and what is computed of them.
 */
export type ComputationMode = 'streaming' | 'batch' | 'push';

/** What a feature view is computed from, and its features. */
export interface FeatureViewSpec<Name extends string> {
  readonly name: string;
  readonly version: number;
  readonly entity: Entity;
  /**
   * Where its events come from; of several sources, `[purchases, refunds]`, the view sees the events of all. Each has the entity's join keys, and a field of one name is of one type in all of them; `event_type` says which an event is of.
   */
  readonly source: EventSource | EventSources;
  /** How long a row may be served after its event. */
  readonly ttl: Duration;
  readonly owner: string;
  readonly description: string;
  /** Words that a catalog is searched by: `pii`, `money`. */
  readonly tags?: readonly string[];
  readonly features: Readonly<Record<Name, Feature>>;
  /** What every row must fulfil, by the rule's name. */
  readonly rules?: Readonly<Record<string, QualityRule>>;
  /** What its rows must be like together: `headwater features check` compares, and the alert `ContractBroken` fires. */
  readonly contract?: ViewContract<Name> | undefined;
  readonly mode?: ComputationMode;
}

declare const ROW: unique symbol;

/** A set of features of one entity, computed from the same events: the unit that is versioned, stored and served together. */
export interface FeatureView<Name extends string = string, Row = Readonly<Record<Name, FeatureValue>>>
  extends ViewReference,
    KeyedEntity {
  /** Only types know it: the values of a row. */
  readonly [ROW]?: Row;
  readonly name: string;
  /** As it was declared. */
  readonly source: EventSource | EventSources;
  /** The same as a list, in order of name. */
  readonly sources: EventSources;
  /** What its events have in common, whatever source they are of. */
  readonly events: ViewSource;
  readonly ttlMs: number;
  readonly owner: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly features: Readonly<Record<Name, Feature>>;
  readonly rules: Readonly<Record<string, QualityRule>>;
  readonly contract: ViewContract | undefined;
  readonly mode: ComputationMode;
  /** Features of other features, in an order in which each one's inputs come first. */
  readonly expressionOrder: readonly Name[];
  /** Those of them that depend on when they are looked at. */
  readonly asOfOrder: readonly Name[];
}

/** Says whether a view is computed from events of a source. */
export const readsSource = ({ sources }: Pick<FeatureView, 'sources'>, name: string): boolean =>
  sources.some((source) => source.name === name);

/** The values of one row of a view, as its features declare them: `{ count_1h: number; top_device: string | null }`. */
export type RowOf<V> = V extends { readonly [ROW]?: infer Row } ? NonNullable<Row> : never;

/** Values by feature. */
export type ValuesOf<F extends Readonly<Record<string, Feature>>> = { readonly [Name in keyof F]: ValueOf<F[Name]> };

const NAME = /^[a-z][a-z0-9_]*$/;

/**
 * Defines a view. Everything else follows from it: the streaming computation, its rows in both stores, training columns, API
 * documents, lineage.
 *
 * @throws {@link DefinitionError} with all problems at once, naming view and feature
 */
export function featureView<F extends Readonly<Record<string, Feature>>>(
  spec: Omit<FeatureViewSpec<keyof F & string>, 'features'> & { readonly features: F },
): FeatureView<keyof F & string, ValuesOf<F>> {
  return createView(spec) as FeatureView<keyof F & string, ValuesOf<F>>;
}

function createView<Name extends string>(spec: FeatureViewSpec<Name>): FeatureView<Name> {
  const { ttl, ...rest } = spec;
  const id = viewId({ view: spec.name, version: spec.version });
  const sources = ([spec.source].flat() as EventSource[]).sort(byName) as unknown as EventSources;
  const problems = joinProblems(sources).map((problem) => `view ${id}: ${problem}`);
  if (sources.length === 0) throw new DefinitionError(problems, definedIn());
  const events = joinSources(sources);
  if (!NAME.test(spec.name)) problems.push(`view "${spec.name}": a name is lower-case letters, digits and _`);
  if (!Number.isInteger(spec.version) || spec.version < 1) problems.push(`view ${id}: version must be 1 or more`);
  for (const { name, schema } of sources) {
    const missingKeys = spec.entity.joinKeys.filter((key) => schema.shape[key] === undefined);
    if (missingKeys.length > 0) problems.push(`view ${id}: join key ${missingKeys} is not a field of ${name}`);
  }
  const joinKeyTypes = spec.entity.joinKeys.map((key) => joinKeyTypeOf(events.schema, key));
  problems.push(...entityProblems(spec.entity, events, joinKeyTypes).map((problem) => `view ${id}: ${problem}`));
  const features = Object.entries<Feature>(spec.features);
  problems.push(...tagProblems(spec.tags ?? []).map((problem) => `view ${id}: ${problem}`));
  if (features.length === 0) problems.push(`view ${id} has no features`);
  for (const [name, feature] of features) {
    if (!NAME.test(name)) problems.push(`view ${id}: feature "${name}" must be lower-case letters, digits and _`);
    problems.push(
      ...problemsOf(feature, events, spec.features).map((problem) => `view ${id}, feature ${name}: ${problem}`),
    );
  }
  for (const [name, rule] of Object.entries(spec.rules ?? {})) {
    const unknown = rule.features.filter((feature) => spec.features[feature as Name] === undefined);
    if (unknown.length > 0) problems.push(`view ${id}, rule ${name}: there is no feature "${unknown.join('", "')}"`);
    problems.push(
      ...codeProblems(rule.holds as Code, rule.code).map((problem) => `view ${id}, rule ${name}: ${problem}`),
    );
  }
  const names = Object.keys(spec.features);
  problems.push(...contractProblems(spec.contract ?? {}, names).map((problem) => `view ${id}, ${problem}`));
  for (const { name, earlier = [], history } of sources) {
    for (const { version, upgrade, uses } of earlier) {
      const found = codeProblems(upgrade as Code, uses === undefined ? {} : { uses });
      problems.push(...found.map((problem) => `view ${id}, source ${name}, upgrade of ${version}: ${problem}`));
    }
    if (spec.mode === 'batch' && history === undefined)
      problems.push(`view ${id} is computed in batch: its source ${name} needs a history`);
  }
  if (spec.mode === 'push') {
    if (sources.length > 1) problems.push(`view ${id}: rows of a view of mode push have the form of one source`);
    const kept = features.filter(([, { kind }]) => kind === 'window' || kind === 'session' || kind === 'previous');
    for (const [name, { kind }] of kept)
      problems.push(
        `view ${id}, feature ${name}: rows of a view of mode push are whole: they keep nothing for a ${kind}`,
      );
  }
  const expressionOrder = orderExpressions(spec.features, (name) =>
    problems.push(`view ${id}, feature ${name}: it depends on itself, directly or through others`),
  );
  if (problems.length > 0) throw new DefinitionError(problems, definedIn());
  const asOfOrder = dependOnTime(spec.features, expressionOrder);
  const { rules = {}, contract, mode = 'streaming', tags = [] } = spec;
  return definitionOfKind('view', {
    ...{
      ...rest,
      sources,
      events,
      rules,
      contract,
      mode,
      tags,
      view: spec.name,
      ttlMs: durationMs(ttl),
      expressionOrder,
      asOfOrder,
    },
    joinKeyTypes: joinKeyTypes as readonly JoinKeyType[],
  });
}

const byName = (a: EventSource, b: EventSource): number => (a.name < b.name ? -1 : 1);

const TAG = /^[a-z0-9][a-z0-9_.:-]{0,63}$/;

function tagProblems(tags: readonly string[]): string[] {
  const problems = tags
    .filter((tag) => !TAG.test(tag))
    .map((tag) => `tag "${tag}" must be lower-case letters, digits, _, -, . and :`);
  return new Set(tags).size < tags.length ? [...problems, 'a tag is given twice'] : problems;
}

function entityProblems(entity: Entity, source: ViewSource, types: readonly (JoinKeyType | undefined)[]): string[] {
  const problems: string[] = [];
  if (!NAME.test(entity.name)) problems.push(`entity "${entity.name}": a name is lower-case letters, digits and _`);
  if (entity.joinKeys.length === 0) problems.push(`entity ${entity.name} has no join keys`);
  for (const [index, key] of entity.joinKeys.entries()) {
    if (types[index] !== undefined || source.schema.shape[key] === undefined) continue;
    problems.push(
      `join key ${key} must be a string, a number, a bigint or a boolean in the schema of ${source.name}: ids are read by its type`,
    );
  }
  return problems;
}

function dependOnTime<Name extends string>(
  features: Readonly<Record<Name, Feature>>,
  order: readonly Name[],
): readonly Name[] {
  const found = new Set<string>();
  for (const name of order) {
    const feature = features[name] as ExpressionFeature | AsOfFeature;
    if (feature.kind === 'as_of' || feature.inputs.some((input) => found.has(input))) found.add(name);
  }
  return order.filter((name) => found.has(name));
}

function problemsOf(feature: Feature, { schema }: ViewSource, all: Readonly<Record<string, Feature>>): string[] {
  const fields = Object.keys(schema.shape);
  const noField = (name: string, besides = ''): string =>
    `there is no field "${name}"${besides}; the source has ${fields.join(', ')}`;
  const problems: (string | undefined)[] = [...problemsOfCode(feature)];
  const type = parseType(feature.type);
  // What follows takes it apart.
  if (typeof type === 'string') return [...problems.filter((problem) => problem !== undefined), type];
  switch (feature.kind) {
    case 'event': {
      const { field, type } = feature;
      if (field === undefined) break;
      problems.push(fields.includes(field) ? typeProblem(schema, field, type) : noField(field));
      break;
    }
    case 'window': {
      const { field } = feature;
      if (field !== undefined) {
        const derived = all[field];
        const isDerived = derived?.kind === 'event' || derived?.kind === 'previous';
        if (!fields.includes(field) && !isDerived) {
          problems.push(noField(field, ' and no feature of single events by that name'));
        }
        const isTyped = isDerived && typeof parseType(derived.type) !== 'string';
        const input = isTyped ? { type: derived.type } : { held: isDerived ? undefined : fieldTypeOf(schema, field) };
        problems.push(aggregationProblem(feature, field, input), listProblem(feature, type.kind));
      }
      if (feature.windowMs > LONGEST_WINDOW_MS) problems.push('the longest window is 366d');
      problems.push(...problemsOfParameter(feature));
      break;
    }
    case 'expression':
    case 'as_of':
      for (const input of feature.inputs) if (all[input] === undefined) problems.push(`there is no feature "${input}"`);
  }
  return problems.filter((problem) => problem !== undefined);
}

/** What a fingerprint would not see of its function, or filter. */
function problemsOfCode(feature: Feature): readonly string[] {
  const fn = feature.kind === 'window' ? feature.where : feature.kind === 'session' ? undefined : feature.compute;
  return fn === undefined ? [] : codeProblems(fn as Code, feature.code as CodeOptions | undefined);
}

/** Several values are a list. */
const listProblem = ({ aggregation, parameter = 1, type }: WindowFeature, kind: string): string | undefined =>
  ['top', 'first', 'last'].includes(aggregation) && parameter > 1 && kind !== 'array'
    ? `${aggregation} gives ${parameter} values, and its type is ${type}: it is array<${type}>`
    : undefined;

function problemsOfParameter({ aggregation, parameter = 1 }: WindowFeature): string[] {
  if (aggregation === 'percentile' && !(parameter >= 0 && parameter <= 1)) {
    return [`a quantile is between 0 and 1, not ${parameter}`];
  }
  const most = aggregation === 'top' ? LARGEST_TOP : LONGEST_SEQUENCE;
  if (
    ['top', 'first', 'last'].includes(aggregation) &&
    !(Number.isInteger(parameter) && parameter >= 1 && parameter <= most)
  ) {
    return [`${aggregation} gives 1 to ${most} values, not ${parameter}`];
  }
  return [];
}

function orderExpressions<Name extends string>(
  features: Readonly<Record<Name, Feature>>,
  onCycle: (name: Name) => void,
): readonly Name[] {
  const ordered: Name[] = [];
  const state = new Map<Name, 'visiting' | 'done'>();
  const visit = (name: Name): void => {
    const feature: Feature | undefined = features[name];
    if (feature === undefined || !isOfFeatures(feature) || state.get(name) === 'done') return;
    if (state.get(name) === 'visiting') {
      onCycle(name);
      return;
    }
    state.set(name, 'visiting');
    for (const input of feature.inputs) visit(input as Name);
    state.set(name, 'done');
    ordered.push(name);
  };
  for (const name of Object.keys(features) as Name[]) visit(name);
  return ordered;
}

const isOfFeatures = (feature: Feature): feature is ExpressionFeature | AsOfFeature =>
  feature.kind === 'expression' || feature.kind === 'as_of';

/** A view as data: for the API, documents, signatures and lineage. */
export interface ViewDescription extends ViewReference {
  /** Absent in descriptions from before there were two. */
  readonly mode?: ComputationMode;
  readonly entity: string;
  readonly joinKeys: readonly string[];
  readonly source: string;
  readonly owner: string;
  readonly description: string;
  /** Absent in descriptions of before there were tags. */
  readonly tags?: readonly string[];
  readonly ttlMs: number;
  readonly rules?: readonly { readonly name: string; readonly description: string; readonly action: string }[];
  readonly features: readonly {
    readonly name: string;
    readonly type: FeatureType;
    readonly description: string;
    readonly kind: Feature['kind'];
    readonly windowMs?: number;
    readonly aggregation?: string;
    readonly field?: string;
    readonly inputs?: readonly string[];
  }[];
}

export function describeView(view: FeatureView): ViewDescription {
  return {
    view: view.view,
    version: view.version,
    mode: view.mode,
    entity: view.entity.name,
    joinKeys: view.entity.joinKeys,
    source: view.events.name,
    owner: view.owner,
    description: view.description,
    tags: view.tags,
    ttlMs: view.ttlMs,
    rules: Object.entries(view.rules).map(([name, { description, action }]) => ({ name, description, action })),
    features: Object.entries(view.features).map(([name, feature]) => ({
      name,
      type: feature.type,
      description: feature.description,
      kind: feature.kind,
      ...detailsOf(feature),
    })),
  };
}

function detailsOf(feature: Feature) {
  switch (feature.kind) {
    case 'window': {
      const { windowMs, aggregation, field, parameter } = feature;
      return {
        windowMs,
        aggregation,
        ...(field === undefined ? {} : { field }),
        ...(parameter === undefined ? {} : { parameter }),
      };
    }
    case 'event':
      return feature.field === undefined ? {} : { field: feature.field };
    case 'session':
      return { windowMs: feature.gapMs, aggregation: feature.measure };
    case 'expression':
    case 'as_of':
      return { inputs: feature.inputs };
    default:
      return {};
  }
}

/**
 * @throws {@link DefinitionError} when two views share name and version, or two views of one entity identify it differently or have a feature of the same
 *   name: the API answers for an entity, and says features by their names
 */
export function checkViews(
  views: readonly (ViewReference & { readonly features: object } & Pick<KeyedEntity, 'entity'> &
    Partial<KeyedEntity>)[],
): void {
  const seen = new Set<string>();
  const problems: string[] = [];
  for (const view of views) {
    const id = viewId(view);
    if (seen.has(id)) problems.push(`two views are called ${id}: give one another name or version`);
    seen.add(id);
  }
  const owners = new Map<string, string>();
  for (const { view, entity, features } of views) {
    for (const feature of Object.keys(features)) {
      const owner = owners.get(`${entity.name} ${feature}`) ?? view;
      if (owner !== view) {
        problems.push(
          `views ${owner} and ${view} of ${entity.name} both have a feature "${feature}": give one another name`,
        );
      }
      owners.set(`${entity.name} ${feature}`, owner);
    }
  }
  problems.push(...identityProblems(views));
  if (problems.length > 0) throw new DefinitionError([...new Set(problems)]);
}

/** Views of one entity must identify it alike: its keys would differ, and its features would not be found together. */
function identityProblems(
  views: readonly (ViewReference & Pick<KeyedEntity, 'entity'> & Partial<KeyedEntity>)[],
): string[] {
  const first = new Map<string, { readonly id: string; readonly identity: string }>();
  return views.flatMap((view) => {
    const { entity, joinKeyTypes } = view;
    // A view that is computed on demand reads no source.
    if (joinKeyTypes === undefined) return [];
    const id = viewId(view);
    const identity = entity.joinKeys.map((key, index) => `${key} (${joinKeyTypes[index]})`).join(', ');
    const held = first.get(entity.name);
    if (held === undefined) first.set(entity.name, { id, identity });
    if (held === undefined || held.identity === identity) return [];
    return [`views ${held.id} and ${id} identify ${entity.name} differently: by ${held.identity} and by ${identity}`];
  });
}
