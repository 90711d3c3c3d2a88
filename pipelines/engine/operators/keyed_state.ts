import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { callsOf, outputApart } from '../combine_calls.ts';
import type { CombineFn, StateKind } from '../dofn.ts';
import { LargeMap } from '../state/large_map.ts';
import type { TakeEntry } from '../state/snapshot.ts';
import type { CellMapping } from '../state/state_schema.ts';
import type { Window } from '../windowing/window.ts';

/** Raw contents of one key and window, one slot per declared state; undefined is empty. Structured-cloneable. */
export type Cells = unknown[];

/** Declares one slot, free of what it is for. */
export interface CellSpec {
  readonly id: string;
  readonly kind: StateKind;
  readonly combineFn: CombineFn<never, unknown, unknown> | undefined;
}

/** Where an accessor finds the cells of the key and window being processed. */
export interface CellScope {
  readonly cells: Cells;
  /** Told of every change to a slot. */
  changed(slot: number): void;
}

type Keyed<T> = Map<unknown, T>;

/** Accessor of one slot through `scope`, so that one object serves every key. */
export function createAccessor(spec: CellSpec, slot: number, scope: CellScope): object {
  switch (spec.kind) {
    case 'value':
      return {
        read: () => scope.cells[slot],
        write(value: unknown): void {
          scope.cells[slot] = value;
          scope.changed(slot);
        },
        clear: () => clear(scope, slot),
      };
    case 'bag':
      return {
        read: () => (scope.cells[slot] as unknown[] | undefined)?.slice() ?? [],
        add(value: unknown): void {
          filled<unknown[]>(scope, slot, () => []).push(value);
        },
        clear: () => clear(scope, slot),
      };
    case 'set':
      return {
        read: () => [...((scope.cells[slot] as Keyed<unknown> | undefined)?.values() ?? [])],
        has: (value: unknown) => (scope.cells[slot] as Keyed<unknown> | undefined)?.has(keyIdOf(value)) ?? false,
        add(value: unknown): void {
          filled<Keyed<unknown>>(scope, slot, () => new Map()).set(keyIdOf(value), value);
        },
        remove: (value: unknown) => removeKey(scope, slot, value),
        clear: () => clear(scope, slot),
      };
    case 'map':
      return {
        get: (key: unknown) => (scope.cells[slot] as Keyed<[unknown, unknown]> | undefined)?.get(keyIdOf(key))?.[1],
        put(key: unknown, value: unknown): void {
          filled<Keyed<[unknown, unknown]>>(scope, slot, () => new Map()).set(keyIdOf(key), [key, value]);
        },
        remove: (key: unknown) => removeKey(scope, slot, key),
        entries: () =>
          [...((scope.cells[slot] as Keyed<[unknown, unknown]> | undefined)?.values() ?? [])].map(
            ([key, value]) => [key, value] as const,
          ),
        clear: () => clear(scope, slot),
      };
    case 'multimap':
      return createMultimap(slot, scope);
    case 'combining': {
      const combineFn = callsOf(spec.combineFn as CombineFn<never, unknown, unknown>);
      return {
        read: () => outputApart(combineFn, scope.cells[slot] ?? combineFn.createAccumulator()),
        add(value: unknown): void {
          scope.cells[slot] = combineFn.addInput(scope.cells[slot] ?? combineFn.createAccumulator(), value);
          scope.changed(slot);
        },
        clear: () => clear(scope, slot),
      };
    }
    case 'orderedList':
      return createOrderedList(slot, scope);
  }
}

type KeyValues = [key: unknown, values: unknown[]];

function createMultimap(slot: number, scope: CellScope): object {
  const held = (): Keyed<KeyValues> | undefined => scope.cells[slot] as Keyed<KeyValues> | undefined;
  return {
    get: (key: unknown) => held()?.get(keyIdOf(key))?.[1].slice() ?? [],
    has: (key: unknown) => held()?.has(keyIdOf(key)) ?? false,
    put(key: unknown, value: unknown): void {
      const all = filled<Keyed<KeyValues>>(scope, slot, () => new Map());
      const keyId = keyIdOf(key);
      const values = all.get(keyId)?.[1];
      if (values === undefined) all.set(keyId, [key, [value]]);
      else values.push(value);
    },
    remove: (key: unknown) => removeKey(scope, slot, key),
    keys: () => [...(held()?.values() ?? [])].map(([key]) => key),
    entries: () =>
      [...(held()?.values() ?? [])].flatMap(([key, values]) => values.map((value) => [key, value] as const)),
    clear: () => clear(scope, slot),
  };
}

type Timestamped = readonly [EventTime, unknown];

function createOrderedList(slot: number, scope: CellScope): object {
  const list = (): Timestamped[] => (scope.cells[slot] as Timestamped[] | undefined) ?? [];
  return {
    add(timestamp: EventTime, value: unknown): void {
      const entries = filled<Timestamped[]>(scope, slot, () => []);
      entries.splice(firstAtOrAfter(entries, timestamp + 1), 0, [timestamp, value]);
    },
    readRange: (from: EventTime, to: EventTime) =>
      list().slice(firstAtOrAfter(list(), from), firstAtOrAfter(list(), to)),
    clearRange(from: EventTime, to: EventTime): void {
      const start = firstAtOrAfter(list(), from);
      list().splice(start, firstAtOrAfter(list(), to) - start);
      scope.changed(slot);
      if (list().length === 0) clear(scope, slot);
    },
    clear: () => clear(scope, slot),
  };
}

function firstAtOrAfter(entries: readonly Timestamped[], timestamp: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle] as Timestamped)[0] < timestamp) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A slot that is about to change, with what is in it. */
function filled<T>(scope: CellScope, slot: number, empty: () => T): T {
  scope.changed(slot);
  const existing = scope.cells[slot] as T | undefined;
  if (existing !== undefined) return existing;
  const made = empty();
  scope.cells[slot] = made;
  return made;
}

function clear(scope: CellScope, slot: number): void {
  scope.cells[slot] = undefined;
  scope.changed(slot);
}

function removeKey(scope: CellScope, slot: number, key: unknown): void {
  const held = scope.cells[slot] as Keyed<unknown> | undefined;
  if (held?.delete(keyIdOf(key)) !== true) return;
  scope.changed(slot);
  if (held.size === 0) clear(scope, slot);
}

/** Where the cells of a DoFn's keys and windows live. */
export interface StateStore {
  /** Fetches what {@link cells} needs; undefined when it is at hand. */
  load?(key: unknown, keyId: unknown, window: Window): Promise<void> | undefined;
  /** Cells of a key and window, made when absent. */
  cells(key: unknown, keyId: unknown, window: Window): Cells;
  /** Told of a change to one slot of cells that were handed out. */
  changed?(keyId: unknown, window: Window, slot: number): void;
  drop(keyId: unknown, window: Window): void;
  /** Told when a call is done with the cells; all empty, they need not be kept. */
  dropIfEmpty(keyId: unknown, window: Window, cells: Cells): void;
}

/** A key's cells as a snapshot holds them. */
export type SavedKey = readonly [key: unknown, windows: readonly (readonly [windowId: string, cells: Cells])[]];

/** The cells of one DoFn's keys, wherever they live. Calls that change a key's cells come between {@link StateStore.cells} and the end of its call. */
export interface OperatorState extends StateStore {
  /** Keys that are about to change before {@link unsaved} comes to them are saved first, as they are. @param take - takes those that go into the snapshot's file */
  beginSnapshot(take: TakeEntry): void;
  /** Visits what the snapshot has to save; undefined where the backend saves it itself. */
  unsaved(): Iterable<SavedKey | undefined>;
  endSnapshot(): void;
  /** @param mapping - where each of today's cells was when the entry was saved; absent: where it is now */
  restore(saved: SavedKey, mapping?: CellMapping): void;
}

interface KeyEntry {
  readonly key: unknown;
  readonly windows: Map<string, Cells>;
  /** The last snapshot that has it, or began before it was made. */
  snapshot: number;
}

/** Cells by key, then by window, in the heap. */
export class KeyedState implements OperatorState {
  readonly #slots: number;
  readonly #keys = new LargeMap<unknown, KeyEntry>();
  #snapshot = 0;
  #take: TakeEntry | undefined;
  /** By slot. */
  readonly #beforeSave: readonly (((value: unknown) => void) | undefined)[];

  /** @param beforeSave - by slot, where values are changed before they are saved */
  constructor(slots: number, beforeSave: readonly (((value: unknown) => void) | undefined)[] = []) {
    this.#slots = slots;
    this.#beforeSave = beforeSave.some((change) => change !== undefined) ? beforeSave : [];
  }

  cells(key: unknown, keyId: unknown, window: Window): Cells {
    return this.#cellsAt(key, keyId, window.id);
  }

  #cellsAt(key: unknown, keyId: unknown, windowId: string): Cells {
    let entry = this.#keys.get(keyId);
    if (entry === undefined) {
      entry = { key, windows: new Map(), snapshot: this.#snapshot };
      this.#keys.set(keyId, entry);
    } else if (this.#take !== undefined) {
      this.#handOver(entry, this.#take);
    }
    let cells = entry.windows.get(windowId);
    if (cells === undefined) {
      cells = new Array<unknown>(this.#slots).fill(undefined);
      entry.windows.set(windowId, cells);
    }
    return cells;
  }

  drop(keyId: unknown, window: Window): void {
    this.#dropAt(keyId, window.id);
  }

  #dropAt(keyId: unknown, windowId: string): void {
    const entry = this.#keys.get(keyId);
    if (entry === undefined) return;
    if (this.#take !== undefined) this.#handOver(entry, this.#take);
    entry.windows.delete(windowId);
    if (entry.windows.size === 0) this.#keys.delete(keyId);
  }

  /** Keys that cleared their state cost nothing. */
  dropIfEmpty(keyId: unknown, window: Window, cells: Cells): void {
    for (const cell of cells) if (cell !== undefined) return;
    this.drop(keyId, window);
  }

  // --- snapshots -----------------------------------------------------------------------------------------------

  /** Keys that are about to change before {@link unsaved} comes to them are handed over through `take`. */
  beginSnapshot(take: TakeEntry): void {
    this.#snapshot += 1;
    this.#take = take;
  }

  endSnapshot(): void {
    this.#take = undefined;
  }

  *unsaved(): Generator<SavedKey> {
    const snapshot = this.#snapshot;
    for (const entry of this.#keys.values()) {
      if (entry.snapshot === snapshot) continue;
      entry.snapshot = snapshot;
      yield this.#saved(entry);
    }
  }

  #handOver(entry: KeyEntry, take: TakeEntry): void {
    if (entry.snapshot === this.#snapshot) return;
    entry.snapshot = this.#snapshot;
    take(this.#saved(entry));
  }

  #saved({ key, windows }: KeyEntry): SavedKey {
    for (const [slot, change] of this.#beforeSave.entries()) {
      if (change === undefined) continue;
      for (const cells of windows.values()) if (cells[slot] !== undefined) change(cells[slot]);
    }
    return [key, [...windows]];
  }

  /** @param mapping - where each of today's cells was when the entry was saved; absent: where it is now */
  restore([key, windows]: SavedKey, mapping?: CellMapping): void {
    for (const [windowId, cells] of windows) {
      const keyId = keyIdOf(key);
      if (!fillCells(this.#cellsAt(key, keyId, windowId), cells, mapping)) this.#dropAt(keyId, windowId);
    }
  }
}

/**
 * Fills cells with what was saved of them.
 *
 * @param mapping - where each of today's cells was when they were saved; absent: where it is now
 * @returns false when all of them stay empty
 */
export function fillCells(target: Cells, saved: Cells, mapping: CellMapping | undefined): boolean {
  let isFilled = false;
  for (let slot = 0; slot < target.length; slot += 1) {
    const { from, convert } = mapping?.cells[slot] ?? { from: slot };
    const value = from === undefined ? undefined : saved[from];
    target[slot] = convert === undefined || value === undefined ? value : convert(value);
    if (target[slot] !== undefined) isFilled = true;
  }
  return isFilled;
}
