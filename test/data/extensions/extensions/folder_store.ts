import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  defineOnlineStore,
  type EntityKey,
  type FeatureRow,
  type OnlineStore,
  type OnlineStoreDeps,
  type ViewReference,
  type WriteResult,
} from 'headwater/features';
import { z } from 'zod';

interface Saved {
  readonly rows: readonly (readonly [string, FeatureRow])[];
  readonly counters: readonly (readonly [string, Readonly<Record<string, number>>])[];
}

const rowKey = ({ view, version }: ViewReference, key: EntityKey): string => `${view}@${version}\n${key}`;

/** Rows in memory, saved as one file after each write. */
class FolderStore implements OnlineStore {
  readonly kind = 'folder';
  readonly name = 'the folder store';
  readonly #file: string;
  readonly #deps: OnlineStoreDeps;
  #rows = new Map<string, FeatureRow>();
  #counters = new Map<string, Readonly<Record<string, number>>>();
  #saving: Promise<void> = Promise.resolve();

  constructor(deps: OnlineStoreDeps, file: string) {
    this.#deps = deps;
    this.#file = file;
  }

  async start(): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    const text = await readFile(this.#file, 'utf8').catch(() => '{"rows":[],"counters":[]}');
    const { rows, counters } = JSON.parse(text) as Saved;
    this.#rows = new Map(rows);
    this.#counters = new Map(counters);
  }

  async drain(): Promise<void> {
    await this.#saving;
  }

  async stop(): Promise<void> {
    await this.#saving.catch(() => {});
  }

  async write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    let written = 0;
    for (const row of rows) {
      const key = rowKey(row, row.entityKey);
      const held = this.#rows.get(key);
      const isStale =
        held !== undefined &&
        (row.eventTime < held.eventTime || (row.eventTime === held.eventTime && row.computedAt < held.computedAt));
      if (isStale || this.#isExpired(row)) continue;
      this.#rows.set(key, row);
      written += 1;
    }
    await this.#save();
    return { written, stale: rows.length - written };
  }

  async read(view: ViewReference, keys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    return keys.map((key) => {
      const row = this.#rows.get(rowKey(view, key));
      return row === undefined || this.#isExpired(row) ? undefined : row;
    });
  }

  #isExpired({ view, version, eventTime }: FeatureRow): boolean {
    const ttlMs = this.#deps.ttlMs.get(`${view}@${version}`) ?? 0;
    return ttlMs > 0 && eventTime + ttlMs < this.#deps.clock.now();
  }

  async increment(key: EntityKey, counter: string, by: number): Promise<number> {
    const counters = this.#counters.get(key) ?? {};
    const value = (counters[counter] ?? 0) + by;
    if (by !== 0) {
      this.#counters.set(key, { ...counters, [counter]: value });
      await this.#save();
    }
    return value;
  }

  async readCounters(key: EntityKey): Promise<Readonly<Record<string, number>>> {
    return this.#counters.get(key) ?? {};
  }

  async erase(views: readonly ViewReference[], key: EntityKey): Promise<number> {
    const gone = views.filter((view) => this.#rows.delete(rowKey(view, key))).length;
    this.#counters.delete(key);
    await this.#save();
    return gone;
  }

  /** Writers that wait for the same save share it. */
  #waiting: Promise<void> | undefined;
  #save(): Promise<void> {
    this.#waiting ??= this.#saving.then(async () => {
      this.#waiting = undefined;
      const saved: Saved = { rows: [...this.#rows], counters: [...this.#counters] };
      await writeFile(`${this.#file}.new`, JSON.stringify(saved));
      await rename(`${this.#file}.new`, this.#file);
    });
    this.#saving = this.#waiting;
    return this.#waiting;
  }
}

export const folder = defineOnlineStore({
  name: 'folder',
  settings: z.strictObject({ file: z.string().min(1) }),
  create: (deps, { file }) => new FolderStore(deps, file),
});
