import { type Code, type CodeOptions, codeProblems } from './code_identity.ts';
import { definitionOfKind } from './definition_kind.ts';
import { DefinitionError, definedIn } from './errors.ts';
import type { FeatureView } from './feature_view.ts';
import type { Entity } from './sources/source.ts';
import { type ComputedValue, type FeatureValue, type ViewReference, viewId } from './values/feature_row.ts';
import type { FeatureType } from './values/value_type.ts';

/** Some features of a view; all of them when none is named. */
export interface ViewColumns<Name extends string = string> {
  readonly view: FeatureView;
  readonly names: readonly Name[];
}

/**
 * Chooses features of a view for a service.
 *
 * @throws {@link DefinitionError} when the view has no such feature
 */
export function columns<Name extends string>(view: FeatureView<Name>, ...names: readonly Name[]): ViewColumns<Name> {
  const unknown = names.filter((name) => view.features[name] === undefined);
  if (unknown.length > 0) {
    throw new DefinitionError([`view ${viewId(view)} has no feature "${unknown.join('", "')}"`], definedIn());
  }
  return { view: view as FeatureView, names: names.length === 0 ? (Object.keys(view.features) as Name[]) : names };
}

/** Computed at the request, from stored features and what the request brings. */
export interface OnDemandFeature {
  readonly kind: 'on_demand';
  readonly type: FeatureType;
  readonly description: string;
  /** @param asOfMs - the time of the request; the label's time in training sets */
  readonly compute: (values: Readonly<Record<string, FeatureValue>>, asOfMs: number) => ComputedValue;
  /** What the source of its function does not show. */
  readonly code?: CodeOptions | undefined;
}

/** Defines a feature of an on-demand view: a function of its inputs. */
export const onDemand = (
  type: FeatureType,
  description: string,
  compute: OnDemandFeature['compute'],
  code?: CodeOptions,
): OnDemandFeature => ({ kind: 'on_demand', type, description, compute, code });

/** Features that are computed from a request and from other features when they are read. */
export interface OnDemandViewSpec<Name extends string> {
  readonly name: string;
  readonly version: number;
  readonly entity: Entity;
  readonly owner: string;
  readonly description: string;
  /** Stored features that it is computed from. */
  readonly inputs: readonly ViewColumns[];
  /** Fields that a request must bring, by name. */
  readonly request: Readonly<Record<string, FeatureType>>;
  readonly features: Readonly<Record<Name, OnDemandFeature>>;
}

/** Features that are stored nowhere: the same function computes them for a request and for a row of a training set. */
export interface OnDemandView<Name extends string = string> extends OnDemandViewSpec<Name>, ViewReference {
  readonly kind: 'on_demand';
}

/**
 * Defines a view whose features are computed when they are read.
 *
 * @throws {@link DefinitionError} with all problems at once, naming view and feature
 */
export function onDemandView<Name extends string>(spec: OnDemandViewSpec<Name>): OnDemandView<Name> {
  const id = viewId({ view: spec.name, version: spec.version });
  const problems: string[] = [];
  const known = new Set<string>();
  const take = (name: string, what: string): void => {
    if (known.has(name)) problems.push(`view ${id}: two things are called "${name}", one of them ${what}`);
    known.add(name);
  };
  for (const { view, names } of spec.inputs) {
    if (view.entity.name !== spec.entity.name) {
      problems.push(`view ${id} is of ${spec.entity.name}, its input ${viewId(view)} of ${view.entity.name}`);
    }
    for (const name of names) take(name, `a feature of ${viewId(view)}`);
  }
  for (const name of Object.keys(spec.request)) take(name, 'a field of the request');
  for (const [name, { compute, code }] of Object.entries<OnDemandFeature>(spec.features)) {
    take(name, 'a feature of its own');
    problems.push(...codeProblems(compute as Code, code).map((problem) => `view ${id}, feature ${name}: ${problem}`));
  }
  if (problems.length > 0) throw new DefinitionError(problems, definedIn());
  return definitionOfKind('on_demand', { ...spec, kind: 'on_demand', view: spec.name });
}
