import { type OnDemandData, type ViewData, withInputs } from '../definition_data.ts';
import type { ServiceData } from '../feature_service.ts';
import {
  type Difference,
  describeDifference,
  onDemandDifferences,
  serviceDifferences,
  viewDifferences,
} from './definition_changes.ts';
import type { DefinitionSet } from './definition_set.ts';

export type DefinitionKind = 'view' | 'on_demand' | 'service';

/** What of a view's history is to be computed: the whole view, or some of its features beside the others. */
export type NeededHistory = 'view' | readonly string[];

/** A definition that differs from what was applied. */
export interface PlannedChange {
  readonly kind: DefinitionKind;
  readonly id: string;
  readonly change: 'new' | 'changed' | 'removed';
  /** Readers and models of what is in use would miss something, or read something else. */
  readonly isBreaking: boolean;
  readonly differences: readonly Difference[];
  /** Undefined: nothing is to be computed. */
  readonly history: NeededHistory | undefined;
}

/** Definitions by id. */
export interface Definitions {
  readonly views: Readonly<Record<string, ViewData>>;
  readonly onDemand: Readonly<Record<string, OnDemandData>>;
  readonly services: Readonly<Record<string, ServiceData>>;
}

/** What a store knows: what rows are written with, and what of it was applied. */
export interface KnownDefinitions {
  readonly inUse: Definitions;
  readonly applied: Definitions;
}

/** The definitions of a set, services that are views of their own left out. */
export const definitionsOfSet = ({ views, onDemand, services, named }: DefinitionSet): Definitions => ({
  views,
  onDemand,
  services: Object.fromEntries(named.map((id) => [id, services[id]?.data as ServiceData])),
});

/** Returns what changes from the definitions of a store to others, in the order views, on-demand views, services. */
export const changesOf = ({ inUse, applied }: KnownDefinitions, next: Definitions): readonly PlannedChange[] => [
  ...changesOfKind('view', inUse.views, applied.views, next.views, viewDifferences),
  ...changesOfKind('on_demand', inUse.onDemand, applied.onDemand, next.onDemand, onDemandDifferences),
  ...changesOfKind('service', inUse.services, applied.services, next.services, ownDifferences),
];

/** Differences of the service itself; those of its views are listed with the views. */
function ownDifferences(id: string, was: ServiceData, is: ServiceData): readonly Difference[] {
  const alone = (data: ServiceData): ServiceData => ({ ...data, views: {}, onDemand: {} });
  const added = Object.keys(is.columns).filter((name) => was.columns[name] === undefined);
  return [
    ...serviceDifferences(id, alone(was), alone(is)),
    ...added.map((feature): Difference => ({ of: id, feature, change: 'added' })),
  ];
}

const isBreaking = (differences: readonly Difference[]): boolean =>
  differences.some(({ change }) => change !== 'added');

function changesOfKind<T>(
  kind: DefinitionKind,
  inUse: Readonly<Record<string, T>>,
  applied: Readonly<Record<string, T>>,
  next: Readonly<Record<string, T>>,
  differencesOf: (id: string, was: T, is: T) => readonly Difference[],
): readonly PlannedChange[] {
  return [...new Set([...Object.keys(inUse), ...Object.keys(next)])].sort().flatMap((id): PlannedChange[] => {
    const [used, before, after] = [inUse[id], applied[id], next[id]];
    if (after === undefined) {
      return [{ kind, id, change: 'removed', isBreaking: true, differences: [], history: undefined }];
    }
    const breaking =
      used === undefined ? [] : differencesOf(id, used, after).filter(({ change }) => change !== 'added');
    if (before === undefined) {
      const history = kind === 'view' ? 'view' : undefined;
      return [{ kind, id, change: 'new', isBreaking: isBreaking(breaking), differences: breaking, history }];
    }
    const differences = differencesOf(id, before, after);
    if (differences.length === 0 && breaking.length === 0) return [];
    return [
      {
        ...{ kind, id, change: 'changed' as const, differences },
        isBreaking: isBreaking(differences) || isBreaking(breaking),
        history: kind === 'view' ? historyOf(differences, after as ViewData) : undefined,
      },
    ];
  });
}

/** A ttl decides how long values are served, not what they are; a feature that is taken out needs no values; what is computed from a feature changes with it. */
function historyOf(differences: readonly Difference[], { features }: ViewData): NeededHistory | undefined {
  const names = new Set<string>();
  for (const { feature, change, detail = '' } of differences) {
    if (feature === undefined && !detail.startsWith('its ttl')) return 'view';
    if (feature !== undefined && change !== 'removed') names.add(feature);
  }
  const all = Object.keys(features);
  const dependents = all.filter((name) => Object.keys(withInputs(features, [name])).some((input) => names.has(input)));
  return dependents.length === 0 ? undefined : dependents.sort();
}

/** Returns names of the services that hold something of a changed view. */
export function servicesConcerned(
  { kind, id, differences }: PlannedChange,
  all: readonly Definitions[],
): readonly string[] {
  if (kind === 'service') return [];
  const features = differences.every(({ feature }) => feature !== undefined)
    ? differences.map(({ feature }) => feature as string)
    : [];
  const uses = (data: ServiceData): boolean => {
    const part = data.views[id]?.features ?? data.onDemand[id]?.features;
    return part !== undefined && (features.length === 0 || features.some((name) => part[name] !== undefined));
  };
  const names = all.flatMap(({ services }) =>
    Object.entries(services).flatMap(([name, data]) => (uses(data) ? [name] : [])),
  );
  return [...new Set(names)].sort();
}

export const describeChange = ({ differences }: Pick<PlannedChange, 'differences'>): readonly string[] =>
  differences.map(describeDifference);
