import { readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { storedValuesOf } from '#feature_store/definitions/stored_values';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import { entityKeyFromPrevious } from '#feature_store/definitions/values/previous_entity_key';
import { oldestReadable } from '#feature_store/definitions/values/ttl';
import { jsonOfValues } from '#feature_store/definitions/values/value_codec';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { DamagedFileError, onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { frameOf } from '#storage/framing';
import { RecordLog } from '#storage/record_log';
import { CounterLimitError, LARGEST_COUNT } from '../errors.ts';
import type { OnlineStore, WriteResult } from './online_store.ts';
import { keysFromPrevious } from './previous_keys.ts';

/** A counter as it is. */
interface Count {
  readonly entity: EntityKey;
  readonly counter: string;
  readonly value: number;
}

/** In the log before what it says. Without it, keys in the log are those of releases before entity keys. */
interface Header {
  readonly layout: 2;
}

/** What was written before and has no key of now: kept in the log, marked, and tried again at each start. */
type Left = (FeatureRow | Count) & { readonly left: true };

type Entry = FeatureRow | Count | Left | Header;

/** The log is written anew when it holds this many more records than the store has rows and counters. */
const REWRITE_AFTER_ROWS = 50_000;
const SEGMENT_BYTES = 64 * 1024 * 1024;
const READ_AT_ONCE = 1_000;

/**
 * The embedded online store: a map in this process, and a log of its changes on disk, written before `write` resolves. Killing the process
 * loses nothing acknowledged. Memory holds every entity's newest row.
 */
export class MemoryOnlineStore implements OnlineStore {
  readonly kind = 'memory';
  readonly name = 'online store (memory)';
  readonly #folder: string;
  /** Where versions before 0.2 kept the rows, as lines. */
  readonly #fileBefore: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ttlMs: ReadonlyMap<string, number>;
  readonly #rows = new Map<string, FeatureRow>();
  readonly #counters = new Map<string, Count>();
  readonly #views: readonly FeatureView[];
  readonly #byId: ReadonlyMap<string, FeatureView>;
  #left: readonly Left[] = [];
  readonly #changes: RecordLog;
  #lock: FolderLock | undefined;
  #appended = 0;
  #queue: Promise<unknown> = Promise.resolve();

  /**
   * @param deps - `ttlMs`: by view id; rows older than that are not served. `views`: those that are defined, for what was written before entity keys
   */
  constructor(
    deps: { log: Logger; clock: Clock; ttlMs: ReadonlyMap<string, number>; views?: readonly FeatureView[] },
    settings: { file: string },
  ) {
    this.#fileBefore = settings.file;
    this.#folder = dirname(settings.file);
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'feature_store.online' });
    this.#ttlMs = deps.ttlMs;
    this.#views = deps.views ?? [];
    this.#byId = new Map(this.#views.map((view) => [viewId(view), view]));
    this.#changes = new RecordLog(`${settings.file}.changes`, {
      ...{ segmentBytes: SEGMENT_BYTES, syncEachWrite: false, log: this.#log, guard: () => this.#lock?.check() },
    });
  }

  async start(): Promise<void> {
    this.#lock = await FolderLock.acquire(this.#folder, { at: `${this.#fileBefore}.lock` });
    try {
      await this.#changes.open();
      const before = await readLinesBefore(this.#fileBefore, this.#log);
      const previous: (FeatureRow | Count)[] = [];
      this.#restore(before ?? [], previous);
      let hasLayout = false;
      for (let at = this.#changes.start; ; ) {
        const records = await this.#changes.read(at, READ_AT_ONCE);
        if (records.length === 0) break;
        const entries = records.map(({ payload }) => JSON.parse(payload.toString('utf8')) as Entry);
        hasLayout = this.#restore(entries, previous, hasLayout);
        at = (records.at(-1)?.position ?? at) + 1;
        this.#appended += records.length;
      }
      if (previous.length > 0) this.#takeOver(previous);
      // Everything in the log has keys of now, or is marked as left: what was taken over once is not taken over again.
      const isOfNow = hasLayout && this.#left.length === previous.length && previous.every((entry) => 'left' in entry);
      if (before !== undefined || !isOfNow || this.#isLarge()) await this.#rewrite();
      // All of it is in the log now, and on disk.
      if (before !== undefined) await onDisk(this.#fileBefore, () => unlink(this.#fileBefore));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Takes what has keys of now; the rest goes to `previous`.
   *
   * @param hasLayout - whether the header came before
   * @returns whether it has come now
   */
  #restore(entries: Iterable<Entry>, previous: (FeatureRow | Count)[], hasLayout = false): boolean {
    let isOfNow = hasLayout;
    for (const entry of entries) {
      if ('layout' in entry) isOfNow = true;
      else if (!isOfNow || 'left' in entry) previous.push(entry);
      else if ('counter' in entry) this.#counters.set(counterKey(entry.entity, entry.counter), entry);
      else this.#put(this.#readRow(entry));
    }
    return isOfNow;
  }

  /** Reads a row of the log; a value of another type than declared now is left out. */
  #readRow(row: FeatureRow): FeatureRow {
    const view = this.#byId.get(viewId(row));
    if (view === undefined) return row;
    const values = storedValuesOf(view)(row.values, (feature, error) => {
      const { entityKey: entity } = row;
      this.#log.warn({ view: viewId(view), feature, entity, error: error.message }, 'online_store.value_left_out');
    });
    return values === row.values ? row : { ...row, values };
  }

  /** Gives what was written before entity keys its keys of now; a counter is of the one entity that there are rows of. */
  #takeOver(previous: readonly (FeatureRow | Count)[]): void {
    const left = new Map<string, Left>();
    for (const row of previous) {
      if ('counter' in row) continue;
      const view = this.#byId.get(viewId(row));
      const read = view === undefined ? undefined : entityKeyFromPrevious(view, row.entityKey);
      if (read !== undefined && 'key' in read) this.#put(this.#readRow({ ...row, entityKey: read.key }));
      else left.set(rowKey(row, row.entityKey), { ...row, left: true });
    }
    for (const count of previous) {
      if (!('counter' in count)) continue;
      const known = keysFromPrevious(this.#views, count.entity).filter((key) =>
        this.#views.some((view) => this.#rows.has(rowKey(view, key))),
      );
      const [only, ...others] = known;
      if (only !== undefined && others.length === 0) {
        const key = counterKey(only, count.counter);
        if (!this.#counters.has(key) || !('left' in count)) this.#counters.set(key, { ...count, entity: only });
      } else left.set(counterKey(count.entity, count.counter), { ...count, left: true });
    }
    this.#left = [...left.values()];
    const examples = this.#left.slice(0, 5).map((entry) => ('counter' in entry ? entry.entity : entry.entityKey));
    if (examples.length > 0) this.#log.warn({ keys: this.#left.length, examples }, 'online_store.entity_keys_left');
  }

  #put(row: FeatureRow): boolean {
    const key = rowKey(row, row.entityKey);
    const existing = this.#rows.get(key);
    if (existing !== undefined && !replaces(row, existing)) return false;
    this.#rows.set(key, row);
    return true;
  }

  async write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    const fresh = rows.filter((row) => this.#put(row));
    if (fresh.length > 0) await this.#enqueue(() => this.#append(fresh));
    return { written: fresh.length, stale: rows.length - fresh.length };
  }

  async increment(entity: EntityKey, counter: string, by: number): Promise<number> {
    const key = counterKey(entity, counter);
    const count = { entity, counter, value: (this.#counters.get(key)?.value ?? 0) + by };
    if (by === 0) return count.value;
    if (Math.abs(count.value) > LARGEST_COUNT) throw new CounterLimitError(counter, entity, by);
    this.#counters.set(key, count);
    try {
      await this.#enqueue(() => this.#append([count]));
    } catch (error) {
      // Not counted: the caller's next try is.
      this.#counters.set(key, { ...count, value: (this.#counters.get(key)?.value ?? by) - by });
      throw error;
    }
    return count.value;
  }

  async readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>> {
    const counts = [...this.#counters.values()].filter(({ entity }) => entity === entityKey);
    return Object.fromEntries(counts.map(({ counter, value }) => [counter, value]));
  }

  async erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    const erased = views.filter((view) => this.#rows.delete(rowKey(view, entityKey))).length;
    for (const [key, { entity }] of this.#counters) if (entity === entityKey) this.#counters.delete(key);
    // What was appended is on disk until the file is written anew.
    await this.#enqueue(() => this.#rewrite());
    return erased;
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    const ttlMs = this.#ttlMs.get(viewId(view));
    const oldest = oldestReadable(this.#clock.now(), ttlMs);
    return entityKeys.map((entityKey) => {
      const row = this.#rows.get(rowKey(view, entityKey));
      return row !== undefined && row.eventTime >= oldest ? row : undefined;
    });
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(task);
    this.#queue = done.catch(() => {});
    return done;
  }

  async #append(entries: readonly (FeatureRow | Count)[]): Promise<void> {
    await this.#changes.append(entries.map((entry) => frameOf(Buffer.from(entryJson(entry)))));
    this.#appended += entries.length;
    if (this.#isLarge()) {
      // What was appended is kept whether this succeeds or not; it is tried again at the next write.
      await this.#rewrite().catch((error: unknown) => this.#log.warn({ error }, 'online_store.rewrite_failed'));
    }
  }

  /** How many records the log needs, but for its header. */
  #kept(): number {
    return this.#rows.size + this.#counters.size + this.#left.length;
  }

  #isLarge(): boolean {
    return this.#appended > this.#kept() + REWRITE_AFTER_ROWS;
  }

  /** Writes all there is to the end of the log, and deletes what was before. */
  async #rewrite(): Promise<void> {
    await this.#changes.roll();
    const from = this.#changes.end;
    let entries: Entry[] = [{ layout: 2 }];
    const write = async (): Promise<void> => {
      await this.#changes.append(entries.map((entry) => frameOf(Buffer.from(entryJson(entry)))));
      entries = [];
    };
    for (const entry of [...this.#left, ...this.#counters.values(), ...this.#rows.values()]) {
      entries.push(entry);
      if (entries.length === READ_AT_ONCE) await write();
    }
    if (entries.length > 0) await write();
    await this.#changes.sync();
    await this.#changes.discardBefore(from);
    this.#appended = this.#kept();
  }

  async drain(): Promise<void> {
    await this.#queue;
  }

  async stop(): Promise<void> {
    await this.#queue;
    await this.#changes.close().catch((error: unknown) => this.#log.error({ error }, 'online_store.close_failed'));
    await this.#lock?.release();
    this.#lock = undefined;
  }
}

/** Rows hold values in their JSON form. */
const entryJson = (entry: Entry): string =>
  'values' in entry ? JSON.stringify({ ...entry, values: jsonOfValues(entry.values) }) : JSON.stringify(entry);

const rowKey = (view: ViewReference, entityKey: EntityKey): string => `${view.view}@${view.version}\u0000${entityKey}`;

const counterKey = (entity: EntityKey, counter: string): string => `${counter}\u0000${entity}`;

/**
 * Reads the file of versions before 0.2: JSON lines, each with its CRC-32. Only a last line without its end can be torn.
 *
 * @returns undefined where there is no such file
 */
async function readLinesBefore(file: string, log: Logger): Promise<readonly Entry[] | undefined> {
  const bytes = await onDisk(file, () =>
    readFile(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }),
  );
  if (bytes === undefined) return undefined;
  const entries: Entry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) {
      log.warn({ file, keptBytes: at, cutBytes: bytes.length - at }, 'online_store.torn_tail_cut');
      break;
    }
    const entry = decodeLine(bytes.subarray(at, end));
    if (entry === undefined) {
      const remedy = 'move the file away, and fill the store again from history ("headwater features rebuild-online")';
      throw new DamagedFileError(file, at, 'the checksum of the line does not match', remedy);
    }
    entries.push(entry);
    at = end + 1;
  }
  return entries;
}

function decodeLine(line: Buffer): Entry | undefined {
  const json = line.subarray(9);
  if (line[8] !== 0x20 || Number.parseInt(line.toString('latin1', 0, 8), 16) !== crc32(json)) return undefined;
  return JSON.parse(json.toString('utf8')) as Entry;
}
