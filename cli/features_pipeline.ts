import { createBroker } from '#connectors/catalog';
import { createOfflineStore, createOnlineStore } from '#feature_store/config';
import { VIEWS } from '#feature_store/views/catalog';
import { startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import type { Construct } from '#pipelines/model/graph';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { loadPlatformConfig } from './platform_config.ts';

/** A pipeline with what it holds open. */
export interface OpenPipeline {
  readonly construct: Construct;
  close(): Promise<void>;
}

/**
 * The platform's own pipeline, as `headwater run features` and `headwater worker features` take it: with the broker and the stores of the
 * configuration, on whatever runner. Option `bounded=true` ends at what the topic holds now.
 */
export async function openFeaturesPipeline(options: Readonly<Record<string, string>>): Promise<OpenPipeline> {
  const config = loadPlatformConfig(process.env);
  const log = createLogger({ level: config.log.level });
  const base = { log, clock: systemClock, metrics: createMetricsRegistry(), views: VIEWS };
  const broker = createBroker(base, config.broker);
  const online = createOnlineStore(base, config.onlineStore);
  const offline = createOfflineStore(base, config.offlineStore);
  const services = await startAll([broker, online, offline], new AbortController().signal);
  const { topics, pipeline } = config;
  const names = [topics.rawEvents, topics.featureEvents, topics.deadLetters];
  await broker.ensureTopics(names.map((name) => ({ name, partitions: topics.partitions })));
  const metrics = createFeatureMetrics(base.metrics);
  return {
    construct: (root) =>
      buildFeaturePipeline(
        root,
        { ...base, broker, online, offline, metrics },
        {
          ...pipeline,
          rawEventsTopic: topics.rawEvents,
          featureEventsTopic: topics.featureEvents,
          deadLetterTopic: topics.deadLetters,
          bounded: options.bounded === 'true',
        },
      ),
    async close() {
      await services[Symbol.asyncDispose]();
    },
  };
}
