import { join } from 'node:path';
import { fastify } from 'fastify';
import type { Broker } from '#connectors/connector';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import { HttpService } from '#monitoring/http_service';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import { createFeatureMetrics, type FeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { statisticsOf } from './features_pipeline.ts';
import type { PlatformConfig } from './platform_config.ts';

interface Deps {
  readonly broker: Broker;
  readonly online: OnlineStore;
  readonly offline: OfflineStore;
  readonly views: readonly FeatureView[];
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
}

/** The feature pipeline on the embedded runner, as a service of the platform. */
export class PipelineService implements Service {
  readonly name = 'feature pipeline';
  readonly metrics: FeatureMetrics;
  readonly #deps: Deps;
  readonly #config: PlatformConfig;
  #handle: PipelineHandle | undefined;

  constructor(deps: Deps, config: PlatformConfig) {
    this.#deps = deps;
    this.#config = config;
    this.metrics = createFeatureMetrics(deps.metrics);
  }

  async start(): Promise<void> {
    const { pipeline, topics, dataDirectory } = this.#config;
    const plan = createPipeline((root) =>
      buildFeaturePipeline(
        root,
        { ...this.#deps, metrics: this.metrics },
        {
          ...pipeline,
          ...statisticsOf(this.#config),
          rawEventsTopic: topics.rawEvents,
          featureEventsTopic: topics.featureEvents,
          deadLetterTopic: topics.deadLetters,
        },
      ),
    );
    this.#handle = runEmbedded(plan, {
      log: this.#deps.log,
      clock: this.#deps.clock,
      metrics: createPipelineMetrics(this.#deps.metrics),
      snapshots: { directory: join(dataDirectory, 'snapshots'), intervalMs: pipeline.snapshotIntervalMs },
      // The platform outlives a store's restart: the job goes on trying from its snapshot.
      maxRetries: 20,
    });
  }

  /** Why it does not work, if so. */
  notReady(): string | undefined {
    const state = this.#handle?.state ?? 'not started';
    return state === 'running' || state === 'starting' ? undefined : `the pipeline is ${state}`;
  }

  async drain(): Promise<void> {
    if (this.#handle?.state === 'running') await this.#handle.drain();
  }

  async stop(): Promise<void> {
    await this.#handle?.stop();
  }
}

/** GET /health and /metrics of the pipeline on port 8082. */
export function createPipelineHttp(
  deps: { log: Logger; metrics: Registry; pipeline: PipelineService },
  settings: { host: string; port: number },
): HttpService {
  return new HttpService(
    { ...deps, notReady: () => deps.pipeline.notReady() },
    { ...settings, name: 'pipeline', portSetting: 'PIPELINE_PORT' },
    fastify({ logger: false }),
  );
}
