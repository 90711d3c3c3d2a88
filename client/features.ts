import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView, RowOf } from '#feature_store/definitions/feature_view';
import { RequestFailedError } from './errors.ts';
import type { RequestOptions, Transport } from './transport.ts';

/** A value and when it was computed. */
export interface StoredValue<T = unknown> {
  readonly value: T;
  /** RFC 3339. */
  readonly computed_at: string;
}

type Stored<Row> = { readonly [Name in keyof Row]: StoredValue<Row[Name]> };

interface EntityAnswer {
  readonly user_id: string;
  readonly features: Readonly<Record<string, StoredValue>> | null;
}

/** Of a request for the vector of a service: values that its on-demand features need. */
export interface VectorRow {
  readonly entity: string;
  readonly request?: Readonly<Record<string, unknown>>;
}

/** The values of a service's columns; undefined where the entity is unknown. */
export type Vector = Readonly<Record<string, unknown>>;

interface VectorAnswer {
  readonly vectors: readonly {
    readonly features: Vector | null;
    readonly error?: { readonly code: string; readonly message: string };
  }[];
}

// biome-ignore lint/suspicious/noExplicitAny: of whatever columns
type AnyView = FeatureView<any, any>;

/** Most entities of one request to the feature API. */
const LARGEST_BATCH = 1_000;
const UNKNOWN_ENTITY = 'FEATURE_STORE_UNKNOWN_ENTITY';

/** Reads the newest row of one view, by entity. */
export class ViewClient<Row> {
  readonly #transport: Transport;
  readonly #view: AnyView;

  constructor(transport: Transport, view: AnyView) {
    this.#transport = transport;
    this.#view = view;
  }

  /** Returns the values of an entity; undefined where the view has no row of it. */
  async get(entity: string, options?: RequestOptions): Promise<Row | undefined> {
    const stored = await this.getStored(entity, options);
    return stored === undefined ? undefined : (valuesOf(stored) as Row);
  }

  /** Returns the values of an entity, each with the time when it was computed. */
  async getStored(entity: string, options?: RequestOptions): Promise<Stored<Row> | undefined> {
    try {
      const path = `/features/${encodeURIComponent(entity)}?${this.#query()}`;
      const { features } = await this.#transport.get<EntityAnswer>(path, options);
      return features as Stored<Row>;
    } catch (error) {
      if (error instanceof RequestFailedError && error.code === UNKNOWN_ENTITY) return undefined;
      throw error;
    }
  }

  /** Returns the values of many entities, in their order; undefined where there is no row. Sends one request for each 1,000. */
  async getMany(entities: readonly string[], options?: RequestOptions): Promise<readonly (Row | undefined)[]> {
    const rows: (Row | undefined)[] = [];
    for (let from = 0; from < entities.length; from += LARGEST_BATCH) {
      const body = { entities: entities.slice(from, from + LARGEST_BATCH) };
      const path = `/features/batch?${this.#query()}`;
      const { results } = await this.#transport.post<{ results: readonly EntityAnswer[] }>(path, body, options);
      rows.push(
        ...results.map(({ features }) => (features === null ? undefined : (valuesOf(features) as unknown as Row))),
      );
    }
    return rows;
  }

  #query(): string {
    const { view, version, entity } = this.#view;
    return new URLSearchParams({ view: `${view}@${version}`, entity: entity.name }).toString();
  }
}

const valuesOf = (stored: Readonly<Record<string, StoredValue>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(stored).map(([name, { value }]) => [name, value]));

/** Reads features from the feature API. */
export class FeaturesClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Returns a reader of one view, whose rows have the types that the view declares. */
  of<V extends AnyView>(view: V): ViewClient<RowOf<V>> {
    return new ViewClient<RowOf<V>>(this.#transport, view);
  }

  /**
   * Returns what a model that reads this service sees of these entities, in their order; undefined where an entity is unknown.
   *
   * @throws {@link RequestFailedError} when a request lacks fields that on-demand features need, or computing the features of an entity fails
   */
  async vectors(
    // biome-ignore lint/suspicious/noExplicitAny: of whatever columns
    service: FeatureService<any>,
    rows: readonly VectorRow[],
    options?: RequestOptions,
  ): Promise<readonly (Vector | undefined)[]> {
    const id = service.signature.service;
    const path = '/features/vector';
    const { vectors } = await this.#transport.post<VectorAnswer>(path, { service: id, rows }, options);
    return vectors.map(({ features, error }, index) => {
      if (error === undefined) return features ?? undefined;
      throw new RequestFailedError(`${id} of ${rows[index]?.entity}`, 422, error, undefined);
    });
  }
}
