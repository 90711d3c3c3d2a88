/** V8 refuses more keys in one Map: 2^24 are the most. */
const MOST_OF_A_MAP = 2 ** 24 - 1;

/**
 * A Map of any number of keys: once one is full, further keys go into another. Up to then, as fast as a Map; after it, a key is looked up in each.
 * Keys come in no particular order once some were deleted.
 */
export class LargeMap<K, V> {
  readonly #most: number;
  #current = new Map<K, V>();
  readonly #full: Map<K, V>[] = [];

  /** @param most - keys of one Map */
  constructor(most = MOST_OF_A_MAP) {
    this.#most = most;
  }

  get size(): number {
    return this.#full.reduce((sum, { size }) => sum + size, this.#current.size);
  }

  get(key: K): V | undefined {
    const value = this.#current.get(key);
    if (value !== undefined || this.#full.length === 0) return value;
    return this.#fullWith(key)?.get(key);
  }

  has(key: K): boolean {
    return this.#current.has(key) || (this.#full.length > 0 && this.#fullWith(key) !== undefined);
  }

  set(key: K, value: V): void {
    const current = this.#current;
    if (this.#full.length > 0 && !current.has(key)) {
      const other = this.#fullWith(key);
      if (other !== undefined) {
        other.set(key, value);
        return;
      }
    }
    if (current.size >= this.#most && !current.has(key)) this.#addMap();
    this.#current.set(key, value);
  }

  delete(key: K): boolean {
    if (this.#current.delete(key)) return true;
    return this.#full.length > 0 && (this.#fullWith(key)?.delete(key) ?? false);
  }

  /** One that has room again is filled before another is made. */
  #addMap(): void {
    const room = this.#full.findIndex(({ size }) => size < this.#most);
    const next = room < 0 ? new Map<K, V>() : (this.#full.splice(room, 1)[0] as Map<K, V>);
    this.#full.push(this.#current);
    this.#current = next;
  }

  #fullWith(key: K): Map<K, V> | undefined {
    return this.#full.find((map) => map.has(key));
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.#full.length === 0 ? this.#current[Symbol.iterator]() : this.#all((map) => map);
  }

  values(): IterableIterator<V> {
    return this.#full.length === 0 ? this.#current.values() : this.#all((map) => map.values());
  }

  *#all<T>(of: (map: Map<K, V>) => Iterable<T>): Generator<T> {
    for (const map of [...this.#full, this.#current]) yield* of(map);
  }
}
