import { ViewComputation } from '#feature_store/aggregation/view_computation';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { Erasures } from '#feature_store/erasure/erasures';
import { explainValue, type KnownOfEntity } from '#feature_store/explanation/explain_value';
import type { EntityEvents, ExplainValue, UsedBy } from '#feature_store/explanation/value_explanation';
import type { OfflineStores } from '#feature_store/offline_stores';
import type { OnlineStore } from '#feature_store/online/online_store';
import { eventTime } from '#kernel/time';
import { type EntityEventsDeps, type EntityEventsSettings, readEntityEvents } from './entity_events.ts';

export interface ValueExplainerDeps extends Omit<EntityEventsDeps, 'erasures'> {
  readonly online: Pick<OnlineStore, 'read'>;
  readonly offline: Pick<OfflineStores, 'features' | 'erasures' | 'history'>;
  /** What has used a feature of an entity up to a time. */
  readonly usedBy: (of: {
    readonly view: FeatureView;
    readonly feature: string;
    readonly entityKey: EntityKey;
    readonly atMs: number;
  }) => Promise<UsedBy>;
}

export interface ValueExplainerSettings extends EntityEventsSettings {
  readonly allowedLatenessMs: number;
}

const NO_EVENTS: EntityEvents = { events: [], refused: [], places: [] };

/** Explains values of features from the stores and the events that they were computed from. */
export function createValueExplainer(deps: ValueExplainerDeps, settings: ValueExplainerSettings): ExplainValue {
  const { online, offline, clock, usedBy } = deps;
  const { allowedLatenessMs } = settings;
  return async (request) => {
    const { view, feature, entityKey } = request;
    const atMs = request.atMs ?? clock.now();
    const stored = await storedRow();
    const found = view.mode === 'push' ? NO_EVENTS : await foundEvents();
    if (stored === undefined && found.events.length === 0) return undefined;
    const used = await usedBy({ view, feature, entityKey, atMs });
    return explainValue(request, { atMs, stored, found, usedBy: used, allowedLatenessMs });

    async function storedRow(): Promise<KnownOfEntity['stored']> {
      const isNow = request.atMs === undefined;
      const row = isNow
        ? (await online.read(view, [entityKey]))[0]
        : await offline.features.newestBy(view, { entityKey, eventTime: eventTime(atMs) });
      if (row === undefined || atMs - row.eventTime > view.ttlMs) return undefined;
      return { row, from: isNow ? 'online store' : 'offline store' };
    }

    async function foundEvents(): Promise<EntityEvents> {
      const erasures = new Erasures();
      erasures.load(await offline.erasures.read(0));
      const { horizonMs } = new ViewComputation(view, allowedLatenessMs);
      const of = { view, entityKey };
      const read = (sinceMs: number): Promise<EntityEvents> =>
        readEntityEvents({ ...deps, erasures }, settings, { ...of, sinceMs });
      const recent = await read(atMs - 2 * horizonMs);
      // A row of an entity that has been quiet for long is of an older event.
      const isRecent = recent.events.some(({ eventTimeMs }) => eventTimeMs <= atMs && eventTimeMs > atMs - horizonMs);
      return isRecent || stored === undefined ? recent : read(Number.NEGATIVE_INFINITY);
    }
  };
}
