import type { CodeDescription } from '../code_identity.ts';
import {
  dataFingerprint,
  type FeatureData,
  type OnDemandData,
  type SharedData,
  type ViewData,
} from '../definition_data.ts';
import type { ServiceData } from '../feature_service.ts';

/** Something about a definition that changes values. */
export interface Difference {
  /** `fraud@1` */
  readonly of: string;
  /** Undefined: of the whole view or service. */
  readonly feature?: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** For those changed: what was, and what is. */
  readonly detail?: string;
}

/** As a sentence. */
export const describeDifference = ({ of, feature, change, detail }: Difference): string =>
  `${feature === undefined ? of : `feature ${feature} of ${of}`} ${detail === undefined || change !== 'changed' ? `was ${change}` : `has changed: ${detail}`}`;

const isSame = (a: unknown, b: unknown): boolean =>
  a === b || (a !== undefined && b !== undefined && dataFingerprint(a) === dataFingerprint(b));

const shown = (value: unknown): string => {
  if (value === undefined) return 'nothing';
  if (typeof value === 'object' && value !== null && 'code' in value && 'source' in value)
    return `\`${(value as CodeDescription).source}\``;
  return JSON.stringify(value);
};

/** Words for the parts of features and views. */
const PARTS: Readonly<Record<string, string>> = {
  compute: 'its function',
  where: 'its filter',
  windowMs: 'its window in ms',
  gapMs: 'the gap of its session in ms',
  of: 'what it aggregates',
  fields: 'the schema of',
  keys: 'the schema of join key',
  ttlMs: 'its ttl in ms',
  rules: 'rules that keep rows from being written',
  upgrades: 'the upgrade of events of version',
};

function changesOfParts(was: object, is: object): readonly string[] {
  const [a, b] = [was, is] as Readonly<Record<string, unknown>>[];
  return [...new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])].sort().flatMap((part) => {
    const [before, after] = [a?.[part], b?.[part]];
    return isSame(before, after) ? [] : changesOfPart(part, before, after);
  });
}

function changesOfPart(part: string, was: unknown, is: unknown): readonly string[] {
  const name = PARTS[part] ?? part;
  if (part === 'fields' || part === 'keys' || part === 'upgrades') {
    const [a, b] = [was ?? {}, is ?? {}] as Readonly<Record<string, unknown>>[];
    const keys = [...new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])].sort();
    return keys
      .filter((key) => !isSame(a?.[key], b?.[key]))
      .map((key) => `${name} ${key} was ${shown(a?.[key])}, is ${shown(b?.[key])}`);
  }
  if (part === 'rules') return [`${name} differ`];
  if (isCode(was) && isCode(is) && was.code === is.code) {
    return [
      ...changesOfUses(was.uses ?? {}, is.uses ?? {}),
      ...(was.version === is.version
        ? []
        : [`the version of ${name} was ${was.version ?? 'none'}, is ${is.version ?? 'none'}`]),
    ].map((change) => change);
  }
  return [`${name} was ${shown(was)}, is ${shown(is)}`];
}

const isCode = (value: unknown): value is CodeDescription =>
  typeof value === 'object' && value !== null && 'code' in value;

const changesOfUses = (
  was: Readonly<Record<string, unknown>>,
  is: Readonly<Record<string, unknown>>,
): readonly string[] =>
  [...new Set([...Object.keys(was), ...Object.keys(is)])]
    .sort()
    .filter((name) => !isSame(was[name], is[name]))
    .map((name) => {
      const [before, after] = [was[name], is[name]];
      const isFunction = isCode(before) && isCode(after);
      return isFunction
        ? `${name}, which its function uses, has changed`
        : `${name}, which its function uses, was ${shown(before)}, is ${shown(after)}`;
    });

type Features = Readonly<Record<string, FeatureData>>;

function featureChanges(of: string, was: Features, is: Features): readonly Difference[] {
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].sort().flatMap((feature): Difference[] => {
    const [before, after] = [was[feature], is[feature]];
    if (before === undefined) return [{ of, feature, change: 'added' }];
    if (after === undefined) return [{ of, feature, change: 'removed' }];
    const details = changesOfParts(before, after);
    return details.length === 0 ? [] : [{ of, feature, change: 'changed', detail: details.join('; ') }];
  });
}

const wholeChanges = (of: string, was: object, is: object): readonly Difference[] =>
  changesOfParts(was, is).map((detail) => ({ of, change: 'changed', detail }));

export const viewDifferences = (of: string, was: ViewData, is: ViewData): readonly Difference[] => [
  ...wholeChanges(of, was.shared satisfies SharedData, is.shared),
  ...featureChanges(of, was.features, is.features),
];

export function onDemandDifferences(of: string, was: OnDemandData, is: OnDemandData): readonly Difference[] {
  const { features: before, ...wasRest } = was;
  const { features: after, ...isRest } = is;
  return [...wholeChanges(of, wasRest, isRest), ...featureChanges(of, before, after)];
}

/** What a model trained on `was` would see otherwise in `is`. Columns that are new do not concern it. */
export function serviceDifferences(of: string, was: ServiceData, is: ServiceData): readonly Difference[] {
  const columns = Object.entries(was.columns).flatMap(([feature, view]): Difference[] => {
    const now = is.columns[feature];
    if (now === view) return [];
    if (now === undefined) return [{ of, feature, change: 'removed' }];
    return [{ of, feature, change: 'changed', detail: `it was of ${view}, is of ${now}` }];
  });
  const answer = wholeChanges(of, { unknownEntities: was.unknownEntities }, { unknownEntities: is.unknownEntities });
  const known = <T extends ViewData | OnDemandData>(
    before: Readonly<Record<string, T>>,
    after: Readonly<Record<string, T>>,
    differences: (id: string, a: T, b: T) => readonly Difference[],
  ): readonly Difference[] =>
    Object.entries(before).flatMap(([id, data]) => {
      const now = after[id];
      return now === undefined ? [] : differences(id, data, now).filter(({ change }) => change !== 'added');
    });
  return [
    ...columns,
    ...answer,
    ...known(was.views, is.views, viewDifferences),
    ...known(was.onDemand, is.onDemand, onDemandDifferences),
  ];
}
