import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView, RowOf } from '#feature_store/definitions/feature_view';
import type { RequestOptions, Transport } from './transport.ts';
import { readVectors, type Vector, type VectorRow } from './vectors.ts';
import { ViewClient } from './view_client.ts';

// biome-ignore lint/suspicious/noExplicitAny: of whatever columns
type AnyView = FeatureView<any, any>;

/** Reads features from the feature API. */
export class FeaturesClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Returns a reader of one view, whose rows have the types that the view declares. */
  of<V extends AnyView>(view: V): ViewClient<RowOf<V>> {
    const { view: name, version, entity } = view;
    return new ViewClient<RowOf<V>>(this.#transport, { id: `${name}@${version}`, entity: entity.name });
  }

  /**
   * Returns what a model that reads this service sees of these entities, in their order; undefined where an entity is unknown.
   *
   * @throws {@link RequestFailedError} when a request lacks fields that on-demand features need, or computing the features of an entity fails
   */
  vectors(
    // biome-ignore lint/suspicious/noExplicitAny: of whatever columns
    service: FeatureService<any>,
    rows: readonly VectorRow[],
    options?: RequestOptions,
  ): Promise<readonly (Vector | undefined)[]> {
    return readVectors(this.#transport, service.signature.service, rows, options);
  }
}
