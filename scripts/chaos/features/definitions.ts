import { account, transactions } from '#examples/fraud/features/transactions';
import {
  count,
  distinct,
  first,
  last,
  max,
  mean,
  min,
  percentile,
  ratio,
  session,
  stddev,
  sum,
  top,
} from '#feature_store/definitions/aggregations';
import { type Feature, field, sincePrevious } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '#kernel/time';

// The features that a sequence of changes chooses from, each with the slow and obvious way to compute it.

export interface CountedEvent {
  readonly at: number;
  readonly amount: number;
  readonly merchant: string;
}

/** What is known of an entity at a time. */
export interface Known {
  /** Events that the feature's state has seen, in the order in which they were read; none is later than the time. */
  readonly events: readonly CountedEvent[];
  /** The newest event, and the newest of before it; of two at one time, the one read last is the newer. */
  readonly newest: CountedEvent;
  readonly previous: CountedEvent | undefined;
}

export interface Candidate {
  readonly id: string;
  readonly name: string;
  readonly feature: Feature;
  /** What keeps its state: candidates with one slot share it. Undefined: nothing but the newest event. */
  readonly slot: string | undefined;
  /** How far back it looks, ms; undefined where that is no window. */
  readonly windowMs: number | undefined;
  /** The name of another that it is computed from. */
  readonly needs?: string;
  readonly expected: (known: Known, asOfMs: number) => FeatureValue;
}

export const WINDOWS = { '1h': HOUR_MS, '24h': DAY_MS, '7d': 7 * DAY_MS } as const;
type Window = keyof typeof WINDOWS;
const STEPS: Readonly<Record<Window, number>> = { '1h': MINUTE_MS, '24h': 15 * MINUTE_MS, '7d': HOUR_MS };

/** A window leaves the whole step that an event lies in at once (docs/features.md, "How exact"). */
export const inWindow = (window: Window, at: number, asOfMs: number): boolean =>
  at <= asOfMs && (Math.floor(at / STEPS[window]) + 1) * STEPS[window] + WINDOWS[window] > asOfMs;

const amountsOf = (events: readonly CountedEvent[]): number[] => events.map(({ amount }) => amount);
const total = (events: readonly CountedEvent[]): number => amountsOf(events).reduce((all, amount) => all + amount, 0);
const average = (events: readonly CountedEvent[]): number | null =>
  events.length === 0 ? null : total(events) / events.length;
function spread(events: readonly CountedEvent[]): number {
  const middle = average(events) ?? 0;
  const squares = amountsOf(events).reduce((all, amount) => all + (amount - middle) ** 2, 0);
  return events.length === 0 ? 0 : Math.sqrt(squares / events.length);
}
function ranked(events: readonly CountedEvent[]): string[] {
  const times = (value: string): number => events.filter(({ merchant }) => merchant === value).length;
  return [...new Set(events.map(({ merchant }) => merchant))].sort((a, b) => times(b) - times(a) || (a < b ? -1 : 1));
}
/** By time; those at one time stay in the order in which they were read. */
const byTime = (events: readonly CountedEvent[]): CountedEvent[] => [...events].sort((a, b) => a.at - b.at);

const isAbove = (least: number) =>
  least === 50
    ? (event: { readonly [name: string]: unknown }) => Number(event.amount) > 50
    : (event: { readonly [name: string]: unknown }) => Number(event.amount) > 5;

type Of = (events: readonly CountedEvent[]) => FeatureValue;

function windowed(id: string, slot: string, make: (window: Window) => Readonly<Record<string, Feature>>, of: Of) {
  return (Object.keys(WINDOWS) as Window[]).flatMap((window): Candidate[] =>
    Object.entries(make(window)).map(([name, feature]) => ({
      ...{ id: `${id} ${window}`, name, feature, slot, windowMs: WINDOWS[window] },
      expected: ({ events }, asOfMs) => of(events.filter(({ at }) => inWindow(window, at, asOfMs))),
    })),
  );
}

const above =
  (least: number, of: Of): Of =>
  (events) =>
    of(events.filter(({ amount }) => amount > least));

function sessionOf(gap: '30m' | '2h', gapMs: number): Candidate[] {
  const current = (events: readonly CountedEvent[], asOfMs: number): CountedEvent[] => {
    let found: CountedEvent[] = [];
    for (const event of byTime(events)) {
      const before = found.at(-1);
      found = before !== undefined && event.at - before.at < gapMs ? [...found, event] : [event];
    }
    const end = found.at(-1);
    return end === undefined || asOfMs - end.at >= gapMs ? [] : found;
  };
  const features = session(gap);
  const of = (name: keyof typeof features, measure: (events: readonly CountedEvent[]) => FeatureValue): Candidate => ({
    ...{ id: `${name} ${gap}`, name, feature: features[name], slot: `session ${gap}`, windowMs: undefined },
    expected: ({ events }, asOfMs) => measure(current(events, asOfMs)),
  });
  return [
    of('is_active_session', (events) => events.length > 0),
    of('session_event_count', (events) => events.length),
    of('session_duration_seconds', (events) => ((events.at(-1)?.at ?? 0) - (events[0]?.at ?? 0)) / SECOND_MS),
  ];
}

export const CANDIDATES: readonly Candidate[] = [
  ...windowed(
    'count',
    'counts',
    (window) => count().over(window),
    (events) => events.length,
  ),
  // One name, two filters: state of one is no state of the other.
  ...[50, 5].flatMap((least) =>
    windowed(
      `large > ${least}`,
      `counts > ${least}`,
      (window) => count({ as: 'large', where: isAbove(least) }).over(window),
      above(least, (events) => events.length),
    ),
  ),
  ...windowed('sum', 'moments amount', (window) => sum('amount').over(window), total),
  ...windowed(
    'sum large',
    'moments amount > 50',
    (window) => sum('amount', { as: 'sum_large', where: isAbove(50) }).over(window),
    above(50, total),
  ),
  ...windowed('mean', 'moments amount', (window) => mean('amount').over(window), average),
  ...windowed(
    'min',
    'moments amount',
    (window) => min('amount').over(window),
    (events) => (events.length === 0 ? null : Math.min(...amountsOf(events))),
  ),
  ...windowed(
    'max',
    'moments amount',
    (window) => max('amount').over(window),
    (events) => (events.length === 0 ? null : Math.max(...amountsOf(events))),
  ),
  ...windowed('stddev', 'moments amount', (window) => stddev('amount').over(window), spread),
  ...windowed(
    'distinct',
    'sets merchant',
    (window) => distinct('merchant_id').over(window),
    (events) => ranked(events).length,
  ),
  ...windowed(
    'median',
    'quantiles amount',
    (window) => percentile('amount', 0.5).over(window),
    (events) => amountsOf(events).sort((a, b) => a - b)[Math.max(0, Math.ceil(events.length / 2) - 1)] ?? null,
  ),
  ...windowed(
    'top',
    'tallies merchant',
    (window) => top('merchant_id', 'string').over(window),
    (events) => ranked(events)[0] ?? null,
  ),
  ...windowed(
    'first',
    'ends amount',
    (window) => first('amount', 'double').over(window),
    (events) => byTime(events)[0]?.amount ?? null,
  ),
  ...windowed(
    'last 3',
    'ends amount',
    (window) => last('amount', 'double', 3).over(window),
    (events) => amountsOf(byTime(events).slice(-3)).reverse(),
  ),
  ...(Object.keys(WINDOWS) as Window[]).flatMap((window): Candidate[] =>
    Object.entries(ratio('share', 'large', 'count', 'Share of large ones').over(window)).map(([name, feature]) => ({
      ...{ id: `share ${window}`, name, feature, slot: undefined, windowMs: undefined, needs: window },
      // Computed of the row's own values.
      expected: () => null,
    })),
  ),
  ...sessionOf('30m', 30 * MINUTE_MS),
  ...sessionOf('2h', 2 * HOUR_MS),
  {
    ...{ id: 'merchant', name: 'merchant_id', feature: field('merchant_id', 'string', ''), slot: undefined },
    windowMs: undefined,
    expected: ({ newest }) => newest.merchant,
  },
  {
    ...{ id: 'pause', name: 'pause_ms', slot: 'previous', windowMs: undefined },
    feature: sincePrevious('double', '', (_, at, previous) =>
      previous === undefined ? null : at - previous.eventTimeMs,
    ),
    expected: ({ newest, previous }) => (previous === undefined ? null : newest.at - previous.at),
  },
];

/** The candidates of a list of ids, in their order: of several with one name the first, and a ratio only with what it is of. */
export function chosen(ids: readonly string[]): readonly Candidate[] {
  const found: Candidate[] = [];
  for (const id of ids) {
    const candidate = CANDIDATES.find((one) => one.id === id);
    if (candidate !== undefined && !found.some(({ name }) => name === candidate.name)) found.push(candidate);
  }
  const names = new Set(found.map(({ name }) => name));
  const usable = found.filter(
    ({ needs }) => needs === undefined || (names.has(`large_${needs}`) && names.has(`count_${needs}`)),
  );
  return usable.length > 0 ? usable : chosen(['count 24h']);
}

export const viewOf = (name: string, candidates: readonly Candidate[]): FeatureView =>
  featureView({
    ...{ name, version: 1, entity: account, source: transactions, ttl: '30d', owner: 'chaos', description: 'd' },
    features: Object.fromEntries(candidates.map((candidate) => [candidate.name, candidate.feature])),
  });
