import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { OfflineStores } from '#feature_store/offline_stores';

/** How fresh a view's history is, and how good its features are: what a catalog says beside definitions. */
export interface ViewState {
  /** Event time of its newest row, ISO 8601; null where it has none. */
  readonly newestRow: string | null;
  /** How old that row is, ms. */
  readonly ageMs: number | null;
  /** Of the newest window that has statistics, by feature. */
  readonly quality: Readonly<
    Record<string, { readonly windowStart: string; readonly rows: number; readonly nullShare: number }>
  >;
}

/** Reads a view's state from history and statistics. */
export async function viewState(
  offline: {
    readonly features: Pick<OfflineStores['features'], 'timesOf'>;
    readonly statistics: Pick<OfflineStores['statistics'], 'list'>;
  },
  view: FeatureView,
  nowMs: number,
): Promise<ViewState> {
  const names = Object.keys(view.features);
  const [times, windows] = await Promise.all([
    offline.features.timesOf(view),
    offline.statistics.list({ view, limit: names.length }),
  ]);
  const quality: Record<string, ViewState['quality'][string]> = {};
  for (const { feature, windowStartMs, statistics } of windows) {
    quality[feature] ??= {
      windowStart: new Date(windowStartMs).toISOString(),
      rows: statistics.rows,
      nullShare: statistics.rows === 0 ? 0 : statistics.nulls / statistics.rows,
    };
  }
  return {
    newestRow: times === undefined ? null : new Date(times.newest).toISOString(),
    ageMs: times === undefined ? null : nowMs - times.newest,
    quality,
  };
}
