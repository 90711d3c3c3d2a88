import type { Broker } from '#connectors/connector';
import { viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityKeyOf } from '#feature_store/definitions/source';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { BrokerSource } from '#pipelines/io/broker_source';
import { createSourceMetrics } from '#pipelines/io/source_metrics';
import { WriteDeadLetters, WriteRows } from '#pipelines/io/write_rows';
import type { PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { filter, flatten, keyBy, parDo, parDoTagged, read } from '#pipelines/model/transforms';
import { type ComputedRow, ComputeFeatures, DEAD, SplitInvalid } from '#pipelines/transforms/compute_features';
import { createEventDecoder, type DecodedEvent } from '#pipelines/transforms/decode_events';
import type { FeatureMetrics } from '#pipelines/transforms/feature_metrics';

export interface FeaturePipelineDeps {
  readonly broker: Broker;
  readonly online: OnlineStore;
  readonly offline: OfflineStore;
  readonly views: readonly FeatureView[];
  readonly metrics: FeatureMetrics;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface FeaturePipelineSettings {
  readonly rawEventsTopic: string;
  readonly featureEventsTopic: string;
  readonly deadLetterTopic: string;
  readonly group: string;
  readonly outOfOrderMs: number;
  readonly allowedLatenessMs: number;
  readonly idleAfterMs: number;
  /** Ends when the topic has been read, for back-fill and tests. */
  readonly bounded?: boolean;
}

type UsableEvent = Extract<DecodedEvent, { ok: true }>;

/**
 * Events to features, for every view: read and check, then for each view key by entity, compute, write. Adding a view to the
 * catalog is all it takes to add it here.
 */
export function buildFeaturePipeline(
  root: PipelineRoot,
  deps: FeaturePipelineDeps,
  settings: FeaturePipelineSettings,
): void {
  const { broker, views, metrics, log, clock } = deps;
  const source = new BrokerSource<DecodedEvent>(broker, {
    topics: [settings.rawEventsTopic],
    group: settings.group,
    startAt: 'earliest',
    outOfOrderMs: settings.outOfOrderMs,
    idleAfterMs: settings.idleAfterMs,
    metrics: createSourceMetrics(metrics.registry),
    decode: createEventDecoder([...new Set(views.map((view) => view.source))], clock),
    ...(settings.bounded === undefined ? {} : { bounded: settings.bounded }),
  });
  const records = root.apply(read(settings.rawEventsTopic, source, 'ReadEvents'));
  const valid = records.apply(parDoTagged(new SplitInvalid(metrics), { dead: DEAD }, { name: 'SplitInvalid' }));
  const usable = valid.main as PCollection<UsableEvent>;
  const rows: PCollection<ComputedRow>[] = [];
  const dead = [valid.dead];
  for (const view of views) {
    const id = viewId(view);
    const computed = usable
      .apply(filter((event) => event.source === view.source.name, `Events for ${id}`))
      .apply(keyBy((event) => entityKeyOf(view.entity, event.event), `Key ${id} by ${view.entity.name}`))
      .apply(
        parDoTagged(
          new ComputeFeatures(view, settings.allowedLatenessMs, metrics),
          { dead: DEAD },
          { name: `Compute ${id}` },
        ),
      );
    rows.push(computed.main);
    dead.push(computed.dead);
  }
  const sink = new WriteRows({
    online: deps.online,
    offline: deps.offline,
    events: broker.producer,
    featureEventsTopic: settings.featureEventsTopic,
    metrics,
    log,
  });
  dead.push(flatten(rows, 'AllRows').apply(parDo(sink, { name: 'WriteRows' })));
  flatten(dead, 'AllDeadLetters').apply(
    parDo(
      new WriteDeadLetters({
        producer: broker.producer,
        topic: settings.deadLetterTopic,
        log,
        metrics: metrics.registry,
      }),
      {
        name: 'WriteDeadLetters',
      },
    ),
  );
}
