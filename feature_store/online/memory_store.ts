import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { EntityKey } from '#feature_store/definitions/entity_key';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityKeyFromPrevious } from '#feature_store/definitions/previous_entity_key';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { OnlineStore, WriteResult } from './online_store.ts';
import { keysFromPrevious } from './previous_keys.ts';

/** A counter as it is. */
interface Count {
  readonly entity: EntityKey;
  readonly counter: string;
  readonly value: number;
}

/** The file's first line. Without it, keys in the file are those of releases before entity keys. */
interface Header {
  readonly layout: 2;
}

/** What was written before and has no key of now: kept in the file, marked, and tried again at each start. */
type Left = (FeatureRow | Count) & { readonly left: true };

/** The file is rewritten when it holds this many more lines than the store has rows and counters. */
const REWRITE_AFTER_ROWS = 50_000;

/**
 * The embedded online store: a map in this process, and an append-only file of JSON lines, each with its CRC-32, written
 * before `write` resolves. Killing the process loses nothing acknowledged. Memory holds every entity's newest row.
 */
export class MemoryOnlineStore implements OnlineStore {
  readonly kind = 'memory';
  readonly name = 'online store (memory)';
  readonly #file: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ttlMs: ReadonlyMap<string, number>;
  readonly #rows = new Map<string, FeatureRow>();
  readonly #counters = new Map<string, Count>();
  readonly #views: readonly FeatureView[];
  #left: Left[] = [];
  #handle: FileHandle | undefined;
  #appended = 0;
  #queue: Promise<unknown> = Promise.resolve();

  /**
   * @param deps - `ttlMs`: by view id; rows older than that are not served. `views`: those that are defined, for what was written before entity keys
   */
  constructor(
    deps: { log: Logger; clock: Clock; ttlMs: ReadonlyMap<string, number>; views?: readonly FeatureView[] },
    settings: { file: string },
  ) {
    this.#file = settings.file;
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'feature_store.online' });
    this.#ttlMs = deps.ttlMs;
    this.#views = deps.views ?? [];
  }

  async start(): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    const text = await readFile(this.#file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    let dropped = 0;
    let isPrevious = true;
    const previous: (FeatureRow | Count)[] = [];
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const entry = decodeLine(line);
      // Only the tail can be torn, by a crash in the middle of an append that nobody was told had succeeded.
      if (entry === undefined) dropped += 1;
      else if ('layout' in entry) isPrevious = false;
      else if (isPrevious || 'left' in entry) previous.push(entry);
      else if ('counter' in entry) this.#counters.set(counterKey(entry.entity, entry.counter), entry);
      else this.#put(entry);
    }
    if (dropped > 0) this.#log.warn({ file: this.#file, dropped }, 'online_store.torn_lines_dropped');
    if (previous.length > 0) this.#takeOver(previous);
    await this.#rewrite();
  }

  /** Gives what was written before entity keys its keys of now; a counter is of the one entity that there are rows of. */
  #takeOver(previous: readonly (FeatureRow | Count)[]): void {
    const byId = new Map(this.#views.map((view) => [viewId(view), view]));
    const left = new Map<string, Left>();
    for (const row of previous) {
      if ('counter' in row) continue;
      const view = byId.get(viewId(row));
      const read = view === undefined ? undefined : entityKeyFromPrevious(view, row.entityKey);
      if (read !== undefined && 'key' in read) this.#put({ ...row, entityKey: read.key });
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
    if (existing !== undefined && existing.eventTime > row.eventTime) return false;
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
    this.#counters.set(key, count);
    await this.#enqueue(() => this.#append([count]));
    return count.value;
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
    const oldest = ttlMs === undefined ? Number.NEGATIVE_INFINITY : this.#clock.now() - ttlMs;
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
    await this.#handle?.appendFile(entries.map(encodeLine).join(''));
    this.#appended += entries.length;
    if (this.#appended > this.#rows.size + this.#counters.size + REWRITE_AFTER_ROWS) await this.#rewrite();
  }

  async #rewrite(): Promise<void> {
    const temporary = `${this.#file}.tmp`;
    const handle = await open(temporary, 'w');
    let lines = [encodeLine({ layout: 2 })];
    for (const entry of [...this.#left, ...this.#counters.values(), ...this.#rows.values()]) {
      lines.push(encodeLine(entry));
      if (lines.length === 1_000) {
        await handle.appendFile(lines.join(''));
        lines = [];
      }
    }
    await handle.appendFile(lines.join(''));
    await handle.sync();
    await handle.close();
    await this.#handle?.close();
    await rename(temporary, this.#file);
    this.#handle = await open(this.#file, 'a');
    this.#appended = this.#rows.size + this.#counters.size;
  }

  async drain(): Promise<void> {
    await this.#queue;
  }

  async stop(): Promise<void> {
    await this.#queue;
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

const rowKey = (view: ViewReference, entityKey: EntityKey): string => `${view.view}@${view.version}\u0000${entityKey}`;

const counterKey = (entity: EntityKey, counter: string): string => `${counter}\u0000${entity}`;

function encodeLine(entry: FeatureRow | Count | Header): string {
  const json = JSON.stringify(entry);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

function decodeLine(line: string): FeatureRow | Count | Left | Header | undefined {
  const json = line.slice(9);
  if (Number.parseInt(line.slice(0, 8), 16) !== crc32(json)) return undefined;
  return JSON.parse(json) as FeatureRow | Count | Left | Header;
}
