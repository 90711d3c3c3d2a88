import { join } from 'node:path';
import type { Broker } from '#connectors/connector';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { Erasures } from '#feature_store/erasure/erasures';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Clock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createFeatureMetrics, type FeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { EmbeddedJob } from '../jobs/embedded_job.ts';
import { statisticsOf } from '../jobs/features_pipeline.ts';
import { largeLetters } from '../parts/large_letters.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';

interface Deps {
  readonly broker: Broker;
  readonly online: OnlineStore;
  readonly offline: OfflineDatabase;
  readonly views: readonly FeatureView[];
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
}

/** The feature pipeline as a job of this process. */
export function createFeatureJob(
  deps: Deps,
  config: PlatformConfig,
): { readonly job: EmbeddedJob; readonly metrics: FeatureMetrics } {
  const metrics = createFeatureMetrics(deps.metrics);
  const { pipeline, topics, dataDirectory } = config;
  const { snapshotIntervalMs } = pipeline;
  const erasures = new Erasures();
  const job: EmbeddedJob = new EmbeddedJob(
    deps,
    {
      name: 'feature pipeline',
      snapshotDirectory: join(dataDirectory, 'snapshots'),
      snapshotIntervalMs,
      stalledAfterMs: durationMs(config.health.stalledAfter),
      // Events and snapshots of before an erasure may come after it, as those of a backlog.
      prepare: async () => erasures.load(await deps.offline.erasures.read(0)),
    },
    (root) =>
      buildFeaturePipeline(
        root,
        { ...deps, metrics, erasures, discardSnapshots: () => job.discardOlderSnapshots() },
        {
          ...pipeline,
          ...statisticsOf(config),
          rawEventsTopic: topics.rawEvents,
          featureEventsTopic: topics.featureEvents,
          deadLetterTopic: topics.deadLetters,
          largeLetters: largeLetters(config),
        },
      ),
  );
  return { job, metrics };
}
