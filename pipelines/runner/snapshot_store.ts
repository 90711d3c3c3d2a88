import { createHash, type Hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { DefaultSerializer, serialize } from 'node:v8';
import { messageOf } from '#kernel/errors';
import { KEY_GROUPS } from '#kernel/keys/key_codec';
import type { Logger } from '#monitoring/log';
import { SnapshotError } from '#pipelines/engine/errors';
import type { RestoredTransform, SavedTransform, TransformSnapshot } from '#pipelines/engine/executor';
import type { DueEntry, SavedDue } from '#pipelines/engine/state/snapshot';
import { FILE_MODE, makeFolder, syncFolder } from '#storage/durable_files';
import { diskError, onDisk } from '#storage/errors';
import {
  BATCH_HEADER_BYTES,
  LENGTH_BYTES,
  type LoadedSnapshot,
  readSnapshotFile,
  type SavedHeads,
  SNAPSHOT_FORMAT,
  STORE_PART,
} from './snapshot_file.ts';
import { hasStored, readStored, type SavedStore } from './state/disk_state.ts';
import { checkFiles, removeUnused, type StoredFile } from './state/store_files.ts';

export type { LoadedSnapshot } from './snapshot_file.ts';

/** Where the files of stores are that snapshots in a folder refer to, and where a job works on its own. */
export const storeFolder = (directory: string): string => join(directory, 'state');
export const workFolder = (directory: string): string => join(directory, 'work');

const SHARD_FOLDER = /^shard-(\d+)$/;
const NAME = /^snapshot-(\d{12})\.bin$/;
const KEPT = 2;
/** Entries of one transform that are serialised together. */
interface OpenBatch {
  readonly transform: number;
  readonly serializer: DefaultSerializer;
  count: number;
}

/**
 * Snapshots in a folder, one file each: the format's name as a line, the transforms' heads (length, structured clone), then their
 * entries in batches of structured clones; at the end the SHA-256 of it all. Written to a temporary file, synced, renamed; the two
 * newest are kept, so that one damaged file is not the end.
 */
export class SnapshotStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #kept: number;
  readonly #guard: () => void;
  #sequence = 0;
  /** By snapshot, the files of its store. */
  readonly #filesOf = new Map<number, readonly StoredFile[]>();

  /** @param guard - throws when this process may no longer write here */
  constructor(directory: string, log: Logger, kept = KEPT, guard: () => void = () => {}) {
    this.#guard = guard;
    this.#directory = directory;
    this.#log = log;
    this.#kept = kept;
  }

  /**
   * The newest readable snapshot, or the requested one.
   *
   * @throws {@link SnapshotError} when there are some and none is readable
   */
  async load(wanted?: number): Promise<LoadedSnapshot | undefined> {
    await makeFolder(this.#directory);
    const all = await this.#list();
    this.#sequence = all[0] ?? 0;
    const sequences = wanted === undefined ? all : [wanted];
    const problems: string[] = [];
    for (const sequence of sequences) {
      const file = this.#file(sequence);
      try {
        return await this.#loadFile(sequence, file);
      } catch (error) {
        problems.push(`${file}: ${messageOf(error)}`);
        this.#log.error({ file, error }, 'snapshot.unreadable');
      }
    }
    if (problems.length === 0) return undefined;
    throw new SnapshotError(
      `no snapshot can be read: ${problems.join('; ')}. Restore the folder from a backup, or move it away to start from the beginning of the sources`,
    );
  }

  async #loadFile(sequence: number, file: string): Promise<LoadedSnapshot> {
    const { transforms, store, ...loaded } = await readSnapshotFile(file);
    if (store === undefined) return { sequence, ...loaded, transforms };
    await checkFiles(storeFolder(this.#directory), store.files);
    this.#filesOf.set(sequence, store.files);
    const withStored = transforms.map((transform): RestoredTransform => {
      const { name, entries } = transform;
      if (!hasStored(store, name)) return transform;
      return {
        ...{ ...transform, stored: readStored(storeFolder(this.#directory), store, name) },
        ...{
          entries: { [Symbol.iterator]: () => withoutDue(entries) },
          due: { [Symbol.iterator]: () => dueIn(entries) },
        },
      };
    });
    return { sequence, ...loaded, transforms: withStored, store };
  }

  /** A writer for the next snapshot. */
  begin(sequence = this.#sequence + 1): SnapshotWriter {
    this.#sequence = sequence;
    const file = this.#file(sequence);
    return new SnapshotWriter(sequence, `${file}.tmp`, async (temporary, store) => {
      this.#guard();
      await onDisk(file, () => rename(temporary, file));
      await syncFolder(this.#directory);
      if (store !== undefined) this.#filesOf.set(sequence, store.files);
      for (const old of (await this.#list()).slice(this.#kept)) await this.#remove(old);
      await this.#removeUnusedFiles();
    });
  }

  /** Removes all snapshots but the newest, with what worker threads have of them. */
  async discardOlder(): Promise<void> {
    this.#guard();
    const [newest, ...older] = await this.#list();
    for (const old of older) await this.#remove(old);
    if (newest !== undefined) await this.#removeShardsBefore(newest, 0, false);
  }

  /**
   * Removes what worker threads have left that the job does not run any more, once no snapshot needs it.
   *
   * @param shards - that it runs now
   * @returns whether some is still needed
   */
  async discardShards(shards: number): Promise<boolean> {
    this.#guard();
    const oldest = (await this.#list()).at(-1);
    return oldest !== undefined && (await this.#removeShardsBefore(oldest, shards));
  }

  /** @param isForeign - no thread writes there: folders that are empty then are removed. @returns whether some are left */
  async #removeShardsBefore(sequence: number, firstShard: number, isForeign = true): Promise<boolean> {
    let isLeft = false;
    for (const name of await onDisk(this.#directory, () => readdir(this.#directory))) {
      const shard = SHARD_FOLDER.exec(name)?.[1];
      if (shard === undefined || Number(shard) < firstShard) continue;
      const folder = join(this.#directory, name);
      const store = new SnapshotStore(folder, this.#log);
      const sequences = await store.#list();
      for (const old of sequences) if (old < sequence) await store.#remove(old);
      if (sequences.some((one) => one >= sequence)) isLeft = true;
      else if (isForeign) await onDisk(folder, () => rm(folder, { recursive: true, force: true }));
    }
    return isLeft;
  }

  /** Files of stores that no snapshot here refers to any more. */
  async #removeUnusedFiles(): Promise<void> {
    const folder = storeFolder(this.#directory);
    if (!existsSync(folder)) return;
    const files: (readonly StoredFile[])[] = [];
    for (const sequence of await this.#list()) {
      const known = this.#filesOf.get(sequence) ?? (await storedFilesOf(this.#file(sequence)));
      this.#filesOf.set(sequence, known);
      files.push(known);
    }
    await removeUnused(folder, files);
  }

  /** Another thread may remove it at the same time. */
  #remove(sequence: number): Promise<void> {
    this.#filesOf.delete(sequence);
    return onDisk(this.#directory, () => rm(this.#file(sequence), { force: true }));
  }

  #file(sequence: number): string {
    return join(this.#directory, `snapshot-${String(sequence).padStart(12, '0')}.bin`);
  }

  /** Newest first. */
  async #list(): Promise<number[]> {
    const names = await onDisk(this.#directory, () => readdir(this.#directory));
    return names
      .map((name) => NAME.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((a, b) => b - a);
  }
}

/** Entries that are serialised together: as many as make so many bytes, at most this number. */
const MOST_OF_A_BATCH = 500;
const BATCH_BYTES = 4 * 1_024 * 1_024;
/** Entries between two looks at the clock: large ones take a tenth of a millisecond each. */
const ENTRIES_A_LOOK = 16;
/** What is hashed and written at once. */
const PIECE_BYTES = 256 * 1_024;
/** Bytes that may wait for the disk before the snapshot pauses. */
const MOST_WAITING_BYTES = 64 * 1_024 * 1_024;

/** One snapshot on its way to disk: filled a little at a time, between bundles. */
export class SnapshotWriter {
  readonly sequence: number;
  readonly #temporary: string;
  readonly #publish: (temporary: string, store: SavedStore | undefined) => Promise<void>;
  #store: SavedStore | undefined;
  readonly #hash: Hash = createHash('sha256');
  #transforms: readonly TransformSnapshot[] = [];
  #next = 0;
  #batch: OpenBatch | undefined;
  #batchEntries = 1;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #handle: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #failure: unknown;
  #finishing: Promise<void> | undefined;
  bytes = 0;
  /** Bytes of entries, by the name of their transform. */
  readonly stateBytes = new Map<string, number>();

  constructor(
    sequence: number,
    temporary: string,
    publish: (temporary: string, store: SavedStore | undefined) => Promise<void>,
  ) {
    this.sequence = sequence;
    this.#temporary = temporary;
    this.#publish = publish;
  }

  /** Takes the heads; entries follow by {@link step} and {@link take}. */
  start(transforms: readonly TransformSnapshot[], shards: number): void {
    this.#transforms = transforms;
    this.#write(Buffer.from(`${SNAPSHOT_FORMAT}\n`));
    const saved = transforms.map(({ entries: _, ...head }): SavedTransform => head);
    const heads = serialize({ shards, keyGroups: KEY_GROUPS, transforms: saved } satisfies SavedHeads);
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(heads.length);
    this.#write(length);
    this.#write(heads);
  }

  /** An entry as it is now. */
  take(transform: number, entry: unknown): void {
    if (this.#batch !== undefined && (this.#batch.transform !== transform || this.#batch.count >= this.#batchEntries)) {
      this.#closeBatch(this.#batch);
    }
    if (this.#batch === undefined) {
      this.#batch = { transform, serializer: new DefaultSerializer(), count: 0 };
      this.#batch.serializer.writeHeader();
    }
    this.#batch.serializer.writeValue(entry);
    this.#batch.count += 1;
  }

  /** Refers to the store that holds what the entries do not. Call last. */
  takeStore(store: SavedStore): void {
    this.#store = store;
    this.bytes += store.addedBytes;
    this.take(STORE_PART, store);
  }

  #closeBatch({ transform, serializer, count }: OpenBatch): void {
    this.#batch = undefined;
    const body = serializer.releaseBuffer();
    const { name } = this.#transforms[transform] ?? {};
    if (name !== undefined) this.stateBytes.set(name, (this.stateBytes.get(name) ?? 0) + body.length);
    // Large entries go alone: a buffer has an end, too.
    const fitting = Math.floor((count * BATCH_BYTES) / Math.max(1, body.length));
    this.#batchEntries = Math.max(1, Math.min(fitting, 2 * this.#batchEntries, MOST_OF_A_BATCH));
    const header = Buffer.allocUnsafe(BATCH_HEADER_BYTES);
    header.writeUInt32BE(transform);
    header.writeUInt32BE(count, LENGTH_BYTES);
    header.writeUInt32BE(body.length, 2 * LENGTH_BYTES);
    this.#write(header);
    this.#write(body);
  }

  /** Serialises entries for about `budgetMs`; true when there are no more. */
  step(budgetMs: number): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    const endMs = performance.now() + budgetMs;
    while (this.#next < this.#transforms.length) {
      if (this.#waitingBytes > MOST_WAITING_BYTES) return false;
      const { entries } = this.#transforms[this.#next] as TransformSnapshot;
      for (let count = 0; count < ENTRIES_A_LOOK; count += 1) {
        const entry = entries.next();
        if (entry.done === true) {
          this.#next += 1;
          break;
        }
        if (entry.value !== undefined) this.take(this.#next, entry.value);
      }
      if (performance.now() >= endMs) break;
    }
    return this.#next >= this.#transforms.length;
  }

  #write(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#pieceBytes += bytes.length;
    if (this.#pieceBytes >= PIECE_BYTES) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#hash.update(bytes);
    this.#append(bytes);
  }

  #append(bytes: Buffer): void {
    this.bytes += bytes.length;
    this.#waitingBytes += bytes.length;
    this.#writing = this.#writing
      .then(async () => {
        this.#handle ??= await open(this.#temporary, 'w', FILE_MODE);
        await this.#handle.writeFile(bytes);
        this.#waitingBytes -= bytes.length;
      })
      .catch((error: unknown) => {
        this.#failure ??= diskError(this.#temporary, error);
      });
  }

  /** Makes it durable. */
  finish(): Promise<void> {
    this.#finishing = this.#finish();
    return this.#finishing;
  }

  async #finish(): Promise<void> {
    if (this.#batch !== undefined) this.#closeBatch(this.#batch);
    this.#flush();
    this.#append(this.#hash.digest());
    await this.#writing;
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await onDisk(this.#temporary, async () => this.#handle?.sync());
    } finally {
      await this.#close();
    }
    await this.#publish(this.#temporary, this.#store);
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await onDisk(this.#temporary, async () => handle?.close());
  }

  /** Nothing is written any more when this is done: one that was about to become durable may have. */
  async abandon(): Promise<void> {
    await this.#finishing?.catch(() => {});
    await this.#writing;
    await this.#close();
    await unlink(this.#temporary).catch(() => {});
  }
}

/** The store's files of a snapshot that is there; none of one that cannot be read. */
const storedFilesOf = (file: string): Promise<readonly StoredFile[]> =>
  readSnapshotFile(file).then(
    ({ store }) => store?.files ?? [],
    () => [],
  );

/** Entries without those of queues, which the store's other part belongs to. */
function* withoutDue(entries: Iterable<unknown>): Generator<unknown> {
  for (const entry of entries) if ((entry as Partial<DueEntry>).due === undefined) yield entry;
}

function* dueIn(entries: Iterable<unknown>): Generator<SavedDue> {
  for (const entry of entries) {
    const { due } = entry as Partial<DueEntry>;
    if (due !== undefined) yield due;
  }
}
