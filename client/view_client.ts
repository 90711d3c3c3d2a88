import { RequestFailedError } from './errors.ts';
import type { RequestOptions, Transport } from './transport.ts';
import { LARGEST_BATCH, TurnBatch } from './turn_batch.ts';

/** A value and when it was computed. */
export interface StoredValue<T = unknown> {
  readonly value: T;
  /** RFC 3339. */
  readonly computed_at: string;
}

export type Stored<Row> = { readonly [Name in keyof Row]: StoredValue<Row[Name]> };

interface EntityAnswer {
  readonly user_id: string;
  readonly features: Readonly<Record<string, StoredValue>> | null;
}

/** Selections of features whose batches are kept. */
const MOST_SELECTIONS = 100;
const UNKNOWN_ENTITY = 'FEATURE_STORE_UNKNOWN_ENTITY';

/** Options of reading rows. */
export interface ReadOptions<Name extends PropertyKey> extends RequestOptions {
  /** Features to read; default: all. */
  readonly features?: readonly Name[] | undefined;
}

/** Reads the newest row of one view, by entity. */
export class ViewClient<Row> {
  readonly #transport: Transport;
  readonly #query: string;
  readonly #batches = new Map<string, TurnBatch<Row | undefined>>();

  /** @param view - as `name@version`, and the name of its entity */
  constructor(transport: Transport, view: { readonly id: string; readonly entity: string }) {
    this.#transport = transport;
    this.#query = new URLSearchParams({ view: view.id, entity: view.entity }).toString();
  }

  /** Returns the values of an entity; undefined where the view has no row of it. Calls of one turn of the event loop are one request. */
  get<const Name extends keyof Row = keyof Row>(
    entity: string,
    { features, signal }: ReadOptions<Name> = {},
  ): Promise<Pick<Row, Name> | undefined> {
    const key = JSON.stringify(features ?? null);
    let batch = this.#batches.get(key);
    if (batch === undefined) {
      batch = new TurnBatch((entities, whole) => this.#read(entities, features, { signal: whole }), LARGEST_BATCH);
      if (this.#batches.size >= MOST_SELECTIONS) this.#batches.clear();
      this.#batches.set(key, batch);
    }
    return batch.get(entity, signal);
  }

  /** Returns the values of an entity, each with the time when it was computed. */
  async getStored(entity: string, options?: RequestOptions): Promise<Stored<Row> | undefined> {
    try {
      const path = `/features/${encodeURIComponent(entity)}?${this.#query}`;
      const { features } = await this.#transport.get<EntityAnswer>(path, options);
      return features as Stored<Row>;
    } catch (error) {
      if (error instanceof RequestFailedError && error.code === UNKNOWN_ENTITY) return undefined;
      throw error;
    }
  }

  /** Returns the values of many entities, in their order; undefined where there is no row. Sends one request for each 1,000. */
  async getMany<const Name extends keyof Row = keyof Row>(
    entities: readonly string[],
    { features, signal }: ReadOptions<Name> = {},
  ): Promise<readonly (Pick<Row, Name> | undefined)[]> {
    const rows: (Row | undefined)[] = [];
    for (let from = 0; from < entities.length; from += LARGEST_BATCH)
      rows.push(...(await this.#read(entities.slice(from, from + LARGEST_BATCH), features, { signal })));
    return rows;
  }

  async #read(
    entities: readonly string[],
    features: readonly PropertyKey[] | undefined,
    options: RequestOptions,
  ): Promise<readonly (Row | undefined)[]> {
    const body = { entities, ...(features === undefined ? {} : { features }) };
    const path = `/features/batch?${this.#query}`;
    const { results } = await this.#transport.post<{ results: readonly EntityAnswer[] }>(path, body, options);
    return results.map(({ features: of }) => (of === null ? undefined : (valuesOf(of) as unknown as Row)));
  }
}

const valuesOf = (stored: Readonly<Record<string, StoredValue>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(stored).map(([name, { value }]) => [name, value]));
