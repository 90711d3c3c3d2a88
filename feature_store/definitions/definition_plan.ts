import { type Difference, describeDifference, onDemandDifferences, serviceDifferences, viewDifferences } from './definition_changes.ts';
import type { OnDemandData, ViewData } from './definition_data.ts';
import type { DefinitionSet } from './definition_set.ts';
import type { ServiceData } from './feature_service.ts';

/** A definition that differs from what was applied. */
export interface PlannedChange {
  readonly kind: 'view' | 'on_demand' | 'service';
  readonly id: string;
  readonly change: 'new' | 'changed' | 'removed';
  /** Readers and models of what was applied would miss something, or read something else. */
  readonly isBreaking: boolean;
  readonly differences: readonly Difference[];
  /** Whether values of history are to be computed. */
  readonly needsBackfill: boolean;
}

/** What was applied: definitions as data. */
export interface AppliedSet {
  readonly views: Readonly<Record<string, ViewData>>;
  readonly onDemand: Readonly<Record<string, OnDemandData>>;
  readonly services: Readonly<Record<string, ServiceData>>;
}

/** Returns what changes from the applied definitions to those of the code, in the order views, on-demand views, services. */
export function changesOf(applied: AppliedSet, code: DefinitionSet): readonly PlannedChange[] {
  const services = Object.fromEntries(code.named.map((id) => [id, code.services[id]?.data as ServiceData]));
  return [
    ...changesOfKind('view', applied.views, code.views, viewDifferences),
    ...changesOfKind('on_demand', applied.onDemand, code.onDemand, onDemandDifferences),
    ...changesOfKind('service', applied.services, services, ownDifferences),
  ];
}

/** Differences of the service itself; those of its views are listed with the views. */
function ownDifferences(id: string, was: ServiceData, is: ServiceData): readonly Difference[] {
  const alone = (data: ServiceData): ServiceData => ({ ...data, views: {}, onDemand: {} });
  const added = Object.keys(is.columns).filter((name) => was.columns[name] === undefined);
  return [
    ...serviceDifferences(id, alone(was), alone(is)),
    ...added.map((feature): Difference => ({ of: id, feature, change: 'added' })),
  ];
}

function changesOfKind<T>(
  kind: PlannedChange['kind'],
  was: Readonly<Record<string, T>>,
  is: Readonly<Record<string, T>>,
  differencesOf: (id: string, was: T, is: T) => readonly Difference[],
): readonly PlannedChange[] {
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].sort().flatMap((id): PlannedChange[] => {
    const [before, after] = [was[id], is[id]];
    if (before === undefined) {
      return [{ kind, id, change: 'new', isBreaking: false, differences: [], needsBackfill: kind === 'view' }];
    }
    if (after === undefined) {
      return [{ kind, id, change: 'removed', isBreaking: true, differences: [], needsBackfill: false }];
    }
    const differences = differencesOf(id, before, after);
    if (differences.length === 0) return [];
    const isBreaking = differences.some(({ change }) => change !== 'added');
    return [{ kind, id, change: 'changed', isBreaking, differences, needsBackfill: kind === 'view' && differences.some(changesHistory) }];
  });
}

/** A ttl decides how long values are served; what is taken out needs no values. */
const changesHistory = ({ feature, change, detail = '' }: Difference): boolean =>
  change !== 'removed' && !(feature === undefined && detail.startsWith('its ttl'));

/** Names of the services that have something of a changed view in them. */
export function servicesConcerned({ kind, id, differences }: PlannedChange, code: DefinitionSet, applied: AppliedSet): readonly string[] {
  if (kind === 'service') return [];
  const features = differences.every(({ feature }) => feature !== undefined) ? differences.map(({ feature }) => feature as string) : undefined;
  const uses = (data: ServiceData | undefined): boolean => {
    const part = data?.views[id]?.features ?? data?.onDemand[id]?.features;
    return part !== undefined && (features === undefined || features.length === 0 || features.some((name) => part[name] !== undefined));
  };
  const known = new Set([...code.named, ...Object.keys(applied.services)]);
  return [...known].filter((name) => uses(code.services[name]?.data) || uses(applied.services[name])).sort();
}

export const describeChange = (change: PlannedChange): readonly string[] => change.differences.map(describeDifference);
