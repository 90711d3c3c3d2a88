import type { Feature } from '../feature.ts';
import type { FeatureView, ViewDescription } from '../feature_view.ts';
import { viewId } from '../values/feature_row.ts';

/** Where a feature's value comes from. */
export interface FeatureLineage {
  readonly feature: string;
  /** `fraud@1` */
  readonly view: string;
  readonly entity: string;
  /** Features it is computed from, and those that these are computed from, nearest first. */
  readonly features: readonly string[];
  /** Event fields that it is computed from; `*` when it is given the whole event. */
  readonly fields: readonly string[];
  readonly source: string;
  readonly eventTypes: readonly string[];
}

/** @returns undefined when the view has no such feature */
export function lineageOf(view: FeatureView, name: string): FeatureLineage | undefined {
  if (!Object.hasOwn(view.features, name)) return undefined;
  const features = new Set<string>();
  const fields = new Set<string>();
  const visit = (at: string): void => {
    for (const input of inputsOf(view.features[at] as Feature)) {
      if (Object.hasOwn(view.features, input) && input !== at) {
        if (features.has(input)) continue;
        features.add(input);
        visit(input);
      } else fields.add(input);
    }
  };
  visit(name);
  const { events, entity } = view;
  return {
    feature: name,
    view: viewId(view),
    entity: entity.name,
    features: [...features],
    fields: [...fields],
    source: events.name,
    eventTypes: events.eventTypes,
  };
}

function inputsOf(feature: Feature): readonly string[] {
  switch (feature.kind) {
    case 'expression':
    case 'as_of':
      return feature.inputs;
    case 'window':
      return [feature.field, feature.where === undefined ? undefined : '*'].filter((input) => input !== undefined);
    case 'session':
      return [];
    case 'event':
      return [feature.field ?? '*'];
    default:
      return ['*'];
  }
}

/** What is different about a feature in another version of its view. */
export interface FeatureChange {
  readonly feature: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** For those changed: what was, and what is. */
  readonly detail?: string;
  /** Who reads the earlier version could not read this one. */
  readonly isBreaking: boolean;
}

/** Changes from one description of a view to another; formulas are not compared, only what can be seen of them. */
export function changesBetween(before: ViewDescription, after: ViewDescription): readonly FeatureChange[] {
  const earlier = new Map(before.features.map((feature) => [feature.name, feature]));
  const later = new Map(after.features.map((feature) => [feature.name, feature]));
  const changes: FeatureChange[] = [];
  for (const [name, was] of earlier) {
    const is = later.get(name);
    if (is === undefined) {
      changes.push({ feature: name, change: 'removed', isBreaking: true });
      continue;
    }
    const { description: _, ...wasWithout } = was;
    const { description: __, ...isWithout } = is;
    const details = Object.keys({ ...wasWithout, ...isWithout }).flatMap((key) => {
      const [a, b] = [wasWithout, isWithout].map((side) => JSON.stringify((side as Record<string, unknown>)[key]));
      // Descriptions of before did not say which field an event feature is.
      const isNewlySaid = a === undefined && key === 'field' && was.kind === 'event';
      return a === b || isNewlySaid ? [] : [`${key} was ${a ?? 'nothing'}, is ${b ?? 'nothing'}`];
    });
    if (details.length > 0) {
      changes.push({ feature: name, change: 'changed', detail: details.join('; '), isBreaking: true });
    } else if (was.description !== is.description) {
      const detail = `"${was.description}" has become "${is.description}"`;
      changes.push({ feature: name, change: 'changed', detail, isBreaking: false });
    }
  }
  for (const name of later.keys()) {
    if (!earlier.has(name)) changes.push({ feature: name, change: 'added', isBreaking: false });
  }
  return changes;
}

/** Changes of the view itself, which no version of it may have. */
export function identityChanges(before: ViewDescription, after: ViewDescription): readonly string[] {
  return (['entity', 'joinKeys', 'source'] as const).flatMap((key) => {
    const [a, b] = [JSON.stringify(before[key]), JSON.stringify(after[key])];
    return a === b ? [] : [`${key} was ${a}, is ${b}`];
  });
}
