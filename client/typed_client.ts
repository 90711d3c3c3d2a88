import type { IngestedBatch, IngestedEvent } from './ingest.ts';
import { type ClientOptions, listenersOf } from './listeners.ts';
import type { Explanation, FeatureInput, Feedback, Prediction } from './predictions.ts';
import { type RequestOptions, randomId } from './transport.ts';
import { LARGEST_BATCH, TurnBatch } from './turn_batch.ts';
import { readVectors } from './vectors.ts';
import { ViewClient } from './view_client.ts';

/** What a project defines, as types: `headwater generate client` writes them. */
export interface ClientDefinitions {
  /** By `name@version`. */
  readonly views: object;
  /** Names of the embeddings of views that have some. */
  readonly embeddings: object;
  /** Rows of views of mode push. */
  readonly pushed: object;
  /** By `name@version`, with `columns` and what a `request` brings. */
  readonly services: object;
  /** Inputs of models, by name. */
  readonly models: object;
  /** Events as clients post them, by type. */
  readonly events: object;
}

/** What the client has to know of the definitions when it runs. */
export interface ClientFacts {
  /** Entity by view. */
  readonly entities: Readonly<Record<string, string>>;
  /** Field with the id, by type of event; of types whose id is not made of other fields. */
  readonly eventIds: Readonly<Record<string, string>>;
}

/** An entity near to what was searched for. */
export interface Neighbour {
  readonly entity: string;
  readonly distance: number;
  /** RFC 3339. */
  readonly event_time: string;
  /** RFC 3339. */
  readonly computed_at: string;
}

/** Near to a vector, or to the embedding of an entity. */
export type SearchQuery = ({ readonly vector: readonly number[] } | { readonly entity: string }) & {
  /** Smaller distances are nearer; default: `cosine`. */
  readonly metric?: 'cosine' | 'l2' | 'inner_product';
  /** Number of neighbours, 1 to 1,000; default: 10. */
  readonly k?: number;
};

/** What became of pushed rows. */
export interface PushedRows {
  readonly written: number;
  /** Rows that were not written, by their place in the request, from 0. */
  readonly refused: readonly {
    readonly row: number;
    readonly problems: readonly { readonly field: string; readonly problem: string }[];
  }[];
}

type Part<
  D extends ClientDefinitions,
  Kind extends keyof ClientDefinitions,
  Name extends keyof D[Kind],
> = D[Kind][Name];
type ColumnsOf<S> = S extends { readonly columns: infer Columns } ? Columns : never;
type RequestOf<S> = S extends { readonly request: infer Fields } ? Fields : never;
/** The last argument of a service: required where on-demand features need fields. */
type VectorArguments<Fields> =
  Record<never, never> extends Fields
    ? [options?: RequestOptions & { readonly request?: Fields }]
    : [options: RequestOptions & { readonly request: Fields }];

/** A row to score: an entity whose features are looked up, with some replaced; or all of them. */
export type TypedRow<Inputs> =
  | { readonly entity: string; readonly features?: Partial<Inputs> }
  | { readonly features: Inputs; readonly entity?: never };

/** A client for the definitions of a project: names of views, features, models and events are checked by the compiler. */
export class TypedClient<D extends ClientDefinitions> {
  readonly #client: ReturnType<typeof listenersOf>;
  readonly #facts: ClientFacts;
  readonly #views = new Map<string, unknown>();
  readonly #services = new Map<string, TurnBatch<unknown>>();

  constructor(facts: ClientFacts, options: ClientOptions) {
    this.#client = listenersOf(options);
    this.#facts = facts;
  }

  /** Returns the reader of a view: `view('fraud@1').get('a1', { features: ['amount'] })`. */
  view<V extends keyof D['views'] & string>(id: V): ViewClient<Part<D, 'views', V>> {
    let reader = this.#views.get(id) as ViewClient<Part<D, 'views', V>> | undefined;
    if (reader === undefined) {
      reader = new ViewClient(this.#client.features, { id, entity: this.#facts.entities[id] ?? '' });
      this.#views.set(id, reader);
    }
    return reader;
  }

  /**
   * Returns what a model that reads this service sees of an entity; undefined where it is unknown. Calls of one turn of the event loop are one request.
   *
   * @throws {@link RequestFailedError} when computing the features of the entity fails
   */
  service<S extends keyof D['services'] & string>(
    id: S,
    entity: string,
    ...[options = {}]: VectorArguments<RequestOf<D['services'][S]>>
  ): Promise<ColumnsOf<D['services'][S]> | undefined> {
    let batch = this.#services.get(id);
    if (batch === undefined) {
      batch = new TurnBatch((rows, signal) => this.#vectors(id, rows, signal), LARGEST_BATCH);
      this.#services.set(id, batch);
    }
    const { request, signal } = options as RequestOptions & { readonly request?: unknown };
    const row = JSON.stringify({ entity, ...(request === undefined ? {} : { request }) });
    return batch.get(row, signal) as Promise<ColumnsOf<D['services'][S]> | undefined>;
  }

  #vectors(id: string, rows: readonly string[], signal: AbortSignal): Promise<readonly unknown[]> {
    const parsed = rows.map((row) => JSON.parse(row) as { readonly entity: string });
    return readVectors(this.#client.features, id, parsed, { signal });
  }

  /** Returns the entities whose newest embeddings are nearest, the nearest first. */
  async search<V extends keyof D['embeddings'] & string>(
    view: V,
    feature: D['embeddings'][V] & string,
    query: SearchQuery,
    options?: RequestOptions,
  ): Promise<readonly Neighbour[]> {
    const body = { view, feature, ...query };
    const { features } = this.#client;
    return (await features.post<{ results: readonly Neighbour[] }>('/features/search', body, options)).results;
  }

  /** Writes rows of a view of mode push into both stores. A row that is sent again replaces itself. */
  push<V extends keyof D['pushed'] & string>(
    view: V,
    rows: readonly D['pushed'][V][],
    options?: RequestOptions,
  ): Promise<PushedRows> {
    return this.#client.features.post('/features/push', { view, rows }, options);
  }

  /** Sends an event; resolves when it is durable. An event without an id gets one, so that it is counted once however often it is sent. */
  ingest<E extends keyof D['events'] & string>(
    type: E,
    event: D['events'][E],
    options?: RequestOptions,
  ): Promise<IngestedEvent> {
    return this.#client.ingest.send(this.#completed(type, event), options);
  }

  /** Sends events of one type; the answer has a result for each. */
  ingestMany<E extends keyof D['events'] & string>(
    type: E,
    events: readonly D['events'][E][],
    options?: RequestOptions,
  ): Promise<IngestedBatch> {
    return this.#client.ingest.sendBatch(
      events.map((event) => this.#completed(type, event)),
      options,
    );
  }

  #completed(type: string, event: unknown): Readonly<Record<string, unknown>> {
    const idField = this.#facts.eventIds[type];
    return { event_type: type, ...(idField === undefined ? {} : { [idField]: randomId() }), ...(event as object) };
  }

  /** Scores one row. @throws {@link RequestFailedError} with `fields` that the model's signature refuses, or for an entity without features */
  predict<M extends keyof D['models'] & string>(
    model: M,
    row: TypedRow<D['models'][M]> & { readonly returnProbabilities?: boolean },
    options?: RequestOptions,
  ): Promise<Prediction> {
    return this.#client.predictions.predict({ model, ...untyped(row) }, options);
  }

  /** Returns what each input has added to a prediction. */
  explain<M extends keyof D['models'] & string>(
    model: M,
    row: TypedRow<D['models'][M]>,
    options?: RequestOptions,
  ): Promise<Explanation> {
    return this.#client.predictions.explain({ model, ...untyped(row) }, options);
  }

  /** Reports how predictions turned out; the newest report of a prediction counts. */
  feedback(reports: Feedback | readonly Feedback[], options?: RequestOptions): Promise<number> {
    return this.#client.predictions.feedback(reports, options);
  }
}

const untyped = <Row>(row: Row) => row as Row & { readonly features: FeatureInput };
