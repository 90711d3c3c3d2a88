import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClassicLevel } from 'classic-level';
import type { Cells, OperatorState } from '#pipelines/engine/operators/keyed_state';
import {
  type CellsSpec,
  type DueQueue,
  heapBackend,
  type KeyedStore,
  type QueueSpec,
  type StateBackend,
  type StoredPart,
  type StoredTable,
  type TableSpec,
} from '#pipelines/engine/operators/state_backend';
import { entriesOfRecord } from '#pipelines/engine/operators/stored/stored_entries';
import { makeFolder } from '#storage/durable_files';
import { diskError } from '#storage/errors';
import { CachedKey, DiskCells, type KeyStore, tableName } from './disk_cells.ts';
import { DiskQueue, type QueueStore } from './disk_queue.ts';
import { readRecord, recordKey, tableStart, writeRecord } from './records.ts';
import { type KnownFiles, placeFiles, type StoredFile, saveFiles } from './store_files.ts';

/** What a snapshot refers to. */
export interface SavedStore {
  /** Numbers of transforms in the store. */
  readonly tables: Readonly<Record<string, number>>;
  readonly files: readonly StoredFile[];
  /** Bytes of files that the snapshot before did not have. */
  readonly addedBytes: number;
}

export interface DiskStateOptions {
  /** Where the store works: removed at start, and on {@link DiskState.close}. */
  readonly folder: string;
  /** Where files of snapshots are kept, by content. */
  readonly saved: string;
  /** Bytes of hot keys that stay in the heap. */
  readonly cacheBytes: number;
}

/** What a cached key takes in the heap besides its values: entries of two maps, arrays, the record itself. */
const BYTES_A_KEY = 400;
/** Times the changes until then: what grows by each change is so many times larger at most. */
const MEASURED_AGAIN = 4;
/** Values take more room as objects than as bytes. */
const HEAP_FACTOR = 2;
const FIRST_BYTES = BYTES_A_KEY + HEAP_FACTOR * 100;
/** Of the cache's size, what each queue by time may have in the heap; and what a key takes there. */
const QUEUE_SHARE = 1 / 16;
const BYTES_A_DUE = 100;
/** Room that is made beyond what is needed, so that it is not made for each key. */
const SPARE = 1 / 16;
/** Records of one batch. */
const BATCH_RECORDS = 4_096;
/** Keys that a snapshot passes between two looks at the clock. */
const VISITED_A_LOOK = 256;
/** Beyond it, as a share of the cache, changes of keys wait for the snapshot. */
const PRESSED = 1.25;

const STORE = {
  // Records are small and read one by one: a block is read without being unpacked.
  compression: false,
  cacheSize: 8 * 1_024 * 1_024,
  writeBufferSize: 16 * 1_024 * 1_024,
  maxFileSize: 8 * 1_024 * 1_024,
} as const;

type Store = ClassicLevel;
type Batch = ReturnType<Store['batch']>;

/**
 * Keyed state in an embedded LevelDB, with a cache of hot keys that is bounded in bytes: second chance, since a hit then costs one assignment. The store works in a folder
 * that no snapshot refers to; a snapshot writes what has changed since the one before, then keeps the store's files, which never change once they are whole.
 */
export class DiskState implements StateBackend, KeyedStore, KeyStore {
  readonly #options: DiskStateOptions;
  #db: Store | undefined;
  readonly #cells: DiskCells[] = [];
  /** All cached keys, and where the hand that looks for room is. */
  readonly #ring: CachedKey[] = [];
  #hand = 0;
  #bytes = 0;
  /** Counts snapshots: what was changed in an earlier one is what the snapshot under way has to save. */
  epoch = 1;
  /** Numbers of transforms, also of those that are gone, whose records the store may still have: none is given twice. */
  readonly #tables = new Map<string, number>();
  /** From the begin of a snapshot until its files are kept, nothing newer is written. */
  #isHeld = false;
  /** The snapshot under way has been through the cache. */
  #isVisited = true;
  #batch: Batch | undefined;
  /** Of the batch that is being filled. */
  #batchNumber = 1;
  #writtenBatch = 0;
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #known: KnownFiles = new Map();
  readonly #queues: DiskQueue[] = [];
  /** The store, as queues see it. */
  readonly #places: QueueStore;

  constructor(options: DiskStateOptions) {
    this.#options = options;
    const isHeld = (): boolean => this.#isHeld;
    this.#places = {
      get isHeld() {
        return isHeld();
      },
      put: (key, record) => {
        this.#put(key, record);
        this.#writeFull();
      },
      read: async (range, most) => {
        this.#write();
        await this.#written();
        return this.#store.iterator({ ...range, limit: most }).all();
      },
      clear: async (range) => {
        this.#write();
        await this.#written();
        await this.#store.clear(range);
      },
    };
  }

  /** Itself. */
  get store(): KeyedStore {
    return this;
  }

  cellsOf(spec: CellsSpec): OperatorState {
    // There is nothing to keep of a DoFn that has timers alone.
    if (spec.slots === 0) return heapBackend.cellsOf(spec);
    const cells = new DiskCells(this, spec);
    this.#cells.push(cells);
    return cells;
  }

  tableOf(spec: TableSpec): StoredTable {
    const cells = new DiskCells(this, spec);
    this.#cells.push(cells);
    return cells;
  }

  queueOf(spec: QueueSpec): DueQueue {
    const most = Math.max(2, Math.floor((QUEUE_SHARE * this.#options.cacheBytes) / BYTES_A_DUE));
    const queue = new DiskQueue(this.#places, spec, most);
    this.#queues.push(queue);
    return queue;
  }

  /** Opens the store once all its transforms are known. @param saved - what it starts with; empty without it */
  async open(saved?: SavedStore): Promise<void> {
    const { folder, saved: savedFolder } = this.#options;
    await rm(folder, { recursive: true, force: true });
    await makeFolder(folder);
    if (saved !== undefined) this.#known = await placeFiles(savedFolder, saved.files, folder);
    const tables = this.#tables;
    for (const [transform, table] of Object.entries(saved?.tables ?? {})) tables.set(transform, table);
    for (const part of [...this.#cells, ...this.#queues]) {
      part.table = tables.get(part.name) ?? tables.size;
      tables.set(part.name, part.table);
    }
    this.#db = await openStore(folder);
    for (const queue of this.#queues) await queue.open();
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => {});
    const db = this.#db;
    // Without one, the folder may be another's.
    if (db === undefined) return;
    this.#db = undefined;
    await db.close();
    await rm(this.#options.folder, { recursive: true, force: true });
  }

  get #store(): Store {
    if (this.#db === undefined) throw new Error('the store of keyed state is not open');
    return this.#db;
  }

  // --- what cells need -----------------------------------------------------------------------------------------

  load(owner: DiskCells, key: unknown, keyId: unknown): CachedKey {
    const record = this.#store.getSync(recordKey(owner.table, keyId));
    const windows = record === undefined ? [] : owner.unpack(key, readRecord(record)[1]);
    const bytes = record === undefined ? FIRST_BYTES : heapBytes(record.length);
    const cached = new CachedKey(owner, key, keyId, windows, this.#ring.length, bytes);
    this.#ring.push(cached);
    this.#bytes += bytes;
    return cached;
  }

  change(cached: CachedKey): void {
    cached.changes += 1;
    if (cached.changes >= cached.measuredAfter) {
      this.#measure(cached, writeRecord(cached.key, cached.owner.pack(cached.windows)).length);
      cached.measuredAfter = MEASURED_AGAIN * cached.changes;
    }
    cached.changedIn = this.epoch;
  }

  #measure(cached: CachedKey, recordLength: number): void {
    const bytes = heapBytes(recordLength);
    this.#bytes += bytes - cached.bytes;
    cached.bytes = bytes;
  }

  isFrozen({ changedIn }: CachedKey): boolean {
    return changedIn !== 0 && changedIn !== this.epoch;
  }

  save(cached: CachedKey): void {
    cached.changedIn = 0;
    const { owner, keyId, windows } = cached;
    const key = recordKey(owner.table, keyId);
    if (windows.length === 0) {
      this.#put(key, undefined);
      cached.isStored = false;
    } else {
      owner.prepare(cached);
      const record = writeRecord(cached.key, owner.pack(windows));
      this.#put(key, record);
      this.#measure(cached, record.length);
      cached.isStored = true;
    }
    cached.batch = this.#batchNumber;
    this.#writeFull();
  }

  /** @param record - undefined removes it */
  #put(key: string, record: string | undefined): void {
    this.#batch ??= this.#store.batch();
    if (record === undefined) this.#batch.del(key);
    else this.#batch.put(key, record);
  }

  #writeFull(): void {
    if (this.#batch !== undefined && this.#batch.length >= BATCH_RECORDS) this.#write();
  }

  forgetEmpty(cached: CachedKey): boolean {
    const isKnown = !cached.isStored && cached.batch <= this.#writtenBatch;
    if (isKnown) this.#forget(cached);
    return isKnown;
  }

  #forget(cached: CachedKey): void {
    const ring = this.#ring;
    const last = ring.pop() as CachedKey;
    if (last !== cached) {
      // It may come to a place that the snapshot under way has visited.
      if (this.isFrozen(last)) this.save(last);
      ring[cached.place] = last;
      last.place = cached.place;
    }
    this.#bytes -= cached.bytes;
    cached.owner.removed(cached);
  }

  // --- room ----------------------------------------------------------------------------------------------------

  /** Whether more is in the heap than was allowed, until the snapshot under way is taken. */
  get isPressed(): boolean {
    if (!this.#isHeld) return false;
    let bytes = this.#bytes;
    for (const { beyond } of this.#queues) bytes += beyond * BYTES_A_DUE;
    return bytes > PRESSED * this.#options.cacheBytes;
  }

  get isFull(): boolean {
    if (this.#bytes > this.#options.cacheBytes || this.#failure !== undefined) return true;
    for (const queue of this.#queues) if (queue.isToBeTended) return true;
    return false;
  }

  /** What has to be written goes with the next call: the one before is written meanwhile. */
  async relieve(): Promise<void> {
    await this.#written();
    if (this.#bytes > this.#options.cacheBytes) this.#evict();
    for (const queue of this.#queues) if (queue.isToBeTended) await queue.tend();
    this.#write();
  }

  #evict(): void {
    const ring = this.#ring;
    const wanted = (1 - SPARE) * this.#options.cacheBytes;
    // Bytes of keys that can be removed once their batch is written.
    let promised = 0;
    for (let left = 2 * ring.length; left > 0 && this.#bytes - promised > wanted; left -= 1) {
      if (this.#hand >= ring.length) this.#hand = 0;
      const cached = ring[this.#hand] as CachedKey;
      if (cached.isUsed) {
        cached.isUsed = false;
        this.#hand += 1;
      } else if (cached.changedIn === 0 && cached.batch <= this.#writtenBatch) {
        // Another takes its place.
        this.#forget(cached);
      } else {
        this.#hand += 1;
        if (this.#isHeld && cached.changedIn === this.epoch) continue;
        if (cached.changedIn !== 0) this.save(cached);
        promised += cached.bytes;
      }
    }
  }

  async #written(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #write(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    const number = this.#batchNumber;
    this.#batchNumber += 1;
    const { folder } = this.#options;
    const before = this.#writing;
    const writing = (async () => {
      await before;
      await batch.write();
      this.#writtenBatch = number;
    })().catch((error: unknown) => {
      this.#failure ??= diskError(folder, error);
    });
    this.#writing = writing;
  }

  // --- snapshots -----------------------------------------------------------------------------------------------

  /** Begins a snapshot, before the transforms begin theirs. */
  beginSnapshot(): void {
    this.epoch += 1;
    this.#isHeld = true;
    this.#isVisited = false;
  }

  *unsaved(): Generator<undefined> {
    if (this.#isVisited) return;
    this.#isVisited = true;
    const ring = this.#ring;
    // Keys that come in meanwhile are added behind, and are none of the snapshot's.
    for (let place = 0; place < ring.length; place += 1) {
      const cached = ring[place] as CachedKey;
      if (this.isFrozen(cached)) {
        this.save(cached);
        yield undefined;
      } else if (place % VISITED_A_LOOK === 0) yield undefined;
    }
  }

  /** Keeps the store's files for the snapshot, once all transforms have been visited. */
  async keep(): Promise<SavedStore> {
    const { folder, saved } = this.#options;
    this.#write();
    await this.#written();
    const { files, known, addedBytes } = await saveFiles(folder, saved, this.#known);
    this.#known = known;
    this.#isHeld = false;
    for (const queue of this.#queues) queue.release();
    return { tables: Object.fromEntries(this.#tables), files, addedBytes };
  }
}

const heapBytes = (recordLength: number): number => BYTES_A_KEY + HEAP_FACTOR * recordLength;

async function openStore(folder: string): Promise<Store> {
  // Jobs with state in the heap do without it.
  const { ClassicLevel: Level } = await import('classic-level');
  const db = new Level(folder, STORE);
  try {
    await db.open();
  } catch (error) {
    throw diskError(folder, (error as Error).cause ?? error);
  }
  return db;
}

const PARTS: readonly (StoredPart | undefined)[] = [undefined, 'timers', 'groups', 'tiles'];

/** Whether a snapshot's store has anything of a transform. */
export const hasStored = ({ tables }: SavedStore, transform: string): boolean =>
  PARTS.some((part) => tables[tableName(transform, part)] !== undefined);

/** Reads what a snapshot's store has of one transform, as entries that every backend restores, in a folder of its own that is removed in the end. */
export async function* readStored(saved: string, store: SavedStore, transform: string): AsyncGenerator<unknown> {
  if (!hasStored(store, transform)) return;
  const folder = join(saved, `reading-${process.pid}-${randomUUID().slice(0, 8)}`);
  await makeFolder(folder);
  try {
    await placeFiles(saved, store.files, folder);
    const db = await openStore(folder);
    try {
      for (const part of PARTS) {
        const table = store.tables[tableName(transform, part)];
        if (table !== undefined) yield* readTable(db, table, part);
      }
    } finally {
      await db.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* readTable(db: Store, table: number, part: StoredPart | undefined): AsyncGenerator<unknown> {
  for await (const record of db.values({ gte: tableStart(table), lt: tableStart(table + 1) })) {
    const [key, flat] = readRecord(record);
    const windows = flat.flatMap((id, at) => (at % 2 === 0 ? [[id as string, flat[at + 1] as Cells] as const] : []));
    yield* entriesOfRecord(part, [key, windows]);
  }
}
