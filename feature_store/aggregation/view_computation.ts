import type { Feature, SessionFeature, WindowFeature } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { declaredValue } from '#feature_store/definitions/values/declared_value';
import { type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { elementTypeOf, type FeatureType, isPlainType } from '#feature_store/definitions/values/value_type';
import { HOUR_MS } from '#kernel/time';
import { FeatureComputationError } from '../errors.ts';
import { ACCUMULATORS, type AccumulatorKind, accumulatorKindOf, isExactType, resultReader } from './accumulators.ts';
import type { EntityState } from './entity_state.ts';
import { type KeptWindow, keptReader, WindowKeeper } from './kept_window.ts';
import type { StateOfFeatures } from './merge_features.ts';
import { currentSession, dropSessions, measureSession, type Session, sessionEndsAt, withEvent } from './sessions.ts';
import {
  addToTile,
  edgeStepMs,
  emptyTile,
  leavesAt,
  lengthForAge,
  mergeTile,
  openTile,
  type PassedFilters,
  type Slot,
  type SlotIndexes,
  type Tile,
  type TileLayout,
  type TileState,
  tilesBefore,
  undoOpen,
  type WindowEdge,
  windowEdge,
} from './tiles.ts';
import { slotName, type ViewLayout } from './view_layout.ts';

/** Rows that were emitted without an event of before their time. */
export interface EarlyRows {
  /** Of the oldest of them at most, ms. */
  readonly fromMs: number;
  /** Of the newest of them, ms. */
  readonly untilMs: number;
  readonly times: readonly number[];
}

interface PlannedWindow {
  readonly name: string;
  /** Position in rows. */
  readonly cell: number;
  readonly feature: WindowFeature;
  /** Position in the tiles' slots. */
  readonly slot: number;
  /** Of what its slot has accumulated. */
  readonly read: (accumulated: unknown) => FeatureValue;
  /** Where nothing has. */
  readonly ofNothing: FeatureValue;
  /** Of a window that is kept. */
  readonly readKept: (window: KeptWindow) => FeatureValue;
}

const edgeOf = ({ windowMs, stepMs }: WindowEdge): WindowEdge => ({ windowMs, stepMs });

/** What comes into a window whose feature holds values of the field, or sums them exactly: it must be of a type. */
interface TypedInput {
  readonly name: string;
  readonly slot: number;
  readonly field: string;
  readonly type: FeatureType;
  /** Where the slot finds the value of the type; undefined: the event's own value is that. */
  readonly as: string | undefined;
  /** The slot takes numbers. */
  readonly isNumber: boolean;
}

/** What a window of a feature holds at a time. */
export interface WindowContents extends WindowEdge {
  /** Those whose events count, oldest first. */
  readonly tiles: readonly WindowTile[];
  /** Its tile holds events after the row's time: of that tile the row's event counts alone. */
  readonly isEventAlone: boolean;
}

/** A tile, with what the feature would be of its events alone. */
export interface WindowTile {
  readonly startMs: number;
  readonly lengthMs: number;
  readonly value: FeatureValue;
}

/** What an event gives to a window feature. */
export interface Contribution {
  /** The feature's filter takes the event. */
  readonly passes: boolean;
  /** What is aggregated: the field, or feature of the event; undefined where the events themselves are counted, or it has none. */
  readonly value: unknown;
  /** Whether the event changes what is aggregated. */
  readonly counts: boolean;
}

/** The event that is being counted. */
interface Counted {
  readonly event: EventFields;
  readonly eventTimeMs: number;
  /** The tile of its time, without it. */
  readonly tile: Tile;
  readonly passed: PassedFilters;
}

/** The event that a row is of. */
interface RowEvent extends NonNullable<EntityState['latest']> {
  /** As windows take it, with features of single events; undefined: as it came. */
  readonly counted?: EventFields;
}

/** Features of one length. */
interface WindowGroup extends WindowEdge {
  readonly features: readonly PlannedWindow[];
  readonly keeper: WindowKeeper;
  /** Slots of its features, and of those of longer windows. */
  readonly slotsFromHere: SlotIndexes;
}

interface PlannedSession {
  readonly name: string;
  readonly cell: number;
  readonly feature: SessionFeature;
  /** Position in the state's sessions. */
  readonly gap: number;
}

/** What is kept of a busy entity beside its state, and made from it where it is missing. */
interface Running {
  /** In the order of the groups. */
  readonly windows: readonly KeptWindow[];
  /** The time of what the windows hold, ms. */
  asOfMs: number;
  /** The row of then, see {@link Cells}. */
  readonly cells: Cells;
  /** False: an event has come since that belongs in the row. */
  hasRow: boolean;
}

/** With no more tiles than this, adding them up each time is as fast as keeping sums; but for sketches and long lists of values, which are costly to merge. */
const FEW_TILES = 8;
const LONG_LIST = 64;
const COSTLY: ReadonlySet<AccumulatorKind> = new Set(['distinctSketches', 'quantileSketches']);

type Values = Record<string, FeatureValue>;
/** The values of a row in the view's order, but for those that are computed from others. */
type Cells = FeatureValue[];
type Named<Kind extends Feature['kind']> = readonly [
  name: string,
  feature: Extract<Feature, { kind: Kind }>,
  cell: number,
];

/**
 * The one computation of a view: the stream and back-fill both call it, event by event. Built once a view; holds no
 * state of its own.
 *
 * Values change with events, and also when events leave a window or a session runs out: {@link decay} gives those rows, so that the newest
 * row of an entity is right at any time, and not only when something happens (docs/adr/0009).
 */
export class ViewComputation {
  readonly view: FeatureView;
  /** What the parts of {@link EntityState} mean. */
  readonly layout: ViewLayout;
  readonly #layout: TileLayout;
  /** Shortest window first: one pass over the tiles, newest to oldest, serves all. */
  readonly #groups: readonly WindowGroup[];
  readonly #gaps: readonly number[];
  readonly #sessions: readonly PlannedSession[];
  readonly #running = new WeakMap<EntityState, Running>();
  #lastState: EntityState | undefined;
  #lastRunning: Running | undefined;
  readonly #fewTiles: number;
  /** Slots that hold lists of values. */
  readonly #lists: SlotIndexes;
  /** Makes a row: keys in the order of definition, all at once, so that rows of a view have one shape. */
  readonly #rowOf: (cells: Cells) => Values;
  /** Of entities for which nothing is kept. */
  readonly #cells: Cells;
  readonly #ofEvent: readonly Named<'event'>[];
  readonly #sincePrevious: readonly Named<'previous'>[];
  /** Features of single events that windows aggregate. */
  readonly #derived: readonly (Named<'event'> | Named<'previous'>)[];
  readonly #ofFeatures: readonly Named<'expression' | 'as_of'>[];
  /** The first feature of each slot, for messages. */
  readonly #slotNames: readonly string[];
  readonly #typedInputs: readonly TypedInput[];
  readonly #convertsInputs: boolean;
  readonly #passed: PassedFilters;
  /** The feature whose function runs, or ran last. */
  #current = '';

  /** @param allowedLatenessMs - an event may be so much older than the newest, and its windows reach back from there */
  constructor(view: FeatureView, allowedLatenessMs: number) {
    this.view = view;
    const windows = named(view, 'window');
    const slots: Slot[] = [];
    const kinds: AccumulatorKind[] = [];
    const names: string[] = [];
    const slotOf = (featureName: string, feature: WindowFeature): number => {
      const kind = accumulatorKindOf(feature);
      const { where } = feature;
      const type = convertedTypeOf(view, feature);
      const field = type === undefined ? feature.field : convertedField(feature.field, type, kind);
      const { name, isExact } = slotName(view, featureName, feature, kind, type);
      const held = slots.findIndex(
        (slot, at) =>
          kinds[at] === kind && slot.field === field && (slot.where === where || (isExact && names[at] === name)),
      );
      if (held >= 0) return held;
      kinds.push(kind);
      names.push(distinctName(name, names));
      return slots.push({ accumulator: ACCUMULATORS[kind] as Slot['accumulator'], field, where }) - 1;
    };
    const planned = windows.map(([name, feature, cell]): Omit<PlannedWindow, 'readKept'> => {
      const slot = slotOf(name, feature);
      const read = resultReader(feature);
      return { name, cell, feature, slot, read, ofNothing: read((slots[slot] as Slot).accumulator.empty()) };
    });
    this.#rowOf = rowFunction(Object.keys(view.features));
    this.#cells = this.#noCells();
    this.#slotNames = slots.map((_, slot) => planned.find((window) => window.slot === slot)?.name as string);
    this.#passed = new Uint8Array(slots.length);
    this.#typedInputs = planned.flatMap(({ name, slot, feature }): TypedInput[] => {
      const type = inputTypeOf(view, feature);
      if (type === undefined || feature.field === undefined) return [];
      const as =
        convertedTypeOf(view, feature) === undefined ? undefined : convertedField(feature.field, type, kinds[slot]);
      const isNumber = isOfNumbers(kinds[slot]);
      return [{ name, slot, field: feature.field, type, as, isNumber }];
    });
    this.#convertsInputs = this.#typedInputs.some(({ as }) => as !== undefined);
    const lengths = [...new Set(windows.map(([, { windowMs }]) => windowMs))].sort((a, b) => a - b);
    this.#fewTiles = kinds.some((kind) => COSTLY.has(kind)) ? 0 : FEW_TILES;
    const all = slots.map((_, slot) => slot);
    this.#lists = all.filter((slot) => kinds[slot] === 'sets');
    const sessions = named(view, 'session');
    const longestMs = Math.max(HOUR_MS, ...lengths, ...sessions.map(([, { gapMs }]) => gapMs));
    const horizonMs = longestMs + allowedLatenessMs;
    const keptMs = horizonMs + edgeStepMs(horizonMs);
    this.#layout = { slots, all, horizonMs, keptMs, coarsestMs: lengthForAge(keptMs) };
    this.#groups = lengths.map((windowMs) => {
      const slotsOf = (isIn: (length: number) => boolean): SlotIndexes =>
        all.filter((index) => planned.some(({ slot, feature }) => slot === index && isIn(feature.windowMs)));
      const edge = windowEdge(windowMs);
      const slotsOfLength = slotsOf((length) => length === windowMs);
      const keeper = new WindowKeeper(this.#layout, kinds, edge, slotsOfLength);
      const features = planned
        .filter(({ feature }) => feature.windowMs === windowMs)
        .map((window): PlannedWindow => ({ ...window, readKept: keptReader(keeper, window) }));
      return { ...edge, features, keeper, slotsFromHere: slotsOf((length) => length >= windowMs) };
    });
    this.#gaps = [...new Set(sessions.map(([, { gapMs }]) => gapMs))];
    this.#sessions = sessions.map(([name, feature, cell]) => ({
      name,
      cell,
      feature,
      gap: this.#gaps.indexOf(feature.gapMs),
    }));
    this.layout = { format: 1, slots: names, gapsMs: this.#gaps, keptMs: this.#layout.keptMs };
    this.#ofEvent = named(view, 'event');
    this.#sincePrevious = named(view, 'previous');
    this.#derived = [...this.#ofEvent, ...this.#sincePrevious].filter(([name]) =>
      windows.some(([, { field }]) => field === name),
    );
    this.#ofFeatures = view.expressionOrder.map(
      (name) => [name, view.features[name], 0] as unknown as Named<'expression' | 'as_of'>,
    );
  }

  #noCells(): Cells {
    return Object.keys(this.view.features).map(() => null);
  }

  /** Returns what features of these names keep in an entity's state. */
  stateOf(names: ReadonlySet<string>): StateOfFeatures {
    const windows = this.#groups.flatMap(({ features }) => features);
    const slots = this.#layout.slots.flatMap((_, index) => {
      const users = windows.filter(({ slot }) => slot === index);
      const [first] = users.filter(({ name }) => names.has(name));
      if (first === undefined) return [];
      return [{ index, kind: accumulatorKindOf(first.feature), isShared: users.some(({ name }) => !names.has(name)) }];
    });
    const sessions = this.#gaps.flatMap((_, index) => {
      const users = this.#sessions.filter(({ gap }) => gap === index);
      if (!users.some(({ name }) => names.has(name))) return [];
      return [{ index, isShared: users.some(({ name }) => !names.has(name)) }];
    });
    const sincePrevious = this.#sincePrevious.map(([name]) => name).filter((name) => names.has(name));
    return { slots, sessions, sincePrevious };
  }

  /**
   * Returns which tiles a window feature is of in the row of `asOfMs`, as the row's computation adds them up. To be called as the row is emitted: the state must be the one it is of.
   */
  windowContents(
    { tiles: { tiles, newest } }: Pick<EntityState, 'tiles'>,
    name: string,
    asOfMs: number,
  ): WindowContents {
    const [group, { slot, read, ofNothing }] = this.#planned(name);
    const held: WindowTile[] = [];
    // Of before all tiles that are kept whole.
    if (asOfMs <= newest - this.#layout.horizonMs) return { ...edgeOf(group), tiles: held, isEventAlone: true };
    let isEventAlone = false;
    for (let at = tiles.length - 1; at >= 0; at -= 1) {
      const tile = tiles[at] as Tile;
      if (tile.start > asOfMs) continue;
      if (tile.latest > asOfMs) {
        isEventAlone = true;
        continue;
      }
      if (leavesAt(tile, group) <= asOfMs) break;
      const accumulated = tile.slots[slot];
      const value = accumulated === null || accumulated === undefined ? ofNothing : read(accumulated);
      held.push({ startMs: tile.start, lengthMs: tile.lengthMs, value });
    }
    return { ...edgeOf(group), tiles: held.reverse(), isEventAlone };
  }

  /** Returns the session that a session feature measures in the row of `asOfMs`; undefined where there is none. */
  sessionOf({ sessions }: Pick<EntityState, 'sessions'>, name: string, asOfMs: number): Readonly<Session> | undefined {
    const planned = this.#sessions.find((session) => session.name === name);
    if (planned === undefined) throw new TypeError(`${viewId(this.view)} has no session feature "${name}"`);
    return currentSession(sessions[planned.gap] ?? [], planned.feature.gapMs, asOfMs);
  }

  /** An event may be so much older than the newest and still come into a window, ms. */
  get tilesReachMs(): number {
    return this.#layout.horizonMs;
  }

  /** Returns until when an event of `eventTimeMs` counts in the window of a feature, ms. */
  leavesWindowAt(name: string, eventTimeMs: number): number {
    const [group] = this.#planned(name);
    return leavesAt(emptyTile(this.#layout, eventTimeMs, 1), group);
  }

  /**
   * Returns what an event gives to a window feature.
   *
   * @param earlier - the newest event before it, for features since the previous event that the window aggregates
   * @throws {@link FeatureComputationError}
   */
  contributionOf(
    name: string,
    { event, eventTimeMs }: { readonly event: EventFields; readonly eventTimeMs: number },
    earlier: { readonly event: EventFields; readonly eventTimeMs: number } | undefined,
  ): Contribution {
    const [, { slot, feature }] = this.#planned(name);
    try {
      const sincePrevious: Values = {};
      for (const [previous, { type, compute }] of this.#sincePrevious) {
        if (!this.#derived.some(([derived]) => derived === previous)) continue;
        this.#current = previous;
        sincePrevious[previous] = declaredValue(type, compute(event, eventTimeMs, earlier));
      }
      const counted = this.#withDerived(event, eventTimeMs, sincePrevious);
      this.#filter(counted);
      const passes = this.#passed[slot] === 1;
      const value = feature.field === undefined ? undefined : (counted[feature.field] ?? undefined);
      return { passes, value, counts: passes && (feature.field === undefined || value !== undefined) };
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #planned(name: string): readonly [WindowGroup, PlannedWindow] {
    for (const group of this.#groups) {
      const planned = group.features.find((feature) => feature.name === name);
      if (planned !== undefined) return [group, planned];
    }
    throw new TypeError(`${viewId(this.view)} has no window feature "${name}"`);
  }

  /** How long after its newest event an entity's state can still matter, ms. */
  get horizonMs(): number {
    return this.#layout.keptMs;
  }

  /**
   * Counts the event in and returns the row as of its own time: nothing later is seen, and what is still to arrive is not
   * known. An out-of-order event sees itself and earlier tiles, not those of its own tile. Call {@link decay} before, up to the event's time,
   * and {@link earlyRows}: of an event before the time of the newest row, rows were emitted too early, and {@link correct} gives them again.
   *
   * When a function of the view throws, or a value is of another type than declared, the state stays as it was: values are computed of the state and
   * the event, and only then the event is added.
   *
   * @param accept - sees the values before the event counts; what it throws keeps the event out
   * @returns values by feature name, in the view's order
   * @throws {@link FeatureComputationError}
   */
  apply(
    state: EntityState,
    event: EventFields,
    eventTimeMs: number,
    accept?: (values: Readonly<Values>) => void,
  ): Readonly<Values> {
    const { latest, asOfMs, tiles } = state;
    const isNewest = latest === undefined || eventTimeMs >= latest.eventTimeMs;
    const sincePrevious: Values = {};
    let counted: EventFields;
    try {
      const earlier = isNewest ? latest : undefined;
      for (const [name, feature] of this.#sincePrevious) {
        this.#current = name;
        sincePrevious[name] = declaredValue(feature.type, feature.compute(event, eventTimeMs, earlier));
      }
      counted = this.#withDerived(event, eventTimeMs, sincePrevious);
      this.#filter(counted);
      counted = this.#withTyped(counted);
    } catch (error) {
      throw this.#failure(error);
    }
    const passed = this.#passed;
    if (isNewest && eventTimeMs < asOfMs) {
      state.asOfMs = eventTimeMs;
      this.#forget(state);
    }
    const before = tilesBefore(tiles);
    const sessionsBefore = this.#gaps.length === 0 ? undefined : [...state.sessions];
    const tile = openTile(tiles, this.#layout, eventTimeMs);
    const adding = tile === undefined ? undefined : { event: counted, eventTimeMs, tile, passed };
    const isRunning = isNewest && this.#isBusy(state);
    let values: Readonly<Values>;
    try {
      this.#addToSessions(state, eventTimeMs);
      const of = { event, eventTimeMs, sincePrevious, counted };
      values = this.#valuesAt(state, of, eventTimeMs, isRunning, adding, tile === undefined);
      accept?.(values);
    } catch (error) {
      undoOpen(tiles, before, tile);
      if (sessionsBefore !== undefined) state.sessions.splice(0, state.sessions.length, ...sessionsBefore);
      state.asOfMs = asOfMs;
      this.#forget(state);
      throw this.#failure(error);
    }
    if (adding !== undefined) {
      // Windows that gave the values have the event already.
      if (!isRunning) this.#addToRunning(state, adding);
      addToTile(adding.tile, this.#layout, this.#layout.all, counted, eventTimeMs, passed);
    }
    if (isNewest) {
      state.latest = { event, eventTimeMs, sincePrevious };
      // Rows of before the newest event stay as they were known.
      if (state.emitted !== undefined) state.emitted = nonEmpty(state.emitted.filter((at) => at > eventTimeMs));
      if (state.owed !== undefined)
        state.owed = nonEmpty(state.owed.filter((at) => at > eventTimeMs && this.endsSession(state, at)));
    }
    if (eventTimeMs > state.asOfMs) state.asOfMs = eventTimeMs;
    if (isRunning) this.#keep(state);
    return values;
  }

  /** Whether windows are kept up to date event by event. */
  #isBusy({ tiles: { tiles } }: EntityState): boolean {
    if (tiles.length > this.#fewTiles) return true;
    for (const slot of this.#lists) {
      for (const { slots } of tiles)
        if (((slots[slot] as readonly string[] | null)?.length ?? 0) > LONG_LIST) return true;
    }
    return false;
  }

  /** Keeps the row of what the windows hold: the next one has most of its values. */
  #keep(state: EntityState): void {
    const running = this.#runningOf(state);
    if (running !== undefined) running.hasRow = true;
  }

  /** Calls each filter once. */
  #filter(event: EventFields): void {
    const { slots } = this.#layout;
    for (let slot = 0; slot < slots.length; slot += 1) {
      const { where } = slots[slot] as Slot;
      if (where === undefined) this.#passed[slot] = 1;
      else {
        this.#current = this.#slotNames[slot] as string;
        const passes: unknown = where(event);
        if (typeof passes === 'object' && passes !== null)
          throw new TypeError('its filter returned an object, not a boolean');
        this.#passed[slot] = passes ? 1 : 0;
      }
    }
  }

  /** Looks at what windows will give as it is, and adds what they take in another form. */
  #withTyped(event: EventFields): EventFields {
    const typed: Record<string, unknown> | undefined = this.#convertsInputs ? { ...event } : undefined;
    for (const { name, slot, field, type, as, isNumber } of this.#typedInputs) {
      if (this.#passed[slot] === 0) continue;
      this.#current = name;
      const value = declaredValue(type, event[field]);
      if (as !== undefined && typed !== undefined) typed[as] = isNumber && value !== null ? Number(value) : value;
    }
    return typed ?? event;
  }

  #failure(error: unknown): FeatureComputationError {
    return error instanceof FeatureComputationError
      ? error
      : new FeatureComputationError(viewId(this.view), this.#current, error);
  }

  /**
   * Emits a row for each time before `beforeMs` at which values change although nothing happens: events leave a window, the session
   * runs out. Windows move by the steps of {@link leavesAt}.
   *
   * @param fail - is given rows that cannot be computed; without it they are skipped
   * @param endsSessions - false: stops before the end of a session, which an event that is read again after a crash could move
   */
  decay(
    state: EntityState,
    beforeMs: number,
    emit: (asOfMs: number, values: Readonly<Values>) => void,
    fail?: (asOfMs: number, error: FeatureComputationError) => void,
    endsSessions = true,
  ): void {
    const { latest } = state;
    if (latest === undefined) return;
    for (let at = this.nextChange(state); at !== undefined && at < beforeMs; at = this.nextChange(state)) {
      if (!endsSessions && this.endsSession(state, at)) return;
      // Sums that are kept have moved past it.
      if (at <= state.asOfMs) this.#forget(state);
      let values: Readonly<Values> | undefined;
      try {
        const isRunning = this.#isBusy(state);
        values = this.#valuesAt(state, latest, at, isRunning, undefined);
        if (isRunning) this.#keep(state);
      } catch (error) {
        this.#forget(state);
        fail?.(at, this.#failure(error));
      }
      if (values !== undefined) emit(at, values);
      if (at > state.asOfMs) state.asOfMs = at;
      else state.owed = nonEmpty((state.owed ?? []).filter((time) => time !== at));
    }
  }

  /** Whether a session ends at a time, should nothing more happen. */
  endsSession({ sessions }: Pick<EntityState, 'sessions'>, atMs: number): boolean {
    return this.#gaps.some((gapMs, gap) => {
      const last = sessions[gap]?.at(-1);
      return last !== undefined && last.end + gapMs === atMs;
    });
  }

  /** Whether the view has features of sessions. */
  get hasSessions(): boolean {
    return this.#gaps.length > 0;
  }

  /** Returns when sessions end of which no row is known to have been emitted, after `afterMs` up to `untilMs`. */
  openEnds({ sessions, asOfMs }: EntityState, afterMs: number, untilMs: number): number[] {
    const ends = this.#gaps.map((gapMs, gap) => sessionEndsAt(sessions[gap] ?? [], gapMs, Math.max(asOfMs, afterMs)));
    return ends.filter((at) => at !== undefined).filter((at) => at <= untilMs);
  }

  /** Emits rows of ends of sessions again of which stores may hold some, where the sessions have continued since; and notes their times for events to come. */
  correctEnds(
    state: EntityState,
    ends: readonly number[],
    emit: (asOfMs: number, values: Readonly<Values>) => void,
    fail?: (asOfMs: number, error: FeatureComputationError) => void,
  ): void {
    const latest = state.latest as NonNullable<EntityState['latest']>;
    const moved = ends.filter((at) => at > latest.eventTimeMs && !this.endsSession(state, at));
    if (moved.length === 0) return;
    for (const at of moved) {
      try {
        emit(at, this.#valuesAt(state, latest, at, false, undefined));
      } catch (error) {
        fail?.(at, this.#failure(error));
      }
    }
    state.emitted = [...new Set([...(state.emitted ?? []), ...moved])];
  }

  /**
   * Returns which rows have been emitted that an event of `eventTimeMs` belongs in: those from the newest event on. Rows of earlier events stay as they
   * were known. Undefined when there are none, as for events in order.
   */
  earlyRows(state: EntityState, eventTimeMs: number): EarlyRows | undefined {
    const { latest, asOfMs, emitted = [] } = state;
    if (latest === undefined) return undefined;
    const fromMs = Math.max(eventTimeMs, latest.eventTimeMs);
    const times = emitted.filter((at) => at > fromMs);
    if (eventTimeMs >= asOfMs) return times.length > 0 ? { fromMs, untilMs: asOfMs, times } : undefined;
    if (eventTimeMs < latest.eventTimeMs) times.push(latest.eventTimeMs);
    const changes = this.#changesBetween(state, fromMs, asOfMs).filter((at) => !(state.owed ?? []).includes(at));
    return { fromMs, untilMs: asOfMs, times: [...times, ...changes] };
  }

  /**
   * Emits rows again that {@link earlyRows} has named before {@link apply}, and those that the event adds between them.
   *
   * @param endsSessions - false: rows of sessions that end anew are owed, see {@link decay}
   */
  correct(
    state: EntityState,
    { fromMs, untilMs, times }: EarlyRows,
    emit: (asOfMs: number, values: Readonly<Values>) => void,
    fail?: (asOfMs: number, error: FeatureComputationError) => void,
    endsSessions = true,
  ): void {
    const latest = state.latest as NonNullable<EntityState['latest']>;
    // Sums that are kept may have moved past these times.
    if (untilMs > fromMs) this.#forget(state);
    const changes = this.#changesBetween(state, fromMs, untilMs);
    const held = (state.owed ?? []).filter((at) => changes.includes(at));
    const anew = endsSessions ? [] : changes.filter((at) => !times.includes(at) && this.endsSession(state, at));
    const owed = [...new Set([...held, ...anew])];
    state.owed = nonEmpty(owed);
    for (const at of [...new Set([...times, ...changes])].sort((a, b) => a - b)) {
      if (owed.includes(at)) continue;
      let values: Readonly<Values> | undefined;
      try {
        values = this.#valuesAt(state, latest, at, this.#isBusy(state), undefined);
      } catch (error) {
        this.#forget(state);
        fail?.(at, this.#failure(error));
      }
      if (values !== undefined) emit(at, values);
    }
    if (times.some((at) => at > untilMs)) this.#forget(state);
    state.asOfMs = Math.max(untilMs, latest.eventTimeMs);
    const others = times.filter((at) => at > latest.eventTimeMs && !changes.includes(at));
    if (state.emitted !== undefined || others.length > 0) state.emitted = nonEmpty(others);
  }

  /** Times after `fromMs` up to `untilMs` at which values change, should nothing more happen. */
  #changesBetween(state: EntityState, fromMs: number, untilMs: number): number[] {
    const changes: number[] = [];
    const { tiles, sessions } = state;
    let at = this.nextChange({ tiles, sessions, asOfMs: fromMs });
    while (at !== undefined && at <= untilMs) {
      changes.push(at);
      at = this.nextChange({ tiles, sessions, asOfMs: at });
    }
    return changes;
  }

  /** When values change next, should nothing more happen; undefined when they stay as they are. */
  nextChange(state: Omit<EntityState, 'latest'>): number | undefined {
    const { sessions, asOfMs, owed } = state;
    let next = this.#nextLeaving(state);
    if (owed !== undefined) for (const at of owed) if (at < next) next = at;
    for (let gap = 0; gap < this.#gaps.length; gap += 1) {
      const endsAt = sessionEndsAt(sessions[gap] ?? [], this.#gaps[gap] as number, asOfMs);
      if (endsAt !== undefined) next = Math.min(next, endsAt);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  /** When events leave a window next; Infinity when none do. */
  #nextLeaving(state: Omit<EntityState, 'latest'>): number {
    const {
      tiles: { tiles },
      asOfMs,
    } = state;
    let next = Number.POSITIVE_INFINITY;
    const running = this.#runningOf(state as EntityState);
    if (running?.asOfMs === asOfMs) {
      for (const { leavesMs } of running.windows) if (leavesMs < next) next = leavesMs;
      return next;
    }
    for (const group of this.#groups) {
      let low = 0;
      for (let high = tiles.length; low < high; ) {
        const middle = (low + high) >> 1;
        if (leavesAt(tiles[middle] as Tile, group) > asOfMs) high = middle;
        else low = middle + 1;
      }
      const leaving = tiles[low];
      if (leaving !== undefined) next = Math.min(next, leavesAt(leaving, group));
    }
    return next;
  }

  #withDerived(event: EventFields, eventTimeMs: number, sincePrevious: Values): EventFields {
    if (this.#derived.length === 0) return event;
    const counted: Record<string, unknown> = { ...event };
    for (const [name, feature] of this.#derived) {
      this.#current = name;
      counted[name] =
        feature.kind === 'previous'
          ? sincePrevious[name]
          : declaredValue(feature.type, feature.compute(event, eventTimeMs));
    }
    return counted;
  }

  #addToSessions(state: EntityState, eventTimeMs: number): void {
    for (let gap = 0; gap < this.#gaps.length; gap += 1) {
      const gapMs = this.#gaps[gap] as number;
      const sessions = withEvent(state.sessions[gap] ?? [], gapMs, eventTimeMs);
      state.sessions[gap] = sessions;
      dropSessions(sessions, gapMs, state.tiles.newest - this.#layout.horizonMs);
    }
  }

  #valuesAt(
    state: EntityState,
    of: RowEvent,
    asOfMs: number,
    isRunning: boolean,
    adding: Counted | undefined,
    isBeyondTiles = false,
  ): Readonly<Values> {
    const running = isRunning ? (this.#runningOf(state) ?? this.#run(state)) : undefined;
    // Of the row before, what events leave behind them is the same.
    const hasRowBefore = running?.hasRow === true && adding === undefined;
    let cells = running?.cells ?? this.#cells;
    if (running === undefined || !this.#runningValues(state, running, asOfMs, adding, hasRowBefore)) {
      cells = this.#cells;
      this.#windows(state.tiles, of, asOfMs, cells, adding, isBeyondTiles);
    }
    for (const { cell, feature, gap } of this.#sessions) {
      cells[cell] = measureSession(state.sessions[gap] ?? [], feature, asOfMs);
    }
    if (!hasRowBefore || cells === this.#cells) {
      for (const [name, { type, compute }, cell] of this.#ofEvent) {
        this.#current = name;
        cells[cell] = declaredValue(type, compute(of.event, of.eventTimeMs));
      }
      for (const [name, , cell] of this.#sincePrevious) cells[cell] = of.sincePrevious[name] ?? null;
    }
    const values = this.#rowOf(cells);
    for (const [name, { type, compute }] of this.#ofFeatures) {
      this.#current = name;
      values[name] = declaredValue(type, compute(values, asOfMs));
    }
    return values;
  }

  /**
   * @param hasRowBefore - its cells are those of the row before: windows that nothing has left have theirs
   * @returns false: numbers of a window do not hold its values, and nothing is kept
   */
  #runningValues(
    state: EntityState,
    running: Running,
    asOfMs: number,
    adding: Counted | undefined,
    hasRowBefore: boolean,
  ): boolean {
    running.asOfMs = asOfMs;
    running.hasRow = false;
    const { windows, cells } = running;
    const { tiles } = state.tiles;
    for (let at = 0; at < windows.length; at += 1) {
      const { keeper, features } = this.#groups[at] as WindowGroup;
      const window = windows[at] as KeptWindow;
      const isLeft = window.isStale || window.leavesMs <= asOfMs;
      if (
        (isLeft && !keeper.leave(window, tiles, asOfMs)) ||
        (adding !== undefined && !keeper.add(window, adding.tile, adding.event, adding.eventTimeMs, adding.passed))
      ) {
        this.#forget(state);
        return false;
      }
      if (isLeft || !hasRowBefore) this.#readKept(window, features, cells);
    }
    return true;
  }

  #readKept(window: KeptWindow, features: readonly PlannedWindow[], cells: Cells): void {
    for (let at = 0; at < features.length; at += 1) {
      const { name, cell, feature, readKept } = features[at] as PlannedWindow;
      this.#current = name;
      cells[cell] = declaredValue(feature.type, readKept(window));
    }
  }

  #read({ slots }: Tile, { features }: WindowGroup, cells: Cells): void {
    for (let at = 0; at < features.length; at += 1) {
      const { name, cell, feature, slot, read, ofNothing } = features[at] as PlannedWindow;
      this.#current = name;
      const accumulated = slots[slot];
      cells[cell] =
        accumulated === null || accumulated === undefined ? ofNothing : declaredValue(feature.type, read(accumulated));
    }
  }

  /** What is kept of the entity of before: one event looks for it several times. */
  #runningOf(state: EntityState): Running | undefined {
    if (this.#lastState !== state) {
      this.#lastState = state;
      this.#lastRunning = this.#running.get(state);
    }
    return this.#lastRunning;
  }

  #run(state: EntityState): Running {
    const windows = this.#groups.map(({ keeper }) => keeper.empty());
    const running = { windows, asOfMs: Number.NEGATIVE_INFINITY, cells: this.#noCells(), hasRow: false };
    this.#running.set(state, running);
    this.#lastState = state;
    this.#lastRunning = running;
    return running;
  }

  #forget(state: EntityState): void {
    this.#running.delete(state);
    if (this.#lastState === state) this.#lastRunning = undefined;
  }

  /** Adds an event that is not in the tiles yet. */
  #addToRunning(state: EntityState, { tile, event, eventTimeMs, passed }: Counted): void {
    const running = this.#runningOf(state);
    if (running === undefined) return;
    running.hasRow = false;
    for (let at = 0; at < running.windows.length; at += 1) {
      const group = this.#groups[at] as WindowGroup;
      const window = running.windows[at] as KeptWindow;
      if (leavesAt(tile, group) > state.asOfMs && !group.keeper.add(window, tile, event, eventTimeMs, passed)) {
        this.#forget(state);
        return;
      }
    }
  }

  #windows(
    state: TileState,
    of: RowEvent,
    asOfMs: number,
    cells: Cells,
    adding: Counted | undefined,
    isBeyondTiles: boolean,
  ): void {
    if (this.#groups.length === 0) return;
    const { tiles } = state;
    const merged = emptyTile(this.#layout, 0, 0);
    let at = tiles.length - 1;
    if (isBeyondTiles) {
      // Before all tiles that are kept whole: the event alone.
      addToTile(merged, this.#layout, this.#layout.all, of.counted ?? of.event, asOfMs, this.#passed);
      at = -1;
    }
    while (at >= 0 && (tiles[at] as Tile).start > asOfMs) at -= 1;
    if (at >= 0 && (tiles[at] as Tile).latest > asOfMs) {
      // Its tile holds later events, which must not be seen: better to miss its neighbours than to know the future.
      addToTile(merged, this.#layout, this.#layout.all, of.counted ?? of.event, asOfMs, adding?.passed);
      at -= 1;
    }
    for (const group of this.#groups) {
      for (; at >= 0; at -= 1) {
        const tile = tiles[at] as Tile;
        if (leavesAt(tile, group) <= asOfMs) break;
        mergeTile(this.#layout, group.slotsFromHere, merged, tile);
        if (adding !== undefined && tile === adding.tile) {
          addToTile(merged, this.#layout, group.slotsFromHere, adding.event, adding.eventTimeMs, adding.passed);
        }
      }
      this.#read(merged, group, cells);
    }
  }
}

/** What the input of a window has to be, where its values are given or summed as they are; undefined: as each accumulator takes it. */
function inputTypeOf({ features }: FeatureView, feature: WindowFeature): FeatureType | undefined {
  const { aggregation, parameter = 1, field = '', type } = feature;
  if (aggregation === 'top' || aggregation === 'first' || aggregation === 'last') {
    return parameter === 1 ? type : elementTypeOf(type);
  }
  const kind = accumulatorKindOf(feature);
  if (kind === 'integers' || (kind === 'moments' && type === 'long')) return type;
  const derived = (features as Readonly<Record<string, Feature>>)[field];
  return isOfNumbers(kind) && derived !== undefined && isExactType(derived.type) ? derived.type : undefined;
}

/** The same, where it is not what the event has: undefined for the types of JSON. */
function convertedTypeOf(view: FeatureView, feature: WindowFeature): FeatureType | undefined {
  const type = inputTypeOf(view, feature);
  return type === undefined || isPlainType(type) ? undefined : type;
}

/** No field of an event is called so. */
const convertedField = (field: string | undefined, type: FeatureType, kind: AccumulatorKind | undefined): string =>
  `${field}:${type}${isOfNumbers(kind) ? ':number' : ''}`;

const isOfNumbers = (kind: AccumulatorKind | undefined): boolean => kind === 'moments' || kind === 'quantileSketches';

const nonEmpty = (times: number[]): number[] | undefined => (times.length > 0 ? times : undefined);

function named<Kind extends Feature['kind']>({ features }: FeatureView, kind: Kind): readonly Named<Kind>[] {
  const all = Object.entries<Feature>(features).map(([name, feature], cell) => [name, feature, cell] as const);
  return all.filter(([, feature]) => feature.kind === kind) as unknown as Named<Kind>[];
}

/** Returns a function of the names' own: an object that is written down whole is made many times faster than one that is filled name by name. */
const rowFunction = (names: readonly string[]): ((cells: Cells) => Values) =>
  new Function('cells', `return {${names.map((name, at) => `${JSON.stringify(name)}: cells[${at}]`).join()}};`) as (
    cells: Cells,
  ) => Values;

/** Two filters of one source, made by one function with other captured values, are distinguished by number, in the order of the view. */
function distinctName(name: string, taken: readonly string[]): string {
  let distinct = name;
  for (let number = 2; taken.includes(distinct); number += 1) distinct = `${name}#${number}`;
  return distinct;
}
