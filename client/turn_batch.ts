/** Most entities of one request to the feature API. */
export const LARGEST_BATCH = 1_000;

interface Waiting<T> {
  readonly key: string;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
}

/** What runs after the code of this turn: setImmediate where it exists, as a timer of 0 ms takes 1. */
const afterThisTurn = (work: () => void): void => {
  const { setImmediate } = globalThis as { readonly setImmediate?: (work: () => void) => unknown };
  if (setImmediate === undefined) setTimeout(work, 0);
  else setImmediate(work);
};

/**
 * Collects what one turn of the event loop requests, and sends it together, each key once. A batch that the platform refuses is sent again key by key, so that one refused
 * key fails alone.
 */
export class TurnBatch<T> {
  readonly #send: (keys: readonly string[], signal: AbortSignal) => Promise<readonly T[]>;
  readonly #most: number;
  #waiting: Waiting<T>[] = [];

  /**
   * @param send - returns a value for each key, in their order; it is cancelled when every caller has
   * @param most - keys of one request
   */
  constructor(send: (keys: readonly string[], signal: AbortSignal) => Promise<readonly T[]>, most: number) {
    this.#send = send;
    this.#most = most;
  }

  /** Returns the value of a key. @throws what `send` throws; the reason of `signal` as soon as it is aborted */
  get(key: string, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#waiting.push({ key, resolve, reject, signal });
      if (this.#waiting.length === 1) afterThisTurn(() => this.#flush());
    });
  }

  #flush(): void {
    const byKey = new Map<string, Waiting<T>[]>();
    for (const one of this.#waiting.splice(0)) {
      if (one.signal?.aborted) continue;
      const same = byKey.get(one.key);
      if (same === undefined) byKey.set(one.key, [one]);
      else same.push(one);
    }
    const groups = [...byKey.values()];
    for (let from = 0; from < groups.length; from += this.#most)
      void this.#sendGroups(groups.slice(from, from + this.#most));
  }

  async #sendGroups(groups: readonly (readonly Waiting<T>[])[]): Promise<void> {
    const cancelled = new AbortController();
    const all = groups.flat();
    let left = all.length;
    const oneLess = (): void => {
      left -= 1;
      if (left === 0) cancelled.abort();
    };
    for (const { signal } of all) signal?.addEventListener('abort', oneLess, { once: true });
    try {
      const values = await this.#send(
        groups.map(([first]) => (first as Waiting<T>).key),
        cancelled.signal,
      );
      for (const [at, group] of groups.entries()) for (const { resolve } of group) resolve(values[at] as T);
    } catch (error) {
      if (groups.length > 1 && (error as { readonly fault?: unknown }).fault === 'caller') {
        for (const group of groups) void this.#sendGroups([group]);
        return;
      }
      for (const { reject } of all) reject(error);
    } finally {
      for (const { signal } of all) signal?.removeEventListener('abort', oneLess);
    }
  }
}
