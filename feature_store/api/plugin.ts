import type { FeatureView, RowOf } from '#feature_store/definitions/feature_view';
import { entityKeyFromId, idOf } from '#feature_store/definitions/values/entity_key';
import { oldestReadable } from '#feature_store/definitions/values/ttl';
import type { EmbeddingSearch, Metric } from '#feature_store/offline/embedding_search';
import type { OnlineStore } from '#feature_store/online/online_store';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import { type Clock, eventTime } from '#kernel/time';
import type { PluginContext, RolePlugin } from '#monitoring/http/role_plugin';

// biome-ignore lint/suspicious/noExplicitAny: of whatever columns
type AnyView = FeatureView<any, any>;

/** What a plugin of the feature API gets. */
export interface FeaturesPluginContext extends PluginContext {
  /** Reads the newest row of a view for entities, in their order, as of now; undefined where there is none. */
  read<V extends AnyView>(view: V, entities: readonly string[]): Promise<readonly (RowOf<V> | undefined)[]>;
  /**
   * Finds the `k` (10) entities whose newest embeddings are nearest to a vector, the nearest first, as `POST /features/search` does. Distances are 1 less the cosine, the Euclidean
   * distance, or the negative inner product.
   *
   * @param feature - of the view, of type embedding(n), where n is the length of the vector
   */
  nearest<V extends AnyView>(
    view: V,
    feature: keyof V['features'] & string,
    vector: Float32Array,
    options?: { readonly metric?: Metric; readonly k?: number },
  ): Promise<readonly { readonly entity: string; readonly distance: number }[]>;
}

/** Routes that a project adds to the feature API. */
export type FeaturesPlugin = RolePlugin<FeaturesPluginContext>;

/** Returns what plugins of the feature API get besides log and metrics. */
export const featuresForPlugins = (
  store: Pick<OnlineStore, 'read'>,
  embeddings: EmbeddingSearch,
  clock: Clock,
): Pick<FeaturesPluginContext, 'read' | 'nearest'> => ({
  async read<V extends AnyView>(view: V, entities: readonly string[]) {
    const keys = entities.map((entity) => entityKeyFromId(view, entity));
    const rows = await store.read(view, keys);
    return rows.map((row) =>
      row === undefined ? undefined : (valuesAsOf(view, row.values, clock.now()) as unknown as RowOf<V>),
    );
  },
  async nearest(view, feature, vector, { metric = 'cosine', k = 10 } = {}) {
    const found = await embeddings.search({
      ...{ view: view.view, version: view.version, feature, vector, metric, limit: k },
      oldest: view.ttlMs === 0 ? undefined : eventTime(oldestReadable(clock.now(), view.ttlMs)),
    });
    return found.map(({ entityKey, distance }) => ({ entity: idOf(entityKey), distance }));
  },
});
