import { keyIdOf } from '#kernel/keys/key_codec';
import { type EventTime, MAX_EVENT_TIME } from '#kernel/time';
import { callsOf, outputApart } from '../combine_calls.ts';
import type { CombineFn, PaneInfo } from '../dofn.ts';
import { LargeMap } from '../state/large_map.ts';
import type { OperatorSnapshot, RestoreScope, SavedPart, TakeEntry } from '../state/snapshot.ts';
import { TimeHeap } from '../time/time_heap.ts';
import { WatermarkHolds } from '../time/watermark_holds.ts';
import { SessionWindows } from '../windowing/session_windows.ts';
import { compileTrigger, type TriggerMachine, type TriggerScope, type TriggerState } from '../windowing/trigger.ts';
import { mergeOverlapping, reviveWindow, type SavedWindow, saveWindow, type Window } from '../windowing/window.ts';
import type { WindowingStrategy } from '../windowing/windowing_strategy.ts';
import { keyIdIn } from './key_identity.ts';
import { type Edge, type EngineContext, Operator } from './operator.ts';

/** What becomes of the values of one key and window. */
export interface Reducer {
  readonly name: string;
  create(): unknown;
  add(accumulator: unknown, value: unknown): unknown;
  merge(accumulators: readonly unknown[]): unknown;
  /** The output; `keep` says that the accumulator lives on, so the output must not share what changes. */
  extract(accumulator: unknown, keep: boolean): unknown;
}

/** GroupByKey: all values, in order of arrival. */
export const collectValues: Reducer = {
  name: 'group',
  create: () => [],
  add(accumulator, value) {
    (accumulator as unknown[]).push(value);
    return accumulator;
  },
  merge: (accumulators) => accumulators.flat(),
  extract: (accumulator, keep) => (keep ? [...(accumulator as unknown[])] : accumulator),
};

/** Combine per key: one accumulator takes each value as it comes. @param transform - for errors of the function */
export function combineValues(combineFn: CombineFn<never, unknown, unknown>, transform: string): Reducer {
  const fn = callsOf(combineFn, transform);
  return {
    name: 'combine',
    create: fn.createAccumulator,
    add: fn.addInput,
    merge: fn.mergeAccumulators,
    extract: (accumulator, keep) => (keep ? outputApart(fn, accumulator) : fn.extractOutput(accumulator)),
  };
}

/** Timings as snapshots hold them. */
type Timing = PaneInfo['timing'];

/** What is held for one key and window. */
class Group {
  readonly key: unknown;
  accumulator: unknown = undefined;
  /** Elements since the last pane. */
  unfired = 0;
  /** Event time that the unfired elements hold the output watermark at; NaN when they hold nothing. */
  hold = Number.NaN;
  /** Timestamp of the pane to come, for combiners that need the elements; NaN when there is none. */
  timestamp = Number.NaN;
  trigger: TriggerState | undefined = undefined;
  /** Panes so far, and those of them that were not early. */
  panes = 0;
  onTimePanes = 0;
  lastTiming: Timing = 'UNKNOWN';
  /** The trigger is done for good: later elements are dropped until the window expires. */
  closed = false;
  /** The last snapshot that has it, or began before it was made. */
  snapshot: number;

  constructor(key: unknown, snapshot: number) {
    this.key = key;
    this.snapshot = snapshot;
  }
}

/** A group as snapshots hold it. */
interface SavedGroup {
  readonly window: SavedWindow;
  readonly ended: boolean;
  readonly group: Group;
}

interface OpenWindow {
  readonly window: Window;
  readonly groups: LargeMap<unknown, Group>;
  ended: boolean;
}

interface Wake {
  readonly windowId: string;
  readonly keyId: unknown;
}

export interface GroupByKeyOptions {
  readonly name: string;
  readonly input: Edge;
  readonly output: Edge;
  readonly windowing: WindowingStrategy;
  readonly reducer: Reducer;
  readonly context: EngineContext;
}

/**
 * Groups KVs by key and window, and emits panes as the trigger says. Windows are looked up first and keys second, so that
 * the end of a window is one event, not one timer a key.
 *
 * Semantics: Apache Beam (programming guide §8 and §9); holds, pane timing and merging follow its Java ReduceFnRunner. An
 * element is late by its own window, before merging.
 */
export class GroupByKeyOperator extends Operator implements TriggerScope {
  readonly #output: Edge;
  readonly #windowing: WindowingStrategy;
  readonly #reducer: Reducer;
  readonly #context: EngineContext;
  readonly #trigger: TriggerMachine | undefined;
  readonly #open = new LargeMap<string, OpenWindow>();
  /** Ends and expiries of open windows. */
  readonly #deadlines = new TimeHeap<OpenWindow>();
  /** Merging functions only: open windows of each key. */
  readonly #windowsOfKey = new Map<unknown, Window[]>();
  /** Instead of it, for sessions: windows that merge where they overlap. */
  readonly #sessions: SessionWindows | undefined;
  readonly #wakes = new TimeHeap<Wake>();
  readonly #holds = new WatermarkHolds();
  #last: OpenWindow | undefined;
  #snapshot = 0;
  #take: TakeEntry | undefined;
  // The scope of the trigger call at hand.
  windowEnded = false;
  #wakeWindow = '';
  #wakeKey: unknown;

  constructor(options: GroupByKeyOptions) {
    super(options.name, options.input);
    this.#output = options.output;
    this.#windowing = options.windowing;
    this.#reducer = options.reducer;
    this.#context = options.context;
    const { trigger, windowFn } = options.windowing;
    this.#sessions = windowFn.merge === mergeOverlapping ? new SessionWindows() : undefined;
    this.#trigger = trigger.kind === 'default' ? undefined : compileTrigger(trigger);
    options.output.producers.push(this);
  }

  get now(): number {
    return this.#context.now();
  }

  wakeAt(at: number): void {
    this.#wakes.push(at, { windowId: this.#wakeWindow, keyId: this.#wakeKey });
  }

  receive(value: unknown, timestamp: EventTime, window: Window): void {
    const { key, value: item } = value as { readonly key: unknown; readonly value: unknown };
    if (this.#expiryOf(window) < this.inputWatermark) {
      this.#context.countDroppedLate(this.name);
      return;
    }
    const keyId = keyIdIn(this.name, key);
    const open = this.#windowing.windowFn.merge === undefined ? this.#openFor(window) : this.#mergeIn(keyId, window);
    let group = open.groups.get(keyId);
    if (group === undefined) {
      group = new Group(key, this.#snapshot);
      open.groups.set(keyId, group);
    } else if (this.#take !== undefined) {
      this.#handOver(group, open, this.#take);
    }
    if (group.closed) {
      this.#context.countDroppedLate(this.name);
      return;
    }
    const reducer = this.#reducer;
    group.accumulator = reducer.add(group.accumulator ?? reducer.create(), item);
    group.unfired += 1;
    this.#hold(group, timestamp, open.window);
    if (this.#trigger === undefined) {
      if (open.ended) this.#fire(keyId, group, open, false);
      return;
    }
    this.#look(keyId, open);
    group.trigger ??= this.#trigger.create();
    this.#trigger.onElement(group.trigger, this);
    if (this.#trigger.shouldFire(group.trigger, this)) this.#fire(keyId, group, open, false);
  }

  // --- windows -------------------------------------------------------------------------------------------------

  #expiryOf(window: Window): number {
    return Math.min(window.maxTimestamp() + this.#windowing.allowedLatenessMs, MAX_EVENT_TIME - 1);
  }

  #openFor(window: Window): OpenWindow {
    if (this.#last !== undefined && this.#last.window === window) return this.#last;
    let open = this.#open.get(window.id);
    if (open === undefined) {
      open = { window, groups: new LargeMap(), ended: window.maxTimestamp() < this.inputWatermark };
      this.#open.set(window.id, open);
      this.#deadlines.push(open.ended ? this.#expiryOf(window) : window.maxTimestamp(), open);
    }
    this.#last = open;
    return open;
  }

  #close(open: OpenWindow): void {
    this.#open.delete(open.window.id);
    if (this.#last === open) this.#last = undefined;
  }

  /** Adds a window of a merging function, merges what must, and returns where the element goes. */
  #mergeIn(keyId: unknown, window: Window): OpenWindow {
    if (this.#sessions !== undefined) {
      const { sources, result } = this.#sessions.add(keyId, window);
      if (sources.length > 0) this.#mergeGroups(keyId, sources, result);
      return this.#openFor(result);
    }
    const windows = this.#windowsOfKey.get(keyId) ?? [];
    if (!windows.some(({ id }) => id === window.id)) windows.push(window);
    let target = window;
    let remaining = windows;
    for (const { sources, result } of this.#windowing.windowFn.merge?.(windows) ?? []) {
      const merged = new Set(sources.map(({ id }) => id));
      if (merged.has(target.id)) target = result;
      this.#mergeGroups(keyId, sources, result);
      remaining = [...remaining.filter(({ id }) => !merged.has(id)), result];
    }
    this.#windowsOfKey.set(keyId, remaining);
    return this.#openFor(target);
  }

  #mergeGroups(keyId: unknown, sources: readonly Window[], result: Window): void {
    const groups: Group[] = [];
    let survivor: Group | undefined;
    for (const source of sources) {
      const open = this.#open.get(source.id);
      const group = open?.groups.get(keyId);
      if (open === undefined || group === undefined) continue;
      if (this.#take !== undefined) this.#handOver(group, open, this.#take);
      groups.push(group);
      if (source.id === result.id) survivor = group;
      open.groups.delete(keyId);
      if (open.groups.size === 0) this.#close(open);
    }
    const [first] = groups;
    if (first === undefined) return;
    const open = this.#openFor(result);
    const target = new Group(first.key, this.#snapshot);
    const held = groups.filter(({ accumulator }) => accumulator !== undefined);
    if (held.length > 0) {
      target.accumulator =
        held.length === 1 ? held[0]?.accumulator : this.#reducer.merge(held.map(({ accumulator }) => accumulator));
    }
    if (survivor !== undefined) {
      target.panes = survivor.panes;
      target.onTimePanes = survivor.onTimePanes;
      target.lastTiming = survivor.lastTiming;
    }
    open.groups.set(keyId, target);
    for (const group of groups) {
      if (!Number.isNaN(group.hold)) this.#holds.remove(group.hold);
      if (group.unfired === 0) continue;
      target.unfired += group.unfired;
      if (!Number.isNaN(group.timestamp)) this.#hold(target, group.timestamp, result);
    }
    if (target.unfired > 0 && Number.isNaN(target.hold)) this.#hold(target, result.maxTimestamp(), result);
    if (this.#trigger === undefined) return;
    this.#look(keyId, open);
    const states = groups.map(({ trigger }) => trigger).filter((state) => state !== undefined);
    if (states.length > 0) target.trigger = this.#trigger.merge(states, this);
    target.closed = target.trigger?.finished ?? false;
  }

  // --- holds ---------------------------------------------------------------------------------------------------

  /** Takes an unfired element into the pane's timestamp and the output watermark's hold. */
  #hold(group: Group, timestamp: number, window: Window): void {
    const { timestampCombiner } = this.#windowing;
    if (timestampCombiner === 'endOfWindow') {
      if (Number.isNaN(group.hold)) this.#setHold(group, this.#notLate(window.maxTimestamp(), window));
      return;
    }
    const first = Number.isNaN(group.timestamp);
    const combine = timestampCombiner === 'earliest' ? Math.min : Math.max;
    // A late element must not make the pane's timestamp late as well.
    if (timestamp >= this.outputWatermark) {
      group.timestamp = first ? timestamp : combine(group.timestamp, timestamp);
    }
    const hold = Number.isNaN(group.timestamp) ? window.maxTimestamp() : group.timestamp;
    this.#setHold(group, this.#notLate(hold, window));
  }

  /** A hold behind the output watermark would stop it: the window's expiry takes its place. */
  #notLate(hold: number, window: Window): number {
    return hold >= this.outputWatermark ? hold : this.#expiryOf(window);
  }

  #setHold(group: Group, hold: number): void {
    if (group.hold === hold) return;
    if (!Number.isNaN(group.hold)) this.#holds.remove(group.hold);
    group.hold = hold;
    this.#holds.add(hold);
  }

  protected override watermarkHold(): number {
    return this.#holds.earliest();
  }

  // --- firing --------------------------------------------------------------------------------------------------

  #look(keyId: unknown, open: OpenWindow): void {
    this.windowEnded = open.ended;
    this.#wakeWindow = open.window.id;
    this.#wakeKey = keyId;
  }

  protected override onInputWatermark(watermark: EventTime): void {
    for (let at = this.#deadlines.nextAt(); at !== undefined && at < watermark; at = this.#deadlines.nextAt()) {
      const open = this.#deadlines.pop() as OpenWindow;
      if (this.#open.get(open.window.id) !== open) continue;
      const isExpiring = this.#expiryOf(open.window) < watermark;
      if (!open.ended) {
        // Groups are saved with whether their window has ended: those not saved yet are, as it was.
        const take = this.#take;
        if (take !== undefined) for (const group of open.groups.values()) this.#handOver(group, open, take);
        open.ended = true;
        for (const [keyId, group] of open.groups) this.#fireIfDue(keyId, group, open, isExpiring);
        if (!isExpiring) this.#deadlines.push(this.#expiryOf(open.window), open);
      } else if (isExpiring) {
        for (const [keyId, group] of open.groups) if (group.unfired > 0) this.#fire(keyId, group, open, true);
      }
      if (isExpiring) this.#expire(open);
    }
  }

  #fireIfDue(keyId: unknown, group: Group, open: OpenWindow, isLast: boolean): void {
    if (group.closed) return;
    if (this.#trigger === undefined) {
      this.#fire(keyId, group, open, isLast);
      return;
    }
    this.#look(keyId, open);
    group.trigger ??= this.#trigger.create();
    const isDue = this.#trigger.shouldFire(group.trigger, this);
    // At the window's expiry whatever is left goes out, whether the trigger is due or not.
    if (isDue || (isLast && group.unfired > 0)) this.#fire(keyId, group, open, isLast);
  }

  #expire(open: OpenWindow): void {
    for (const [keyId, group] of open.groups) {
      if (this.#take !== undefined) this.#handOver(group, open, this.#take);
      if (!Number.isNaN(group.hold)) this.#holds.remove(group.hold);
      this.#forgetWindow(keyId, open.window);
    }
    this.#close(open);
  }

  #forgetWindow(keyId: unknown, window: Window): void {
    this.#sessions?.remove(keyId, window);
    const windows = this.#windowsOfKey.get(keyId)?.filter(({ id }) => id !== window.id);
    if (windows === undefined) return;
    if (windows.length === 0) this.#windowsOfKey.delete(keyId);
    else this.#windowsOfKey.set(keyId, windows);
  }

  override nextProcessingTime(): number | undefined {
    return this.#wakes.nextAt();
  }

  override advanceProcessingTime(now: number): void {
    for (let at = this.#wakes.nextAt(); at !== undefined && at <= now; at = this.#wakes.nextAt()) {
      const { windowId, keyId } = this.#wakes.pop() as Wake;
      const open = this.#open.get(windowId);
      const group = open?.groups.get(keyId);
      if (open !== undefined && group !== undefined) this.#fireIfDue(keyId, group, open, false);
    }
  }

  #fire(keyId: unknown, group: Group, open: OpenWindow, isExpiring: boolean): void {
    const { window } = open;
    if (this.#take !== undefined) this.#handOver(group, open, this.#take);
    if (this.#trigger !== undefined && group.trigger !== undefined) {
      this.#look(keyId, open);
      this.#trigger.onFire(group.trigger, this);
      if (group.trigger.finished) group.closed = true;
    }
    const isLast = isExpiring || group.closed;
    const timing = this.#timingOf(group, open);
    const timestamp = Number.isNaN(group.timestamp) ? window.maxTimestamp() : group.timestamp;
    const isWanted = group.unfired > 0 || (timing === 'ON_TIME' && this.#windowing.emptyOnTimePanes);
    const keep = !isLast && this.#windowing.accumulating;
    if (!Number.isNaN(group.hold)) {
      this.#holds.remove(group.hold);
      group.hold = Number.NaN;
    }
    group.timestamp = Number.NaN;
    group.unfired = 0;
    if (isWanted) {
      const pane: PaneInfo = {
        timing,
        index: group.panes,
        onTimeIndex: timing === 'EARLY' ? -1 : group.onTimePanes,
        isFirst: group.panes === 0,
        isLast,
      };
      group.panes += 1;
      if (timing !== 'EARLY') group.onTimePanes += 1;
      group.lastTiming = timing;
      const accumulator = group.accumulator ?? this.#reducer.create();
      if (!keep) group.accumulator = undefined;
      const value = this.#reducer.extract(accumulator, keep);
      this.#output.receive({ key: group.key, value }, timestamp as EventTime, window, pane);
    } else if (!keep) {
      group.accumulator = undefined;
    }
  }

  #timingOf(group: Group, open: OpenWindow): Timing {
    const onlyEarlySoFar = group.panes === 0 || group.lastTiming === 'EARLY';
    if (!onlyEarlySoFar || open.window.maxTimestamp() < this.outputWatermark) return 'LATE';
    return open.ended ? 'ON_TIME' : 'EARLY';
  }

  // --- durability ----------------------------------------------------------------------------------------------

  override beginSnapshot(take: TakeEntry): OperatorSnapshot {
    this.#snapshot += 1;
    this.#take = take;
    return {
      head: { wakes: [...this.#wakes.values()], wakeTimes: [...this.#wakes.times()] } satisfies SavedHead,
      entries: this.#unsaved(),
    };
  }

  *#unsaved(): Generator<SavedGroup> {
    const snapshot = this.#snapshot;
    for (const open of this.#open.values()) {
      for (const group of open.groups.values()) {
        if (group.snapshot === snapshot) continue;
        group.snapshot = snapshot;
        yield { window: saveWindow(open.window), ended: open.ended, group };
      }
    }
  }

  #handOver(group: Group, { window, ended }: OpenWindow, take: TakeEntry): void {
    if (group.snapshot === this.#snapshot) return;
    group.snapshot = this.#snapshot;
    take({ window: saveWindow(window), ended, group } satisfies SavedGroup);
  }

  override endSnapshot(): void {
    this.#take = undefined;
  }

  override restore(parts: readonly SavedPart[], { share }: RestoreScope): void {
    for (const { entries } of parts) this.#restoreGroups(entries as Iterable<SavedGroup>, share);
    for (const { head } of parts) {
      const { wakes, wakeTimes } = head as SavedHead;
      for (const [index, wake] of wakes.entries()) {
        const isOwn = this.#open.get(wake.windowId)?.groups.has(wake.keyId) === true;
        if (isOwn) this.#wakes.push(wakeTimes[index] as number, wake);
      }
    }
  }

  #restoreGroups(entries: Iterable<SavedGroup>, share: RestoreScope['share']): void {
    for (const { window: savedWindow, ended, group: saved } of entries) {
      if (share?.ownsKey(saved.key) === false) continue;
      let open = this.#open.get(savedWindow.id);
      if (open === undefined) {
        const window = reviveWindow(savedWindow);
        open = { window, ended, groups: new LargeMap() };
        this.#open.set(window.id, open);
        this.#deadlines.push(ended ? this.#expiryOf(window) : window.maxTimestamp(), open);
      }
      const group = Object.assign(new Group(saved.key, 0), saved, { snapshot: 0 });
      const keyId = keyIdOf(group.key);
      open.groups.set(keyId, group);
      if (!Number.isNaN(group.hold)) this.#holds.add(group.hold);
      if (this.#trigger !== undefined && group.trigger !== undefined) {
        this.#look(keyId, open);
        this.#trigger.resume(group.trigger, this);
      }
      if (this.#sessions !== undefined) this.#sessions.restore(keyId, open.window);
      else if (this.#windowing.windowFn.merge !== undefined) {
        this.#windowsOfKey.set(keyId, [...(this.#windowsOfKey.get(keyId) ?? []), open.window]);
      }
    }
  }
}

interface SavedHead {
  readonly wakes: readonly Wake[];
  readonly wakeTimes: readonly number[];
}
