import { entityKeyFromId } from '#feature_store/definitions/entity_key';
import type { FeatureView, RowOf } from '#feature_store/definitions/feature_view';
import type { OnlineStore } from '#feature_store/online/online_store';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import type { Clock } from '#kernel/time';
import type { PluginContext, RolePlugin } from '#monitoring/role_plugin';

// biome-ignore lint/suspicious/noExplicitAny: of whatever columns
type AnyView = FeatureView<any, any>;

/** What a plugin of the feature API gets. */
export interface FeaturesPluginContext extends PluginContext {
  /** Reads the newest row of a view for entities, in their order, as of now; undefined where there is none. */
  read<V extends AnyView>(view: V, entities: readonly string[]): Promise<readonly (RowOf<V> | undefined)[]>;
}

export type FeaturesPlugin = RolePlugin<FeaturesPluginContext>;

/** Returns what plugins of the feature API get besides log and metrics. */
export const featuresForPlugins = (
  store: Pick<OnlineStore, 'read'>,
  clock: Clock,
): Pick<FeaturesPluginContext, 'read'> => ({
  async read<V extends AnyView>(view: V, entities: readonly string[]) {
    const keys = entities.map((entity) => entityKeyFromId(view, entity));
    const rows = await store.read(view, keys);
    return rows.map((row) =>
      row === undefined ? undefined : (valuesAsOf(view, row.values, clock.now()) as unknown as RowOf<V>),
    );
  },
});
