import { UnknownEntityTypeError } from '#feature_store/api/errors';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { jsonOfValue, jsonOfValues } from '#feature_store/definitions/values/value_codec';
import { UnknownViewError } from '#feature_store/errors';
import type { OnlineStore } from '#feature_store/online/online_store';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import { type Clock, DAY_MS, eventTime } from '#kernel/time';
import type { EntityDetails, PredictionSummary, ValueHistory } from '#serving/console/answers';
import type { PredictionRow } from '#serving/prediction_store/prediction_store';
import type { OfflineDatabase } from '../../parts/offline_database.ts';

interface Deps {
  readonly online: Pick<OnlineStore, 'read'>;
  readonly offline: Pick<OfflineDatabase, 'features' | 'predictions'>;
  readonly views: readonly FeatureView[];
  readonly clock: Clock;
}

const PREDICTIONS = 50;
/** Moments at which a value's history is looked at. */
const POINTS = 60;

/** What the console shows of an entity. */
export class Entities {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Names of the entities that views are about. */
  get names(): readonly string[] {
    return [...new Set(this.#deps.views.map(({ entity }) => entity.name))];
  }

  /** @throws {@link UnknownEntityTypeError}, and EntityKeyError for what is no id of the entity */
  keyOf(entity: string, id: string): EntityKey {
    const [view] = this.#viewsOf(entity);
    return entityKeyFromId(view as FeatureView, id);
  }

  /** @param mayRead - the views whose values the caller may see */
  async details(entity: string, id: string, mayRead: (view: string) => boolean): Promise<EntityDetails> {
    const { online, offline, clock } = this.#deps;
    const key = this.keyOf(entity, id);
    const views = this.#viewsOf(entity).filter((view) => mayRead(viewId(view)));
    const [rows, predictions] = await Promise.all([
      Promise.all(views.map((view) => online.read(view, [key]))),
      offline.predictions.list({ entityKeys: [key], limit: PREDICTIONS }),
    ]);
    return {
      ...{ entity, id, key },
      views: views.flatMap((view, index) => {
        const row = rows[index]?.[0];
        if (row === undefined) return [];
        const values = jsonOfValues(valuesAsOf(view, row.values, clock.now()));
        const [at, computedAt] = [row.eventTime, row.computedAt].map((ms) => new Date(ms).toISOString());
        return [{ view: viewId(view), eventTime: at ?? '', computedAt: computedAt ?? '', values }];
      }),
      predictions: predictions.map(predictionSummary),
    };
  }

  /** Returns a feature of an entity over some time until now, each value once. */
  async history(
    entity: string,
    id: string,
    { view: name, feature, days }: { readonly view: string; readonly feature: string; readonly days: number },
  ): Promise<ValueHistory> {
    const { offline, clock } = this.#deps;
    const key = this.keyOf(entity, id);
    const view = this.#viewsOf(entity).find((each) => viewId(each) === name);
    if (view === undefined) throw new UnknownViewError(name, this.#viewsOf(entity).map(viewId));
    const stepMs = (days * DAY_MS) / POINTS;
    const nowMs = clock.now();
    const moments = Array.from({ length: POINTS + 1 }, (_, index) => ({
      entityKey: key,
      eventTime: eventTime(Math.round(nowMs - (POINTS - index) * stepMs)),
    }));
    const rows = await offline.features.pointInTimeJoin(moments, { view, ttlMs: view.ttlMs });
    return {
      points: rows.map((row, index) => {
        const { eventTime: at } = moments[index] as (typeof moments)[number];
        const value = row === undefined ? null : (valuesAsOf(view, row, at)[feature] ?? null);
        return { at: new Date(at).toISOString(), value: jsonOfValue(value) };
      }),
    };
  }

  #viewsOf(entity: string): readonly FeatureView[] {
    const views = this.#deps.views.filter((view) => view.entity.name === entity);
    if (views.length === 0) throw new UnknownEntityTypeError(entity, this.names);
    return views;
  }
}

export function predictionSummary(row: PredictionRow): PredictionSummary {
  const { predictionId: id, rowIndex, modelName: model, modelVersion: version, variant, entityKey, prediction } = row;
  return {
    ...{ id, row: rowIndex, at: new Date(row.predictedAtMs).toISOString(), model, version, variant },
    ...{ entity: entityKey, prediction, score: row.probabilities?.[prediction] },
  };
}
