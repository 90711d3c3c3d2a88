import type { Redis } from 'ioredis';

interface Waiting {
  resolve(value: string | null): void;
  reject(error: unknown): void;
}

/** Keys in one command. */
const KEYS_A_COMMAND = 512;

/**
 * Reads that begin in one turn of the event loop go to Redis as one command: a command costs the process more than the value that it reads.
 * No caller waits for a timer.
 */
export class TurnReads {
  readonly #redis: Redis;
  #keys: string[] = [];
  #waiting: Waiting[] = [];

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  get(key: string): Promise<string | null> {
    return new Promise((resolve, reject) => {
      this.#keys.push(key);
      this.#waiting.push({ resolve, reject });
      if (this.#keys.length === 1) setImmediate(() => this.#readAll());
    });
  }

  #readAll(): void {
    const [keys, waiting] = [this.#keys, this.#waiting];
    this.#keys = [];
    this.#waiting = [];
    for (let from = 0; from < keys.length; from += KEYS_A_COMMAND) {
      void this.#read(keys.slice(from, from + KEYS_A_COMMAND), waiting.slice(from, from + KEYS_A_COMMAND));
    }
  }

  async #read(keys: string[], waiting: readonly Waiting[]): Promise<void> {
    try {
      const values = await this.#redis.mget(keys);
      for (let at = 0; at < waiting.length; at += 1) (waiting[at] as Waiting).resolve(values[at] ?? null);
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}
