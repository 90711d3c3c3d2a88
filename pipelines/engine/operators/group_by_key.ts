import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { LargeMap } from '../state/large_map.ts';
import {
  eachStored,
  type OperatorSnapshot,
  type RestoreScope,
  type SavedPart,
  type TakeEntry,
} from '../state/snapshot.ts';
import { TimeHeap } from '../time/time_heap.ts';
import { SessionWindows } from '../windowing/session_windows.ts';
import { mergeOverlapping, reviveWindow, saveWindow, type Window } from '../windowing/window.ts';
import { keyIdIn } from './key_identity.ts';
import { Group, type GroupByKeyOptions, type OpenPane, PaneOperator, type SavedGroup } from './panes.ts';

interface OpenWindow {
  readonly window: Window;
  readonly groups: LargeMap<unknown, Group>;
  ended: boolean;
}

interface Wake {
  readonly windowId: string;
  readonly keyId: unknown;
}

/**
 * Groups KVs by key and window, in the heap. Windows are looked up first and keys second, so that the end of a window is one event, not one timer a key.
 */
export class GroupByKeyOperator extends PaneOperator {
  readonly #open = new LargeMap<string, OpenWindow>();
  /** Ends and expiries of open windows. */
  readonly #deadlines = new TimeHeap<OpenWindow>();
  /** Merging functions only: open windows of each key. */
  readonly #windowsOfKey = new Map<unknown, Window[]>();
  /** Instead of it, for sessions: windows that merge where they overlap. */
  readonly #sessions: SessionWindows | undefined;
  readonly #wakes = new TimeHeap<Wake>();
  #last: OpenWindow | undefined;
  #snapshot = 0;
  #take: TakeEntry | undefined;

  constructor(options: GroupByKeyOptions) {
    super(options);
    this.#sessions = options.windowing.windowFn.merge === mergeOverlapping ? new SessionWindows() : undefined;
  }

  override wakeAt(at: number): void {
    this.#wakes.push(at, { windowId: this.lookedWindow, keyId: this.lookedKey });
  }

  receive(value: unknown, timestamp: EventTime, window: Window): void {
    const { key, value: item } = value as { readonly key: unknown; readonly value: unknown };
    if (this.isExpired(window)) return;
    const keyId = keyIdIn(this.name, key);
    const open = this.windowing.windowFn.merge === undefined ? this.#openFor(window) : this.#mergeIn(keyId, window);
    let group = open.groups.get(keyId);
    if (group === undefined) {
      group = new Group(key, this.#snapshot);
      open.groups.set(keyId, group);
    } else if (this.#take !== undefined) {
      this.#handOver(group, open, this.#take);
    }
    this.add(keyId, group, open, item, timestamp);
  }

  // --- windows -------------------------------------------------------------------------------------------------

  #openFor(window: Window): OpenWindow {
    if (this.#last !== undefined && this.#last.window === window) return this.#last;
    let open = this.#open.get(window.id);
    if (open === undefined) {
      open = { window, groups: new LargeMap(), ended: window.maxTimestamp() < this.inputWatermark };
      this.#open.set(window.id, open);
      this.#deadlines.push(open.ended ? this.expiryOf(window) : window.maxTimestamp(), open);
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
    for (const { sources, result } of this.windowing.windowFn.merge?.(windows) ?? []) {
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
    open.groups.set(keyId, target);
    this.mergeInto(target, keyId, groups, survivor, open);
  }

  // --- firing --------------------------------------------------------------------------------------------------

  protected override onInputWatermark(watermark: EventTime): void {
    for (let at = this.#deadlines.nextAt(); at !== undefined && at < watermark; at = this.#deadlines.nextAt()) {
      const open = this.#deadlines.pop() as OpenWindow;
      if (this.#open.get(open.window.id) !== open) continue;
      const isExpiring = this.expiryOf(open.window) < watermark;
      if (!open.ended) {
        // Groups are saved with whether their window has ended: those not saved yet are, as it was.
        const take = this.#take;
        if (take !== undefined) for (const group of open.groups.values()) this.#handOver(group, open, take);
        open.ended = true;
        for (const [keyId, group] of open.groups) this.fireIfDue(keyId, group, open, isExpiring);
        if (!isExpiring) this.#deadlines.push(this.expiryOf(open.window), open);
      } else if (isExpiring) {
        for (const [keyId, group] of open.groups) if (group.unfired > 0) this.fire(keyId, group, open, true);
      }
      if (isExpiring) this.#expire(open);
    }
  }

  #expire(open: OpenWindow): void {
    for (const [keyId, group] of open.groups) {
      if (this.#take !== undefined) this.#handOver(group, open, this.#take);
      this.release(group);
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

  override advanceProcessingTime(now: number): boolean {
    for (let at = this.#wakes.nextAt(); at !== undefined && at <= now; at = this.#wakes.nextAt()) {
      const { windowId, keyId } = this.#wakes.pop() as Wake;
      const open = this.#open.get(windowId);
      const group = open?.groups.get(keyId);
      if (open !== undefined && group !== undefined) this.fireIfDue(keyId, group, open, false);
    }
    return false;
  }

  // --- durability ----------------------------------------------------------------------------------------------

  override beginSnapshot(take: TakeEntry): OperatorSnapshot {
    this.#snapshot += 1;
    this.#take = take;
    return { head: {}, entries: this.#unsaved() };
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

  protected override touch(group: Group, open: OpenPane): void {
    if (this.#take !== undefined) this.#handOver(group, open, this.#take);
  }

  #handOver(group: Group, { window, ended }: OpenPane, take: TakeEntry): void {
    if (group.snapshot === this.#snapshot) return;
    group.snapshot = this.#snapshot;
    take({ window: saveWindow(window), ended, group } satisfies SavedGroup);
  }

  override endSnapshot(): void {
    this.#take = undefined;
  }

  override restore(parts: readonly SavedPart[], { share }: RestoreScope): void | Promise<void> {
    for (const { entries } of parts) this.#restoreGroups(entries as Iterable<SavedGroup>, share);
    return eachStored(parts, undefined, (entries) => this.#restoreGroups(entries as Iterable<SavedGroup>, share));
  }

  #restoreGroups(entries: Iterable<SavedGroup>, share: RestoreScope['share']): void {
    for (const { window: savedWindow, ended, group: saved } of entries) {
      if (share?.ownsKey(saved.key) === false) continue;
      let open = this.#open.get(savedWindow.id);
      if (open === undefined) {
        const window = reviveWindow(savedWindow);
        open = { window, ended, groups: new LargeMap() };
        this.#open.set(window.id, open);
        this.#deadlines.push(ended ? this.expiryOf(window) : window.maxTimestamp(), open);
      }
      const group = Object.assign(new Group(saved.key, 0), saved, { snapshot: 0 });
      const keyId = keyIdOf(group.key);
      open.groups.set(keyId, group);
      this.resume(keyId, group, open);
      if (this.#sessions !== undefined) this.#sessions.restore(keyId, open.window);
      else if (this.windowing.windowFn.merge !== undefined) {
        this.#windowsOfKey.set(keyId, [...(this.#windowsOfKey.get(keyId) ?? []), open.window]);
      }
    }
  }
}
