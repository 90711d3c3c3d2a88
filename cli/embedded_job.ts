import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import { createHttpApp } from '#monitoring/http_app';
import { HttpService, type HttpServiceSettings } from '#monitoring/http_service';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';

interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Registry;
}

interface Settings {
  readonly name: string;
  readonly snapshotDirectory: string;
  readonly snapshotIntervalMs: number;
}

/** A pipeline on the embedded runner, as a service of the platform. */
export class EmbeddedJob implements Service {
  readonly name: string;
  readonly #deps: Deps;
  readonly #settings: Settings;
  readonly #construct: Construct;
  #handle: PipelineHandle | undefined;

  constructor(deps: Deps, settings: Settings, construct: Construct) {
    this.name = settings.name;
    this.#deps = deps;
    this.#settings = settings;
    this.#construct = construct;
  }

  async start(): Promise<void> {
    const { log, clock, metrics } = this.#deps;
    const { snapshotDirectory: directory, snapshotIntervalMs: intervalMs } = this.#settings;
    this.#handle = runEmbedded(createPipeline(this.#construct), {
      ...{ log, clock, metrics: createPipelineMetrics(metrics), snapshots: { directory, intervalMs } },
      // The platform outlives a store's restart: the job goes on trying from its snapshot.
      maxRetries: 20,
    });
    // A folder that another process has, or a snapshot that cannot be read, is an error of the start.
    await this.#handle.loaded;
  }

  /** Why it does not work, if so. */
  notReady(): string | undefined {
    const state = this.#handle?.state ?? 'not started';
    return state === 'running' || state === 'starting' ? undefined : `the ${this.name} is ${state}`;
  }

  async drain(): Promise<void> {
    if (this.#handle?.state === 'running') await this.#handle.drain();
  }

  async stop(): Promise<void> {
    await this.#handle?.stop();
  }
}

/** GET /health and /metrics of a job. */
export function createJobHttp(
  deps: { readonly log: Logger; readonly metrics: Registry; readonly job: EmbeddedJob },
  settings: HttpServiceSettings,
): HttpService {
  return new HttpService({ ...deps, notReady: () => deps.job.notReady() }, settings, createHttpApp(settings.tls));
}
