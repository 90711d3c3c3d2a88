import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { eachStored, type OperatorSnapshot, type RestoreScope, type SavedPart } from '../../state/snapshot.ts';
import type { SavedHolds } from '../../time/watermark_holds.ts';
import { addSession } from '../../windowing/session_windows.ts';
import type { TriggerState } from '../../windowing/trigger.ts';
import { mergeOverlapping, reviveWindow, saveWindow, type Window } from '../../windowing/window.ts';
import { keyIdIn } from '../key_identity.ts';
import type { Cells, SavedKey } from '../keyed_state.ts';
import { Group, type GroupByKeyOptions, type OpenPane, PaneOperator, type SavedGroup } from '../panes.ts';
import {
  type DueQueue,
  type KeyedStore,
  type StateBackend,
  type StoredTable,
  storedEntries,
} from '../state_backend.ts';
import { type PackedWindow, packWindow, unpackWindow } from './packed_window.ts';

// A record of the table has a key's groups, by window. A group has an entry in the first queue by the end of its window, then by the window's expiry; by what its trigger waits
// for in processing time in the second.

const [ENDS, WAKES] = [0, 1] as const;
const SLOTS = 3;

interface StoredGroup extends OpenPane {
  readonly group: Group;
  ended: boolean;
}

/** A trigger's state as plain values. */
type PackedTrigger = readonly [finished: 0 | 1, count: number, dueAt: number | null, parts: readonly PackedTrigger[]];

/** Groups that fire before the backend may make room. */
const MOST_A_ROUND = 10_000;

const pack = ([stored]: Cells): Cells => {
  const { window, ended, group } = stored as StoredGroup;
  const trigger = group.trigger === undefined ? undefined : packTrigger(group.trigger);
  const numbers = [group.unfired, packTime(group.hold), packTime(group.timestamp), group.panes, group.onTimePanes];
  return [
    group.accumulator,
    trigger,
    [packWindow(window), ended ? 1 : 0, group.closed ? 1 : 0, group.lastTiming, ...numbers],
  ];
};

function unpack(key: unknown, [accumulator, trigger, plain]: Cells): StoredGroup {
  const [window, ended, closed, lastTiming, unfired, hold, timestamp, panes, onTimePanes] = plain as [
    ...[window: PackedWindow, ended: 0 | 1, closed: 0 | 1, lastTiming: Group['lastTiming'], unfired: number],
    ...[hold: number | null, timestamp: number | null, panes: number, onTimePanes: number],
  ];
  const group = new Group(key, 0);
  group.accumulator = accumulator;
  if (trigger !== undefined) group.trigger = unpackTrigger(trigger as PackedTrigger);
  group.closed = closed === 1;
  group.lastTiming = lastTiming;
  group.unfired = unfired;
  group.hold = hold ?? Number.NaN;
  group.timestamp = timestamp ?? Number.NaN;
  group.panes = panes;
  group.onTimePanes = onTimePanes;
  return { window: unpackWindow(window), ended: ended === 1, group };
}

const packTime = (time: number): number | null => (Number.isNaN(time) ? null : time);

const packTrigger = ({ finished, count, dueAt, parts }: TriggerState): PackedTrigger => [
  ...([finished ? 1 : 0, count, Number.isFinite(dueAt) ? dueAt : null] as const),
  parts.map(packTrigger),
];

const unpackTrigger = ([finished, count, dueAt, parts]: PackedTrigger): TriggerState => ({
  finished: finished === 1,
  count,
  dueAt: dueAt ?? Number.POSITIVE_INFINITY,
  parts: parts.map(unpackTrigger),
});

/** Returns groups of a key as entries of a snapshot. */
export function* groupEntries([key, windows]: SavedKey): Generator<SavedGroup> {
  for (const [, packed] of windows) {
    const { window, ended, group } = unpack(key, packed);
    yield { window: saveWindow(window), ended, group };
  }
}

/** Groups KVs by key and window, in groups that need not fit in the heap. */
export class StoredGroupByKey extends PaneOperator {
  readonly #backend: StateBackend;
  readonly #table: StoredTable;
  readonly #ends: DueQueue;
  readonly #wakes: DueQueue;
  /** Of the call at hand. */
  #key: unknown;

  constructor(options: GroupByKeyOptions, backend: StateBackend, store: KeyedStore) {
    super(options);
    this.#backend = backend;
    const transform = options.name;
    this.#table = store.tableOf({
      ...{ transform, part: 'groups', slots: SLOTS, pack },
      unpack: (packed, key) => [unpack(key, packed)],
    });
    const isDueBy =
      (timeOf: (stored: StoredGroup) => number | undefined) =>
      (at: number, keyId: unknown): boolean | undefined => {
        const windows = this.#table.cachedWindowsOf(keyId);
        return windows === undefined ? undefined : groupsIn(windows).some((stored) => timeOf(stored) === at);
      };
    const isDue = isDueBy((stored) => this.#deadlineOf(stored));
    this.#ends = store.queueOf({ transform, queue: ENDS, isDue });
    // Triggers know best what they wait for.
    this.#wakes = store.queueOf({ transform, queue: WAKES, isDue: () => undefined });
  }

  override wakeAt(at: number): void {
    this.#wakes.push(at, this.#key, this.lookedKey);
  }

  /** A group is looked up each time before it is changed. */
  protected override touch(): void {}

  receive(value: unknown, timestamp: EventTime, window: Window): void {
    const { key, value: item } = value as { readonly key: unknown; readonly value: unknown };
    if (this.isExpired(window)) return;
    const keyId = keyIdIn(this.name, key);
    this.#key = key;
    const target = this.windowing.windowFn.merge === undefined ? window : this.#mergeIn(key, keyId, window);
    const stored = this.#groupAt(key, keyId, target);
    this.add(keyId, stored.group, stored, item, timestamp);
    this.#table.changed?.(keyId, target, 0);
  }

  #groupAt(key: unknown, keyId: unknown, window: Window): StoredGroup {
    const cells = this.#table.cells(key, keyId, window);
    const existing = cells[0] as StoredGroup | undefined;
    if (existing !== undefined) return existing;
    const ended = window.maxTimestamp() < this.inputWatermark;
    const stored: StoredGroup = { window, ended, group: new Group(key, 0) };
    cells[0] = stored;
    this.#ends.push(this.#deadlineOf(stored), key, keyId);
    return stored;
  }

  /** The end of its window; the expiry once that has been. */
  #deadlineOf({ window, ended }: OpenPane): number {
    return ended ? this.expiryOf(window) : window.maxTimestamp();
  }

  // --- merging -------------------------------------------------------------------------------------------------

  #mergeIn(key: unknown, keyId: unknown, window: Window): Window {
    const { windowFn } = this.windowing;
    const windows = groupsIn(this.#table.windowsOf(key, keyId)).map((stored) => stored.window);
    if (windowFn.merge === mergeOverlapping) {
      const { sources, result } = addSession(
        windows.sort((a, b) => a.start - b.start),
        window,
      );
      if (sources.length > 0) this.#mergeGroups(key, keyId, sources, result);
      return result;
    }
    if (!windows.some(({ id }) => id === window.id)) windows.push(window);
    let target = window;
    for (const { sources, result } of windowFn.merge?.(windows) ?? []) {
      if (sources.some(({ id }) => id === target.id)) target = result;
      this.#mergeGroups(key, keyId, sources, result);
    }
    return target;
  }

  #mergeGroups(key: unknown, keyId: unknown, sources: readonly Window[], result: Window): void {
    const ids = new Set(sources.map(({ id }) => id));
    const merged = groupsIn(this.#table.windowsOf(key, keyId)).filter(({ window }) => ids.has(window.id));
    if (merged.length === 0) return;
    for (const { window } of merged) this.#table.drop(keyId, window);
    const groups = merged.map(({ group }) => group);
    const survivor = merged.find(({ window }) => window.id === result.id)?.group;
    const target = this.#groupAt(key, keyId, result);
    this.mergeInto(target.group, keyId, groups, survivor, target);
    this.#table.changed?.(keyId, result, 0);
    const left = groupsIn(this.#table.windowsOf(key, keyId));
    for (const gone of merged) {
      const at = this.#deadlineOf(gone);
      if (!left.some((stored) => this.#deadlineOf(stored) === at)) this.#ends.remove(at, key, keyId);
    }
  }

  // --- firing --------------------------------------------------------------------------------------------------

  override fireDue(): boolean {
    for (let fired = 0; fired < MOST_A_ROUND; fired += 1) {
      const due = this.#ends.pop(this.inputWatermark, false);
      if (due === undefined) return fired > 0 || this.#ends.isHungry;
      this.#end(due.key, due.at);
    }
    return true;
  }

  /** All groups of a key whose window ends, or expires, at that time. */
  #end(key: unknown, at: number): void {
    const keyId = keyIdOf(key);
    this.#key = key;
    for (const stored of groupsIn(this.#table.windowsOf(key, keyId))) {
      if (this.#deadlineOf(stored) !== at) continue;
      const { window, group } = stored;
      const expiry = this.expiryOf(window);
      const isExpiring = expiry < this.inputWatermark;
      if (!stored.ended) {
        stored.ended = true;
        this.fireIfDue(keyId, group, stored, isExpiring);
        if (!isExpiring) this.#ends.push(expiry, key, keyId);
      } else if (isExpiring && group.unfired > 0) this.fire(keyId, group, stored, true);
      this.#table.changed?.(keyId, window, 0);
      if (!isExpiring) continue;
      this.release(group);
      this.#table.drop(keyId, window);
    }
  }

  override nextProcessingTime(): number | undefined {
    return this.#wakes.nextAt();
  }

  override advanceProcessingTime(now: number): boolean {
    for (let due = this.#wakes.pop(now, true); due !== undefined; due = this.#wakes.pop(now, true)) {
      const { key } = due;
      const keyId = keyIdOf(key);
      this.#key = key;
      for (const stored of groupsIn(this.#table.windowsOf(key, keyId))) {
        this.fireIfDue(keyId, stored.group, stored, false);
        this.#table.changed?.(keyId, stored.window, 0);
      }
    }
    return this.#wakes.isHungry;
  }

  // --- durability ----------------------------------------------------------------------------------------------

  override beginSnapshot(): OperatorSnapshot {
    const head: SavedHead = { holds: this.holds.save() };
    return { head, entries: storedEntries(this.#table, this.#ends, this.#wakes) };
  }

  override restore(parts: readonly SavedPart[], { share }: RestoreScope): void | Promise<void> {
    for (const { head, due } of parts) if (due !== undefined) this.#restoreDue(head as SavedHead, due);
    const restore = (entries: Iterable<unknown>): void => this.#restoreGroups(entries as Iterable<SavedGroup>, share);
    for (const { entries } of parts) restore(entries);
    return eachStored(parts, () => this.#backend.relieve(), restore);
  }

  #restoreDue({ holds = [] }: SavedHead, due: NonNullable<SavedPart['due']>): void {
    this.holds.restore(holds);
    for (const [queue, at, key] of due) (queue === ENDS ? this.#ends : this.#wakes).push(at, key, keyIdOf(key));
  }

  #restoreGroups(entries: Iterable<SavedGroup>, share: RestoreScope['share']): void {
    for (const { window: savedWindow, ended, group: saved } of entries) {
      if (share?.ownsKey(saved.key) === false) continue;
      const { key } = saved;
      const keyId = keyIdOf(key);
      const window = reviveWindow(savedWindow);
      const stored: StoredGroup = { window, ended, group: Object.assign(new Group(key, 0), saved, { snapshot: 0 }) };
      this.#table.cells(key, keyId, window)[0] = stored;
      this.#ends.push(this.#deadlineOf(stored), key, keyId);
      this.#key = key;
      this.resume(keyId, stored.group, stored);
      this.#table.changed?.(keyId, window, 0);
    }
  }
}

interface SavedHead {
  readonly holds?: SavedHolds;
}

/** Groups of a key: a list of its own, as groups may be dropped while it is read. */
function groupsIn(windows: readonly unknown[]): StoredGroup[] {
  const groups: StoredGroup[] = [];
  for (let at = 1; at < windows.length; at += 2) {
    const stored = (windows[at] as Cells)[0];
    if (stored !== undefined) groups.push(stored as StoredGroup);
  }
  return groups;
}
