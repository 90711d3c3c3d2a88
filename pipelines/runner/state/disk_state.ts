import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClassicLevel } from 'classic-level';
import type { Cells, OperatorState, SavedKey } from '#pipelines/engine/operators/keyed_state';
import { type CellsSpec, heapBackend, type StateBackend } from '#pipelines/engine/operators/state_backend';
import { makeFolder } from '#storage/durable_files';
import { diskError } from '#storage/errors';
import { CachedKey, DiskCells, type KeyStore } from './disk_cells.ts';
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
export class DiskState implements StateBackend, KeyStore {
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

  constructor(options: DiskStateOptions) {
    this.#options = options;
  }

  cellsOf(spec: CellsSpec): OperatorState {
    // There is nothing to keep of a DoFn that has timers alone.
    if (spec.slots === 0) return heapBackend.cellsOf(spec);
    const cells = new DiskCells(this, spec);
    this.#cells.push(cells);
    return cells;
  }

  /** Opens the store once all its transforms are known. @param saved - what it starts with; empty without it */
  async open(saved?: SavedStore): Promise<void> {
    const { folder, saved: savedFolder } = this.#options;
    await rm(folder, { recursive: true, force: true });
    await makeFolder(folder);
    if (saved !== undefined) this.#known = await placeFiles(savedFolder, saved.files, folder);
    const tables = this.#tables;
    for (const [transform, table] of Object.entries(saved?.tables ?? {})) tables.set(transform, table);
    for (const cells of this.#cells) {
      cells.table = tables.get(cells.transform) ?? tables.size;
      tables.set(cells.transform, cells.table);
    }
    this.#db = await openStore(folder);
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
    const windows = record === undefined ? [] : readRecord(record)[1];
    const bytes = record === undefined ? FIRST_BYTES : heapBytes(record.length);
    const cached = new CachedKey(owner, key, keyId, windows, this.#ring.length, bytes);
    this.#ring.push(cached);
    this.#bytes += bytes;
    return cached;
  }

  change(cached: CachedKey): void {
    cached.changes += 1;
    if (cached.changes >= cached.measuredAfter) {
      this.#measure(cached, writeRecord(cached.key, cached.windows).length);
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
    this.#batch ??= this.#store.batch();
    if (windows.length === 0) {
      this.#batch.del(key);
      cached.isStored = false;
    } else {
      owner.prepare(cached);
      const record = writeRecord(cached.key, windows);
      this.#batch.put(key, record);
      this.#measure(cached, record.length);
      cached.isStored = true;
    }
    cached.batch = this.#batchNumber;
    if (this.#batch.length >= BATCH_RECORDS) this.#write();
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
    return this.#isHeld && this.#bytes > PRESSED * this.#options.cacheBytes;
  }

  get isFull(): boolean {
    return this.#bytes > this.#options.cacheBytes || this.#failure !== undefined;
  }

  /** What has to be written goes with the next call: the one before is written meanwhile. */
  async relieve(): Promise<void> {
    await this.#written();
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
    this.#write();
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

/** Reads what a snapshot's store has of one transform, in a folder of its own that is removed in the end. */
export async function* readStored(
  saved: string,
  store: SavedStore,
  transform: string,
): AsyncGenerator<{ readonly key: SavedKey }> {
  const table = store.tables[transform];
  if (table === undefined) return;
  const folder = join(saved, `reading-${process.pid}-${randomUUID().slice(0, 8)}`);
  await makeFolder(folder);
  try {
    await placeFiles(saved, store.files, folder);
    const db = await openStore(folder);
    try {
      for await (const record of db.values({ gte: tableStart(table), lt: tableStart(table + 1) })) {
        const [key, flat] = readRecord(record);
        const windows = flat.flatMap((id, at) =>
          at % 2 === 0 ? [[id as string, flat[at + 1] as Cells] as const] : [],
        );
        yield { key: [key, windows] };
      }
    } finally {
      await db.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
