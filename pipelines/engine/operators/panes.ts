import { type EventTime, MAX_EVENT_TIME } from '#kernel/time';
import { callsOf, outputApart } from '../combine_calls.ts';
import type { CombineFn, PaneInfo } from '../dofn.ts';
import { WatermarkHolds } from '../time/watermark_holds.ts';
import { compileTrigger, type TriggerMachine, type TriggerScope, type TriggerState } from '../windowing/trigger.ts';
import type { SavedWindow, Window } from '../windowing/window.ts';
import type { WindowingStrategy } from '../windowing/windowing_strategy.ts';
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
export class Group {
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
export interface SavedGroup {
  readonly window: SavedWindow;
  readonly ended: boolean;
  readonly group: Group;
}

export interface GroupByKeyOptions {
  readonly name: string;
  readonly input: Edge;
  readonly output: Edge;
  readonly windowing: WindowingStrategy;
  readonly reducer: Reducer;
  readonly context: EngineContext;
}

/** A window that has groups, and whether its end has been. */
export interface OpenPane {
  readonly window: Window;
  readonly ended: boolean;
}

/**
 * What a GroupByKey does with one group: takes elements, holds the watermark, and emits panes as the trigger says. Where groups are kept, and how their times come, is up
 * to its subclasses.
 *
 * Semantics: Apache Beam (programming guide §8 and §9); holds, pane timing and merging follow its Java ReduceFnRunner. An
 * element is late by its own window, before merging.
 */
export abstract class PaneOperator extends Operator implements TriggerScope {
  readonly #output: Edge;
  protected readonly windowing: WindowingStrategy;
  readonly #reducer: Reducer;
  protected readonly context: EngineContext;
  protected readonly trigger: TriggerMachine | undefined;
  protected readonly holds = new WatermarkHolds();
  // The scope of the trigger call at hand.
  windowEnded = false;
  protected lookedWindow = '';
  protected lookedKey: unknown;

  constructor(options: GroupByKeyOptions) {
    super(options.name, options.input);
    this.#output = options.output;
    this.windowing = options.windowing;
    this.#reducer = options.reducer;
    this.context = options.context;
    const { trigger } = options.windowing;
    this.trigger = trigger.kind === 'default' ? undefined : compileTrigger(trigger);
    options.output.producers.push(this);
  }

  get now(): number {
    return this.context.now();
  }

  abstract wakeAt(at: number): void;

  /** Called before a group is changed that was not looked up for it. */
  protected abstract touch(group: Group, open: OpenPane): void;

  /** Whether an element is behind its window's expiry, and is dropped. */
  protected isExpired(window: Window): boolean {
    if (this.expiryOf(window) >= this.inputWatermark) return false;
    this.context.countDroppedLate(this.name);
    return true;
  }

  protected expiryOf(window: Window): number {
    return Math.min(window.maxTimestamp() + this.windowing.allowedLatenessMs, MAX_EVENT_TIME - 1);
  }

  /** Takes an element into a group that was looked up to be changed, and emits the pane that it makes due. */
  protected add(keyId: unknown, group: Group, open: OpenPane, item: unknown, timestamp: EventTime): void {
    if (group.closed) {
      this.context.countDroppedLate(this.name);
      return;
    }
    const reducer = this.#reducer;
    group.accumulator = reducer.add(group.accumulator ?? reducer.create(), item);
    group.unfired += 1;
    this.#hold(group, timestamp, open.window);
    if (this.trigger === undefined) {
      if (open.ended) this.fire(keyId, group, open, false);
      return;
    }
    this.look(keyId, open);
    group.trigger ??= this.trigger.create();
    this.trigger.onElement(group.trigger, this);
    if (this.trigger.shouldFire(group.trigger, this)) this.fire(keyId, group, open, false);
  }

  // --- merging -------------------------------------------------------------------------------------------------

  /**
   * Merges groups of one key, which are gone, into a new one.
   *
   * @param survivor - the one whose window the merged window is
   */
  protected mergeInto(
    target: Group,
    keyId: unknown,
    groups: readonly Group[],
    survivor: Group | undefined,
    open: OpenPane,
  ): void {
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
    const { window } = open;
    for (const group of groups) {
      this.release(group);
      if (group.unfired === 0) continue;
      target.unfired += group.unfired;
      if (!Number.isNaN(group.timestamp)) this.#hold(target, group.timestamp, window);
    }
    if (target.unfired > 0 && Number.isNaN(target.hold)) this.#hold(target, window.maxTimestamp(), window);
    if (this.trigger === undefined) return;
    this.look(keyId, open);
    const states = groups.map(({ trigger }) => trigger).filter((state) => state !== undefined);
    if (states.length > 0) target.trigger = this.trigger.merge(states, this);
    target.closed = target.trigger?.finished ?? false;
  }

  // --- holds ---------------------------------------------------------------------------------------------------

  /** Takes an unfired element into the pane's timestamp and the output watermark's hold. */
  #hold(group: Group, timestamp: number, window: Window): void {
    const { timestampCombiner } = this.windowing;
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
    return hold >= this.outputWatermark ? hold : this.expiryOf(window);
  }

  #setHold(group: Group, hold: number): void {
    if (group.hold === hold) return;
    if (!Number.isNaN(group.hold)) this.holds.remove(group.hold);
    group.hold = hold;
    this.holds.add(hold);
  }

  protected override watermarkHold(): number {
    return this.holds.earliest();
  }

  /** Releases the hold of a group that is gone. */
  protected release(group: Group): void {
    if (!Number.isNaN(group.hold)) this.holds.remove(group.hold);
  }

  // --- firing --------------------------------------------------------------------------------------------------

  protected look(keyId: unknown, open: OpenPane): void {
    this.windowEnded = open.ended;
    this.lookedWindow = open.window.id;
    this.lookedKey = keyId;
  }

  protected fireIfDue(keyId: unknown, group: Group, open: OpenPane, isLast: boolean): void {
    if (group.closed) return;
    if (this.trigger === undefined) {
      this.fire(keyId, group, open, isLast);
      return;
    }
    this.look(keyId, open);
    group.trigger ??= this.trigger.create();
    const isDue = this.trigger.shouldFire(group.trigger, this);
    // At the window's expiry whatever is left goes out, whether the trigger is due or not.
    if (isDue || (isLast && group.unfired > 0)) this.fire(keyId, group, open, isLast);
  }

  protected fire(keyId: unknown, group: Group, open: OpenPane, isExpiring: boolean): void {
    const { window } = open;
    this.touch(group, open);
    if (this.trigger !== undefined && group.trigger !== undefined) {
      this.look(keyId, open);
      this.trigger.onFire(group.trigger, this);
      if (group.trigger.finished) group.closed = true;
    }
    const isLast = isExpiring || group.closed;
    const timing = this.#timingOf(group, open);
    const timestamp = Number.isNaN(group.timestamp) ? window.maxTimestamp() : group.timestamp;
    const isWanted = group.unfired > 0 || (timing === 'ON_TIME' && this.windowing.emptyOnTimePanes);
    const keep = !isLast && this.windowing.accumulating;
    this.release(group);
    group.hold = Number.NaN;
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

  #timingOf(group: Group, open: OpenPane): Timing {
    const onlyEarlySoFar = group.panes === 0 || group.lastTiming === 'EARLY';
    if (!onlyEarlySoFar || open.window.maxTimestamp() < this.outputWatermark) return 'LATE';
    return open.ended ? 'ON_TIME' : 'EARLY';
  }

  /** Takes over what a restored group holds and waits for. */
  protected resume(keyId: unknown, group: Group, open: OpenPane): void {
    if (!Number.isNaN(group.hold)) this.holds.add(group.hold);
    if (this.trigger === undefined || group.trigger === undefined) return;
    this.look(keyId, open);
    this.trigger.resume(group.trigger, this);
  }
}
