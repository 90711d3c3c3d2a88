import { LRUCache } from 'lru-cache';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import { checkModelName } from '#registry/names';
import { ModelNotReadyError, UnknownServedModelError } from '../errors.ts';
import type { ModelRuntime } from '../models/model_runtime.ts';
import type { ModelRouter } from '../routing/model_router.ts';

export interface OnDemandSettings {
  /** Models that are loaded may take so much, by an estimate; the least recently used one is evicted first. */
  readonly memoryMb: number;
  readonly runtime?: ModelRuntime;
  /** By name, instead. */
  readonly runtimes?: Readonly<Record<string, ModelRuntime>>;
}

/** What a loaded model takes for each byte of its file: the session, and trees as tables and code. */
const MEMORY_A_BYTE = 4;
/** How long a name that there is no model for is not looked for again, ms. */
const UNKNOWN_MS = 5_000;
const UNKNOWN_NAMES = 1_000;

/** Models that are loaded at the first request for them, and make room for each other. */
export class OnDemandModels {
  readonly #make: (name: string) => ModelRouter;
  readonly #loaded: LRUCache<string, ModelRouter>;
  readonly #loading = new Map<string, Promise<void>>();
  readonly #unknown = new LRUCache<string, Error>({ max: UNKNOWN_NAMES, ttl: UNKNOWN_MS });

  constructor(make: (name: string) => ModelRouter, metrics: Registry, { memoryMb }: OnDemandSettings) {
    this.#make = make;
    const evicted = new Counter({
      name: 'models_evicted_total',
      help: 'Models that were evicted to make room for others',
      registers: [metrics],
    });
    this.#loaded = new LRUCache({
      maxSize: memoryMb * 1e6,
      sizeCalculation: ({ production }) => Math.max(1, (production?.model.bytes ?? 0) * MEMORY_A_BYTE),
      dispose: (router, _, reason) => {
        // What is set anew stays.
        if (reason !== 'evict') return;
        evicted.inc();
        // Requests that hold it finish first.
        router.retire();
      },
    });
    const loaded = this.#loaded;
    new Gauge({
      name: 'models_on_demand_bytes',
      help: 'What the models that are loaded on demand take, by an estimate',
      registers: [metrics],
      collect() {
        this.set(loaded.calculatedSize);
      },
    });
  }

  /** Counts as used. */
  get(name: string): ModelRouter | undefined {
    return this.#loaded.get(name);
  }

  /** Without counting it as used. */
  peek(name: string): ModelRouter | undefined {
    return this.#loaded.peek(name);
  }

  get all(): readonly ModelRouter[] {
    return [...this.#loaded.values()];
  }

  /** Loads what is in production under this name; once, however many ask. @param prepare - before it is loaded. @throws {@link ModelNotReadyError}, {@link UnknownServedModelError}; {@link InvalidNameError} */
  async load(name: string, prepare: (router: ModelRouter) => Promise<void> = async () => {}): Promise<void> {
    checkModelName(name);
    const loading = this.#loading.get(name) ?? this.#load(name, prepare).finally(() => this.#loading.delete(name));
    this.#loading.set(name, loading);
    return loading;
  }

  async #load(name: string, prepare: (router: ModelRouter) => Promise<void>): Promise<void> {
    const refused = this.#unknown.get(name);
    if (refused !== undefined) throw refused;
    const router = this.#make(name);
    await prepare(router);
    await router.refresh();
    if (router.production !== undefined) {
      this.#loaded.set(name, router);
      if (this.#loaded.peek(name) === router) return;
    }
    const [{ rejected, active, isUnreachable }] = router.answering;
    router.retire();
    // What cannot be asked is not unknown.
    if (isUnreachable) throw new ModelNotReadyError(name, 'the registry does not answer');
    const isUnknown = active === undefined && rejected === undefined;
    const error = isUnknown
      ? new UnknownServedModelError(name, [])
      : new ModelNotReadyError(name, rejected?.reason ?? 'it is larger than onDemand.memoryMb');
    this.#unknown.set(name, error);
    throw error;
  }

  /** Looks for promotions, of all models side by side. */
  async refresh(refreshOne: (router: ModelRouter) => Promise<void>): Promise<void> {
    const follow = async (name: string, router: ModelRouter): Promise<void> => {
      const before = router.production;
      await refreshOne(router);
      if (router.production === before || this.#loaded.peek(name) !== router) return;
      // Another version takes another space; the cache measures only what is new to it.
      this.#loaded.delete(name);
      this.#loaded.set(name, router);
      if (this.#loaded.peek(name) !== router) router.retire();
    };
    await Promise.all([...this.#loaded.entries()].map(([name, router]) => follow(name, router)));
  }

  /** @returns false when it was not loaded */
  unload(name: string): boolean {
    const router = this.#loaded.peek(name);
    if (router === undefined) return false;
    this.#loaded.delete(name);
    router.retire();
    return true;
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#loading.values());
    for (const router of this.#loaded.values()) await router.stop();
  }
}
