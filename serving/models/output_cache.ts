import { LRUCache } from 'lru-cache';
import { Counter, type Registry } from '#monitoring/metrics';
import type { RowValues } from '#registry/packages/model_package';
import type { ActiveModel } from './model_slot.ts';

export interface OutputCacheSettings {
  readonly ttlMs: number;
  readonly maxEntries: number;
}

/** What a version has given for a row, for a while: the same row, however it was written, is not computed twice. */
export class OutputCache {
  readonly #outputs: LRUCache<string, RowValues>;
  readonly #lookups: Counter<'model' | 'version' | 'outcome'>;

  constructor(metrics: Registry, { ttlMs, maxEntries }: OutputCacheSettings) {
    this.#outputs = new LRUCache({ max: maxEntries, ttl: ttlMs });
    this.#lookups = new Counter({
      name: 'prediction_cache_lookups_total',
      help: 'Rows that were looked for in the cache of predictions, by outcome: hit, miss',
      labelNames: ['model', 'version', 'outcome'],
      registers: [metrics],
    });
  }

  get({ name: model, version }: ActiveModel, input: RowValues): RowValues | undefined {
    const found = this.#outputs.get(keyOf(model, version, input));
    this.#lookups.inc({ model, version: String(version), outcome: found === undefined ? 'miss' : 'hit' });
    return found;
  }

  /** @param output - of this row alone; kept as it is */
  set({ name, version }: ActiveModel, input: RowValues, output: RowValues): void {
    this.#outputs.set(keyOf(name, version, input), output.slice());
  }
}

function keyOf(name: string, version: number, { buffer, byteOffset, byteLength }: RowValues): string {
  return `${name}/${version}/${Buffer.from(buffer, byteOffset, byteLength).toString('latin1')}`;
}
