import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/feature_row';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { OnlineStore, WriteResult } from './online_store.ts';

/** A counter as it is. */
interface Count {
  readonly entity: string;
  readonly counter: string;
  readonly value: number;
}

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
  #handle: FileHandle | undefined;
  #appended = 0;
  #queue: Promise<unknown> = Promise.resolve();

  /** @param ttlMs - by view id; rows older than that are not served */
  constructor(deps: { log: Logger; clock: Clock; ttlMs: ReadonlyMap<string, number> }, settings: { file: string }) {
    this.#file = settings.file;
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'feature_store.online' });
    this.#ttlMs = deps.ttlMs;
  }

  async start(): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    const text = await readFile(this.#file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    let dropped = 0;
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const entry = decodeLine(line);
      // Only the tail can be torn, by a crash in the middle of an append that nobody was told had succeeded.
      if (entry === undefined) dropped += 1;
      else if ('counter' in entry) this.#counters.set(counterKey(entry.entity, entry.counter), entry);
      else this.#put(entry);
    }
    if (dropped > 0) this.#log.warn({ file: this.#file, dropped }, 'online_store.torn_lines_dropped');
    await this.#rewrite();
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

  async increment(entity: string, counter: string, by: number): Promise<number> {
    const key = counterKey(entity, counter);
    const count = { entity, counter, value: (this.#counters.get(key)?.value ?? 0) + by };
    if (by === 0) return count.value;
    this.#counters.set(key, count);
    await this.#enqueue(() => this.#append([count]));
    return count.value;
  }

  async erase(views: readonly ViewReference[], entityKey: string): Promise<number> {
    const erased = views.filter((view) => this.#rows.delete(rowKey(view, entityKey))).length;
    for (const [key, { entity }] of this.#counters) if (entity === entityKey) this.#counters.delete(key);
    // What was appended is on disk until the file is written anew.
    await this.#enqueue(() => this.#rewrite());
    return erased;
  }

  async read(view: ViewReference, entityKeys: readonly string[]): Promise<readonly (FeatureRow | undefined)[]> {
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
    let lines: string[] = [];
    for (const entry of [...this.#counters.values(), ...this.#rows.values()]) {
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

const rowKey = (view: ViewReference, entityKey: string): string => `${view.view}@${view.version}\u0000${entityKey}`;

const counterKey = (entity: string, counter: string): string => `${counter}\u0000${entity}`;

function encodeLine(entry: FeatureRow | Count): string {
  const json = JSON.stringify(entry);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

function decodeLine(line: string): FeatureRow | Count | undefined {
  const json = line.slice(9);
  if (Number.parseInt(line.slice(0, 8), 16) !== crc32(json)) return undefined;
  return JSON.parse(json) as FeatureRow | Count;
}
