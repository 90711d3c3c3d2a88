import { EntityKeyError } from '#feature_store/definitions/errors';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityKeyOf } from '#feature_store/definitions/values/entity_key';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import type { DecodedEvent, ErasedEntity } from '../events/decode_events.ts';
import { DEAD } from './compute_features.ts';
import type { FeatureMetrics } from './feature_metrics.ts';

type UsableEvent = Extract<DecodedEvent, { ok: true }>;
type Usable = UsableEvent | ErasedEntity;

/** Keys events by a view's entity; one that identifies no entity goes to the dead letters, naming entity and field. */
export class KeyByEntity implements DoFn<Usable, KV<EntityKey, Usable>> {
  readonly #entity: FeatureView['entity'];
  readonly #reports: ReadonlySet<string>;
  readonly #metrics: FeatureMetrics;

  /** @param reports - sources whose refused events it reports: those of the others another view of the same entity reports */
  constructor({ entity }: Pick<FeatureView, 'entity'>, reports: ReadonlySet<string>, metrics: FeatureMetrics) {
    this.#entity = entity;
    this.#reports = reports;
    this.#metrics = metrics;
  }

  process(value: Usable, context: ProcessContext<KV<EntityKey, Usable>>): void {
    if (value.ok === 'erasure') {
      context.output({ key: value.entityKey, value });
      return;
    }
    let key: EntityKey;
    try {
      key = entityKeyOf(this.#entity, value.event);
    } catch (error) {
      if (!(error instanceof EntityKeyError)) throw error;
      if (this.#reports.has(value.source)) this.#refuse(value, error.message, context);
      return;
    }
    context.output({ key, value });
  }

  #refuse({ payload, attempt }: UsableEvent, reason: string, context: ProcessContext<KV<EntityKey, Usable>>): void {
    this.#metrics.failed.inc({ reason: 'invalid' });
    const timestamp = new Date(context.clock.now()).toISOString();
    context.outputTo(DEAD, { payload, reason, stage: 'pipeline.key', attempt, timestamp });
  }
}
