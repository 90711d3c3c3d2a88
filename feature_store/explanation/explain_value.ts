import { isoTime } from '#kernel/time';
import { ViewComputation } from '../aggregation/view_computation.ts';
import { featureFingerprint, viewData } from '../definitions/definition_data.ts';
import type { Feature } from '../definitions/feature.ts';
import type { FeatureView } from '../definitions/feature_view.ts';
import type { FeatureRow, FeatureValue } from '../definitions/values/feature_row.ts';
import { isSameValue, valueText } from '../definitions/values/value_codec.ts';
import { valuesAsOf } from '../retrieval/as_of.ts';
import { type ReplayedEvent, type ReplayedRow, replayEntity } from './entity_replay.ts';
import { formulaOf } from './formula.ts';
import type {
  EntityEvents,
  ExplainedEvent,
  ExplainedFormula,
  ExplainedTile,
  ExplainedWindow,
  ExplanationRequest,
  UncountedEvent,
  UsedBy,
  ValueExplanation,
} from './value_explanation.ts';

/** What is stored and known of an entity. */
export interface KnownOfEntity {
  readonly atMs: number;
  /** The row that a reader gets. */
  readonly stored: { readonly row: FeatureRow; readonly from: string } | undefined;
  readonly found: EntityEvents;
  readonly usedBy: UsedBy;
  readonly allowedLatenessMs: number;
}

type Values = Readonly<Record<string, FeatureValue>>;

/** The most uncounted events that are listed. */
const LISTED = 100;

/** Explains the value of a feature from its row and the events of its entity: computes it from these again, and compares. */
export function explainValue(
  { view, feature: name, entityKey, page }: ExplanationRequest,
  { atMs, stored, found, usedBy, allowedLatenessMs }: KnownOfEntity,
): ValueExplanation {
  const _feature = view.features[name] as Feature;
  const computation = new ViewComputation(view, allowedLatenessMs);
  const { events, refused, rowTimeMs, row } = replayEntity(
    computation,
    found.events,
    { atMs, allowedLatenessMs },
    (replayed) => ({
      timeMs: replayed.timeMs,
      values: valuesAsOf(view, replayed.values, atMs),
      ...partsOf(computation, name, replayed, atMs),
    }),
  );
  const servedValues = stored === undefined ? undefined : valuesAsOf(view, stored.row.values, atMs);
  const served =
    stored === undefined || servedValues === undefined ? undefined : { ...stored, value: valueIn(servedValues, name) };
  const recomputed = row === undefined ? undefined : { value: valueIn(row.values, name), timeMs: row.timeMs };
  const uncounted = events
    .filter(({ fate }) => fate !== 'counted')
    .filter((event) => row?.couldCount(event) ?? event.eventTimeMs <= atMs)
    .sort((a, b) => b.eventTimeMs - a.eventTimeMs);
  return {
    ...{ entityKey, view, feature: name, atMs, served, recomputed, usedBy },
    fingerprint: featureFingerprint(viewData(view), name),
    difference: view.mode === 'push' ? undefined : differenceOf(served, recomputed, found),
    formula: explainedFormula(view, name, servedValues ?? row?.values ?? {}),
    window: row?.window,
    events: {
      total: row?.events.length ?? 0,
      offset: page.offset,
      items: (row?.events ?? []).slice(page.offset, page.offset + page.limit),
    },
    uncounted: { total: uncounted.length, items: uncounted.slice(0, LISTED).map(uncountedEvent) },
    refused: found.refused.slice(0, LISTED),
    refusedRow: refused !== undefined && refused.timeMs >= (rowTimeMs ?? refused.timeMs) ? refused : undefined,
    places: found.places,
  };
}

const valueIn = (values: Values, name: string): FeatureValue => values[name] ?? null;

const uncountedEvent = ({
  eventId,
  eventTimeMs,
  arrivedAtMs,
  from,
  place,
  fate,
  reason = '',
}: ReplayedEvent): UncountedEvent => ({ eventId, eventTimeMs, arrivedAtMs, from, place, fate, reason });

function differenceOf(
  served: ValueExplanation['served'],
  recomputed: ValueExplanation['recomputed'],
  { places }: EntityEvents,
): string | undefined {
  if (served === undefined && recomputed === undefined) return undefined;
  const gaps = places.flatMap((place) => place.gaps);
  const because = gaps.length === 0 ? '' : `: ${gaps.join('; ')}`;
  if (recomputed === undefined)
    return `a value is stored, and no event of the entity was found that gives one${because}`;
  if (served === undefined)
    return `events give ${valueText(recomputed.value)} as of ${isoTime(recomputed.timeMs)}, and nothing is stored`;
  if (isSameValue(served.value, recomputed.value)) return undefined;
  const values = `${valueText(served.value)} is stored as of ${isoTime(served.row.eventTime)}, and events give ${valueText(recomputed.value)} as of ${isoTime(recomputed.timeMs)}`;
  if (served.row.eventTime < recomputed.timeMs) return `${values}: the row of that time has not been written yet`;
  return `${values}${because}`;
}

/** Returns a feature with the values of its inputs, and those of theirs. */
function explainedFormula(view: FeatureView, name: string, values: Values): ExplainedFormula {
  const feature = view.features[name] as Feature;
  return {
    ...{ name, kind: feature.kind, formula: formulaOf(feature), value: valueIn(values, name) },
    inputs: inputFeatures(view, feature).map((input) => explainedFormula(view, input, values)),
  };
}

/** Features that a feature is computed from. */
function inputFeatures({ features }: FeatureView, feature: Feature): readonly string[] {
  if (feature.kind === 'expression' || feature.kind === 'as_of') return feature.inputs;
  const field = feature.kind === 'window' ? feature.field : undefined;
  return field !== undefined && Object.hasOwn(features, field) ? [field] : [];
}

interface RowParts {
  readonly window: ExplainedWindow | undefined;
  /** The newest first. */
  readonly events: readonly ExplainedEvent[];
  /** Whether an event's time lies in what the value is of. */
  readonly couldCount: (event: Pick<ReplayedEvent, 'eventTimeMs'>) => boolean;
}

/** What a feature's value is of, in a row that is read at a time. */
function partsOf(computation: ViewComputation, name: string, row: ReplayedRow, atMs: number): RowParts {
  const feature = computation.view.features[name] as Feature;
  switch (feature.kind) {
    case 'window':
      return windowParts(computation, name, row, atMs);
    case 'session':
      return sessionParts(computation, name, row);
    case 'expression':
    case 'as_of':
      return ofInputs(computation, feature.inputs, row, atMs);
    default:
      return eventParts(row, feature.kind === 'previous');
  }
}

const explainedEvent = (
  { eventId, eventTimeMs, arrivedAtMs, from, place, traceparent }: ReplayedEvent,
  contribution: unknown,
): ExplainedEvent => ({ eventId, eventTimeMs, arrivedAtMs, from, place, traceparent, contribution });

const newestFirst = (a: ExplainedEvent, b: ExplainedEvent): number => b.eventTimeMs - a.eventTimeMs;

function windowParts(
  computation: ViewComputation,
  name: string,
  { timeMs, known, of, state }: ReplayedRow,
  atMs: number,
): RowParts {
  const { windowMs, stepMs, tiles, isEventAlone } = computation.windowContents(state, name, timeMs);
  const counts = new Map(tiles.map((tile) => [tile, 0]));
  const events: ExplainedEvent[] = [];
  let passedOver = 0;
  const take = (event: ReplayedEvent, tile: (typeof tiles)[number] | undefined): void => {
    const { value, counts: isIn } = computation.contributionOf(name, event, event.earlier);
    if (!isIn) passedOver += 1;
    else {
      events.push(explainedEvent(event, value ?? true));
      if (tile !== undefined) counts.set(tile, (counts.get(tile) ?? 0) + 1);
    }
  };
  for (const event of known) {
    const tile = event.isInTiles ? tileOf(tiles, event.eventTimeMs) : undefined;
    if (tile !== undefined) take(event, tile);
    else if (isEventAlone && event === of) take(event, undefined);
  }
  // The oldest tile may reach further back than the window.
  const fromMs = Math.min(tiles[0]?.startMs ?? timeMs, Math.floor((timeMs - windowMs) / stepMs) * stepMs);
  const explained = tiles
    .map((tile): ExplainedTile => ({ ...tile, events: counts.get(tile) ?? 0 }))
    .filter((tile) => tile.events > 0);
  return {
    window: { fromMs, untilMs: timeMs, stepMs, tiles: explained, passedOver },
    events: events.sort(newestFirst),
    couldCount: ({ eventTimeMs }) => eventTimeMs <= atMs && computation.leavesWindowAt(name, eventTimeMs) > atMs,
  };
}

/** Tiles do not overlap, the oldest is the first. */
function tileOf<T extends { readonly startMs: number; readonly lengthMs: number }>(
  tiles: readonly T[],
  timeMs: number,
): T | undefined {
  let [low, high] = [0, tiles.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tiles[middle] as T).startMs <= timeMs) low = middle + 1;
    else high = middle;
  }
  const tile = tiles[low - 1];
  return tile !== undefined && timeMs < tile.startMs + tile.lengthMs ? tile : undefined;
}

function sessionParts(computation: ViewComputation, name: string, { timeMs, known, state }: ReplayedRow): RowParts {
  const session = computation.sessionOf(state, name, timeMs);
  // Of no session: nothing could count but an event that would have begun one.
  const { start, end } = session ?? { start: timeMs, end: timeMs };
  const { gapMs } = computation.view.features[name] as Extract<Feature, { kind: 'session' }>;
  const events = known.filter(({ eventTimeMs }) => session !== undefined && eventTimeMs >= start && eventTimeMs <= end);
  return {
    window:
      session === undefined
        ? undefined
        : { fromMs: start, untilMs: Math.min(end, timeMs), stepMs: 0, tiles: [], passedOver: 0 },
    events: events.map((event) => explainedEvent(event, true)).sort(newestFirst),
    couldCount: ({ eventTimeMs }) => eventTimeMs <= timeMs && eventTimeMs > start - gapMs && eventTimeMs < end + gapMs,
  };
}

/** The event of the row, and of a feature since the previous event that one too. */
function eventParts({ timeMs, known, of }: ReplayedRow, hasPrevious: boolean): RowParts {
  const previous =
    hasPrevious && of.earlier !== undefined ? known.find(({ event }) => event === of.earlier?.event) : undefined;
  const events = [of, ...(previous === undefined ? [] : [previous])];
  return {
    window: undefined,
    events: events.map((event) => explainedEvent(event, undefined)),
    couldCount: ({ eventTimeMs }) => eventTimeMs <= timeMs && eventTimeMs >= (previous ?? of).eventTimeMs,
  };
}

/** All events that inputs are of. */
function ofInputs(computation: ViewComputation, inputs: readonly string[], row: ReplayedRow, atMs: number): RowParts {
  const parts = inputs.map((input) => partsOf(computation, input, row, atMs));
  const events = new Map<string, ExplainedEvent>();
  for (const part of parts) {
    for (const event of part.events) {
      events.set(`${event.from} ${event.place} ${event.eventId} ${event.eventTimeMs}`, {
        ...event,
        contribution: undefined,
      });
    }
  }
  return {
    window: undefined,
    events: [...events.values()].sort(newestFirst),
    couldCount: (event) => parts.some(({ couldCount }) => couldCount(event)),
  };
}
