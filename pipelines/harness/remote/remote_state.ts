import type { LRUCache } from 'lru-cache';
import type { StateSpec } from '#pipelines/engine/dofn';
import type { Cells, StateStore } from '#pipelines/engine/operators/keyed_state';
import type { Window } from '#pipelines/engine/windowing/window';
import { ByteReader, ByteWriter } from '#pipelines/model/coders/bytes';
import type { AnyCoder } from '#pipelines/model/coders/coder';
import type * as fnApi from '#pipelines/proto/beam_fn_api';
import type { StateStream } from '../state_stream.ts';

type StateKey = fnApi.StateKey;

/** Decoded state kept from bundle to bundle, for as long as the runner says that no other worker changes it. */
export type StateCache = LRUCache<string, Cells>;

export interface RemoteStateOptions {
  readonly transformId: string;
  readonly specs: readonly StateSpec<unknown>[];
  /** Coder of each state's elements, by state id. */
  readonly coders: ReadonlyMap<string, AnyCoder>;
  readonly keyCoder: AnyCoder;
  readonly windowCoder: AnyCoder;
  readonly stream: () => StateStream;
}

interface Entry {
  readonly key: Uint8Array;
  readonly window: Uint8Array;
  readonly cells: Cells;
  /** Bags: what the runner has already of the array in the slot. */
  readonly stored: { readonly bag: unknown; readonly length: number }[];
  readonly changed: Set<number>;
}

/**
 * A DoFn's state, kept by a runner. A key's cells are fetched before its first element is processed, so that DoFns read
 * without waiting; what has changed is written back at the end of the bundle. Bags grow by what was added; the other
 * kinds are one value each.
 */
export class RemoteState implements StateStore {
  readonly #options: RemoteStateOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #loading = new Map<string, Promise<void>>();
  #instructionId = '';
  #cache: StateCache | undefined;
  #cachePrefix = '';

  constructor(options: RemoteStateOptions) {
    this.#options = options;
  }

  /** @param cacheToken - the runner's word that cached state is still right; undefined: nothing may be kept */
  begin(instructionId: string, cache: StateCache, cacheToken: Uint8Array | undefined): void {
    this.#instructionId = instructionId;
    this.#cache = cacheToken === undefined ? undefined : cache;
    const token = cacheToken === undefined ? '' : Buffer.from(cacheToken).toString('latin1');
    this.#cachePrefix = `${token}\u0000${this.#options.transformId}\u0000`;
  }

  load(key: unknown, keyId: unknown, window: Window): Promise<void> | undefined {
    const id = idOf(keyId, window);
    if (this.#entries.has(id)) return undefined;
    const loading = this.#loading.get(id);
    if (loading !== undefined) return loading;
    const cached = this.#cache?.get(this.#cachePrefix + id);
    if (cached !== undefined) {
      this.#entries.set(id, this.#entry(key, window, cached));
      return undefined;
    }
    const fetching = this.#fetch(id, key, window).finally(() => this.#loading.delete(id));
    this.#loading.set(id, fetching);
    return fetching;
  }

  async #fetch(id: string, key: unknown, window: Window): Promise<void> {
    const { specs, coders } = this.#options;
    const entry = this.#entry(key, window, new Array<unknown>(specs.length).fill(undefined));
    await Promise.all(
      specs.map(async (spec, slot) => {
        const bytes = await this.#options.stream().get(this.#instructionId, this.#keyOf(entry, spec));
        if (bytes.length === 0) return;
        const reader = new ByteReader(bytes);
        const coder = coders.get(spec.id) as AnyCoder;
        const values: unknown[] = [];
        while (!reader.isAtEnd) values.push(coder.decode(reader, true));
        entry.cells[slot] = spec.kind === 'bag' ? values : values[0];
      }),
    );
    this.#entries.set(id, this.#withStored(entry));
  }

  #entry(key: unknown, window: Window, cells: Cells): Entry {
    const { keyCoder, windowCoder } = this.#options;
    return this.#withStored({
      key: encoded(keyCoder, key),
      window: encoded(windowCoder, window),
      cells,
      stored: [],
      changed: new Set(),
    });
  }

  #withStored(entry: Entry): Entry {
    const stored = entry.cells.map((cell) => ({ bag: cell, length: Array.isArray(cell) ? cell.length : 0 }));
    return { ...entry, stored };
  }

  #keyOf(entry: Entry, spec: StateSpec<unknown>): StateKey {
    const { transformId } = this.#options;
    const { key, window } = entry;
    return {
      type: { oneofKind: 'bagUserState', bagUserState: { transformId, userStateId: spec.id, window, key } },
    };
  }

  cells(_key: unknown, keyId: unknown, window: Window): Cells {
    return (this.#entries.get(idOf(keyId, window)) as Entry).cells;
  }

  changed(keyId: unknown, window: Window, slot: number): void {
    this.#entries.get(idOf(keyId, window))?.changed.add(slot);
  }

  drop(keyId: unknown, window: Window): void {
    const entry = this.#entries.get(idOf(keyId, window));
    if (entry === undefined) return;
    for (let slot = 0; slot < entry.cells.length; slot += 1) {
      entry.cells[slot] = undefined;
      entry.changed.add(slot);
    }
  }

  dropIfEmpty(): void {}

  /** Writes what has changed; resolves when the runner has it. */
  async flush(): Promise<void> {
    const writes: Promise<void>[] = [];
    for (const [id, entry] of this.#entries) {
      for (const slot of entry.changed) this.#write(entry, slot, writes);
      this.#cache?.set(this.#cachePrefix + id, entry.cells);
    }
    this.#entries.clear();
    await Promise.all(writes);
  }

  #write(entry: Entry, slot: number, writes: Promise<void>[]): void {
    const spec = this.#options.specs[slot] as StateSpec<unknown>;
    const coder = this.#options.coders.get(spec.id) as AnyCoder;
    const stream = this.#options.stream();
    const stateKey = this.#keyOf(entry, spec);
    const cell = entry.cells[slot];
    const { bag, length } = entry.stored[slot] as { bag: unknown; length: number };
    const out = new ByteWriter();
    const isGrown = spec.kind === 'bag' && bag !== undefined && bag === cell;
    // Requests of one key are handled in order: the clear comes before the append.
    if (!isGrown) writes.push(stream.clear(this.#instructionId, stateKey));
    if (cell === undefined) return;
    if (spec.kind === 'bag') {
      for (const value of (cell as unknown[]).slice(isGrown ? length : 0)) coder.encode(value, out, true);
    } else {
      coder.encode(cell, out, true);
    }
    if (out.length > 0) writes.push(stream.append(this.#instructionId, stateKey, out.finish()));
  }

  /** Forgets a bundle that failed. */
  reset(): void {
    this.#entries.clear();
    this.#loading.clear();
  }
}

const idOf = (keyId: unknown, window: Window): string => `${typeof keyId}:${String(keyId)}\u0000${window.id}`;

export function encoded(coder: AnyCoder, value: unknown): Uint8Array {
  const out = new ByteWriter(64);
  coder.encode(value, out, true);
  return out.finish();
}
