import type { Broker, Producer } from '#connectors/connector';
import type { FileSystemOf } from '#connectors/files/file_systems';
import { viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityKeyOf } from '#feature_store/definitions/source';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { BrokerSource } from '#pipelines/io/broker_source';
import { HistorySource, type HistorySourceSettings } from '#pipelines/io/history_source';
import { createSourceMetrics } from '#pipelines/io/source_metrics';
import { WriteDeadLetters, WriteRows } from '#pipelines/io/write_rows';
import type { PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { filter, flatten, keyBy, parDo, parDoTagged, read } from '#pipelines/model/transforms';
import { type ComputedRow, ComputeFeatures, DEAD, SplitInvalid } from '#pipelines/transforms/compute_features';
import { createEventDecoder, createRowDecoder, type DecodedEvent } from '#pipelines/transforms/decode_events';
import type { FeatureMetrics } from '#pipelines/transforms/feature_metrics';

/** Where features go, and what they are. */
export interface FeatureDeps {
  /** For the feature-events topic and the dead letters. */
  readonly producer: Producer;
  readonly online: OnlineStore;
  readonly offline: OfflineStore;
  readonly views: readonly FeatureView[];
  readonly metrics: FeatureMetrics;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface FeaturePipelineDeps extends Omit<FeatureDeps, 'producer'> {
  readonly broker: Broker;
}

export interface FeatureSettings {
  /** Undefined: computed rows are not published. */
  readonly featureEventsTopic: string | undefined;
  readonly deadLetterTopic: string;
  /** An event may be so much older than the watermark and count. */
  readonly allowedLatenessMs: number;
}

export interface FeaturePipelineSettings extends FeatureSettings {
  readonly rawEventsTopic: string;
  readonly group: string;
  readonly outOfOrderMs: number;
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
  const { broker, views, metrics, clock } = deps;
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
  computeFeatures(records, { ...deps, producer: broker.producer }, settings, settings.bounded !== true);
}

export interface BackfillSettings extends FeatureSettings {
  /** Files of events: as those of a file source, named by time. */
  readonly patterns: readonly string[];
  readonly outOfOrderMs: number;
  readonly fileSystems?: FileSystemOf;
  readonly onProgress?: HistorySourceSettings<DecodedEvent>['onProgress'];
}

/** The same from files of history, oldest first: what the stream would have computed, had it read them. */
export function buildBackfillPipeline(root: PipelineRoot, deps: FeatureDeps, settings: BackfillSettings): void {
  const { patterns, outOfOrderMs, fileSystems, onProgress } = settings;
  const source = new HistorySource<DecodedEvent>({
    patterns,
    outOfOrderMs,
    decode: createRowDecoder([...new Set(deps.views.map((view) => view.source))], deps.clock),
    ...(fileSystems === undefined ? {} : { fileSystems }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  computeFeatures(root.apply(read('history', source, 'ReadHistory')), deps, settings, false);
}

function computeFeatures(
  records: PCollection<DecodedEvent>,
  deps: FeatureDeps,
  settings: FeatureSettings,
  isLive: boolean,
): void {
  const { producer, views, metrics, log } = deps;
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
          new ComputeFeatures(view, settings.allowedLatenessMs, isLive, metrics),
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
    events: producer,
    featureEventsTopic: settings.featureEventsTopic,
    metrics,
    log,
  });
  dead.push(flatten(rows, 'AllRows').apply(parDo(sink, { name: 'WriteRows' })));
  flatten(dead, 'AllDeadLetters').apply(
    parDo(
      new WriteDeadLetters({
        producer,
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
