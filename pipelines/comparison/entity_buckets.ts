import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { stableHash32 } from '#kernel/hashes/hash';

/** Bytes that wait in memory before they are written. */
const BUFFERED_BYTES = 32 * 2 ** 20;
const LENGTH_BYTES = 4;

/**
 * Values of entities on disk, in the order they were added, read again entity by entity: memory holds one bucket of entities at a time, and not all of them.
 */
export class EntityBuckets<T> {
  readonly #folder: string;
  readonly #waiting: Buffer[][];
  #bytes = 0;

  private constructor(folder: string, count: number) {
    this.#folder = folder;
    this.#waiting = Array.from({ length: count }, () => []);
  }

  static async create<T>(count: number): Promise<EntityBuckets<T>> {
    return new EntityBuckets<T>(await mkdtemp(join(tmpdir(), 'headwater-entities-')), count);
  }

  async add(key: EntityKey, value: T): Promise<void> {
    const bytes = serialize([key, value]);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(bytes.length);
    (this.#waiting[stableHash32(key) % this.#waiting.length] as Buffer[]).push(length, bytes);
    this.#bytes += bytes.length;
    if (this.#bytes >= BUFFERED_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    for (const [at, parts] of this.#waiting.entries()) {
      if (parts.length > 0) await appendFile(this.#pathOf(at), Buffer.concat(parts));
      this.#waiting[at] = [];
    }
    this.#bytes = 0;
  }

  #pathOf(at: number): string {
    return join(this.#folder, `${at}`);
  }

  /** Reads entity by entity what was added; called once, after the last. */
  async *entities(): AsyncGenerator<readonly [EntityKey, readonly T[]]> {
    await this.#flush();
    for (const at of this.#waiting.keys()) {
      const bytes = await readFile(this.#pathOf(at)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return Buffer.alloc(0);
        throw error;
      });
      const byKey = new Map<EntityKey, T[]>();
      for (let from = 0; from < bytes.length; ) {
        const to = from + LENGTH_BYTES + bytes.readUInt32LE(from);
        const [key, value] = deserialize(bytes.subarray(from + LENGTH_BYTES, to)) as [EntityKey, T];
        const held = byKey.get(key);
        if (held === undefined) byKey.set(key, [value]);
        else held.push(value);
        from = to;
      }
      yield* byKey;
      await rm(this.#pathOf(at), { force: true });
    }
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
