import { keyIdOf } from '#kernel/keys/key_codec';
import { type Cells, fillCells, type SavedKey } from '#pipelines/engine/operators/keyed_state';
import type { CellsSpec, StoredPart, StoredTable, TableSpec } from '#pipelines/engine/operators/state_backend';
import type { CellMapping } from '#pipelines/engine/state/state_schema';
import type { Window } from '#pipelines/engine/windowing/window';

/** A key of one transform that is in the cache: what a record of the store holds, and how far that is up to date. */
export class CachedKey {
  readonly owner: DiskCells;
  readonly key: unknown;
  readonly keyId: unknown;
  /** Ids of windows, each followed by its cells. */
  readonly windows: unknown[];
  /** The epoch in which it was changed since it was written; 0 when the store has it as it is. */
  changedIn = 0;
  /** Looked at since the hand came by. */
  isUsed = true;
  /** The store has a record of it, maybe an older one. */
  isStored: boolean;
  /** Its place among all cached keys. */
  place: number;
  /** Its size in the heap, estimated from that of its record. */
  bytes: number;
  /** The batch that writes it. */
  batch = 0;
  /** Changes since it came in, and how many of them make it be measured again. */
  changes = 0;
  measuredAfter: number;

  constructor(owner: DiskCells, key: unknown, keyId: unknown, windows: unknown[], place: number, bytes: number) {
    this.owner = owner;
    this.key = key;
    this.keyId = keyId;
    this.windows = windows;
    this.isStored = windows.length > 0;
    this.place = place;
    this.bytes = bytes;
    this.measuredAfter = this.isStored ? FIRST_MEASURE : 1;
  }
}

/** Changes until a key is measured again that has come from the store, with its size. */
const FIRST_MEASURE = 4;

/** Where keys come from that are not in the cache, and where they go. */
export interface KeyStore {
  /** Returns a key that is not in the cache, with what the store has of it. */
  load(owner: DiskCells, key: unknown, keyId: unknown): CachedKey;
  /** Called on each change of a key, once {@link save} was called where it had to be. */
  change(cached: CachedKey): void;
  /** Whether a snapshot that began since has to {@link save} a key before it changes. */
  isFrozen(cached: CachedKey): boolean;
  /** Writes a key as it is now. */
  save(cached: CachedKey): void;
  /** Takes a key out of the cache that has nothing left; false when the store does not know of that yet. */
  forgetEmpty(cached: CachedKey): boolean;
  /** Saves what had changed when the snapshot began, in all transforms: the first one that asks has it done. */
  unsaved(): Iterable<undefined>;
}

/** Returns the name of a transform's table in a store. @param part - undefined: the cells of a DoFn */
export const tableName = (transform: string, part: StoredPart | undefined): string =>
  part === undefined ? transform : `${transform}\u0000${part}`;

type Packing = Pick<TableSpec, 'pack' | 'unpack'>;

/** The cells of one transform: those of hot keys in the cache, the others in the store. */
export class DiskCells implements StoredTable {
  /** Its name in the store. */
  readonly name: string;
  /** Its number in the store, known once that is open. */
  table = 0;
  readonly #store: KeyStore;
  readonly #slots: number;
  readonly #beforeSave: readonly (((value: unknown) => void) | undefined)[];
  readonly #packing: Packing | undefined;
  readonly #cached = new Map<unknown, CachedKey>();
  /** The key that was looked up last: a call changes what it has just read. */
  #last: CachedKey | undefined;

  constructor(store: KeyStore, spec: CellsSpec | TableSpec) {
    const isTable = 'part' in spec;
    this.#store = store;
    this.name = tableName(spec.transform, isTable ? spec.part : undefined);
    this.#slots = spec.slots;
    this.#beforeSave = isTable ? [] : spec.beforeSave;
    this.#packing = isTable ? spec : undefined;
  }

  cells(key: unknown, keyId: unknown, window: Window): Cells {
    return this.#cellsAt(key, keyId, window.id);
  }

  windowsOf(key: unknown, keyId: unknown): readonly unknown[] {
    return this.#toChange(key, keyId).windows;
  }

  cachedWindowsOf(keyId: unknown): readonly unknown[] | undefined {
    return this.#cached.get(keyId)?.windows;
  }

  #toChange(key: unknown, keyId: unknown): CachedKey {
    const cached = this.#lookUp(key, keyId);
    // As it was when the snapshot began: the call at hand may change values in place.
    if (this.#store.isFrozen(cached)) this.#store.save(cached);
    return cached;
  }

  #cellsAt(key: unknown, keyId: unknown, windowId: string): Cells {
    const { windows } = this.#toChange(key, keyId);
    for (let at = 0; at < windows.length; at += 2) if (windows[at] === windowId) return windows[at + 1] as Cells;
    const cells = new Array<unknown>(this.#slots).fill(undefined);
    windows.push(windowId, cells);
    return cells;
  }

  #lookUp(key: unknown, keyId: unknown): CachedKey {
    const last = this.#last;
    if (last !== undefined && last.keyId === keyId) return last;
    let cached = this.#cached.get(keyId);
    if (cached === undefined) {
      cached = this.#store.load(this, key, keyId);
      this.#cached.set(keyId, cached);
    }
    cached.isUsed = true;
    this.#last = cached;
    return cached;
  }

  changed(keyId: unknown): void {
    const last = this.#last;
    const cached = last !== undefined && last.keyId === keyId ? last : this.#cached.get(keyId);
    if (cached !== undefined) this.#store.change(cached);
  }

  drop(keyId: unknown, window: Window): void {
    // A window that is dropped was read in the same call.
    const cached = this.#cached.get(keyId);
    if (cached !== undefined) this.#dropAt(cached, window.id);
  }

  #dropAt(cached: CachedKey, windowId: string): void {
    const { windows } = cached;
    const at = windows.indexOf(windowId);
    if (at < 0) return;
    if (this.#store.isFrozen(cached)) this.#store.save(cached);
    windows.splice(at, 2);
    if (windows.length === 0 && this.#store.forgetEmpty(cached)) return;
    this.#store.change(cached);
  }

  /** Keys that cleared their state cost nothing. */
  dropIfEmpty(keyId: unknown, window: Window, cells: Cells): void {
    for (const cell of cells) if (cell !== undefined) return;
    this.drop(keyId, window);
  }

  /** Called by the store once a key is not in the cache any more. */
  removed({ keyId }: CachedKey): void {
    this.#cached.delete(keyId);
    this.#last = undefined;
  }

  /** Called by the store with what it has of a key. */
  unpack(key: unknown, windows: unknown[]): unknown[] {
    const packing = this.#packing;
    if (packing !== undefined) {
      for (let at = 1; at < windows.length; at += 2) windows[at] = packing.unpack(windows[at] as Cells, key);
    }
    return windows;
  }

  /** Returns windows of a key as they are written. */
  pack(windows: unknown[]): unknown[] {
    const packing = this.#packing;
    return packing === undefined
      ? windows
      : windows.map((part, at) => (at % 2 === 0 ? part : packing.pack(part as Cells)));
  }

  /** Called by the store before a key is written. */
  prepare({ windows }: CachedKey): void {
    for (const [slot, change] of this.#beforeSave.entries()) {
      if (change === undefined) continue;
      for (let at = 1; at < windows.length; at += 2) {
        const value = (windows[at] as Cells)[slot];
        if (value !== undefined) change(value);
      }
    }
  }

  // --- snapshots: the store takes them of all transforms at once ---------------------------------------------------

  beginSnapshot(): void {}

  unsaved(): Iterable<undefined> {
    return this.#store.unsaved();
  }

  endSnapshot(): void {}

  restore([key, windows]: SavedKey, mapping?: CellMapping): void {
    const keyId = keyIdOf(key);
    for (const [windowId, saved] of windows) {
      const isFilled = fillCells(this.#cellsAt(key, keyId, windowId), saved, mapping);
      const cached = this.#lookUp(key, keyId);
      if (isFilled) this.#store.change(cached);
      else this.#dropAt(cached, windowId);
    }
  }
}
