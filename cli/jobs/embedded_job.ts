import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { controlAccess } from '#connectors/http/access';
import type { AccessConfig } from '#connectors/http/config';
import { targetStatesOf } from '#connectors/target_states';
import { PlatformError } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import type { Health, HealthSource, HealthState } from '#monitoring/health';
import { registerApiDocs } from '#monitoring/http/docs/api_docs';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService, type HttpServiceSettings } from '#monitoring/http/http_service';
import { acceptJsonOnly } from '#monitoring/http/json_body';
import { type RolePlugin, registerPlugins } from '#monitoring/http/role_plugin';
import { open } from '#monitoring/http/routes/route_access';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { Plan } from '#pipelines/engine/plan';
import { sourceProgressOf } from '#pipelines/io/source_progress';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import type { JobGraph } from '#pipelines/runner/job_graph';
import { createPipelineMetrics, type PipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import { jobHealth } from './job_health.ts';

interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Registry;
}

interface Settings {
  readonly name: string;
  readonly snapshotDirectory: string;
  readonly snapshotIntervalMs: number;
  /** A partition or bundle that does not move for so long is stalled. */
  readonly stalledAfterMs: number;
  /** Done before the pipeline begins. */
  readonly prepare?: () => Promise<void>;
}

const STARTING_MS = 20;

/** A job has to run for what is requested. */
export class JobNotRunningError extends PlatformError {
  readonly code = 'CLI_JOB_NOT_RUNNING';

  constructor(job: string, state: string) {
    super(`the ${job} is ${state}: try again when it runs`, { fault: 'dependency', retryable: true });
  }
}

/** A pipeline on the embedded runner, as a service of the platform. */
export class EmbeddedJob implements Service, HealthSource {
  readonly kind = 'job';
  readonly name: string;
  readonly #deps: Deps;
  readonly #settings: Settings;
  readonly #construct: Construct;
  #plan: Plan | undefined;
  #metrics: PipelineMetrics | undefined;
  #handle: PipelineHandle | undefined;
  #pausing: Promise<unknown> = Promise.resolve();

  constructor(deps: Deps, settings: Settings, construct: Construct) {
    this.name = settings.name;
    this.#deps = deps;
    this.#settings = settings;
    this.#construct = construct;
  }

  async start(): Promise<void> {
    const { log, clock, metrics } = this.#deps;
    const { snapshotDirectory: directory, snapshotIntervalMs: intervalMs, prepare } = this.#settings;
    await prepare?.();
    this.#plan ??= createPipeline(this.#construct);
    this.#metrics ??= createPipelineMetrics(metrics);
    this.#handle = runEmbedded(this.#plan, {
      ...{ log, clock, metrics: this.#metrics, snapshots: { directory, intervalMs } },
      // The platform outlives what its job fails at: the job is tried from its snapshot until an operator mends the cause, and health names it.
      maxRetries: Number.POSITIVE_INFINITY,
      // Views come and go; the log names what was dropped with them.
      restore: { removed: 'drop' },
    });
    // A folder that another process has, or a snapshot that cannot be read, is an error of the start.
    await this.#handle.loaded;
  }

  async discardOlderSnapshots(): Promise<void> {
    await this.#handle?.discardOlderSnapshots();
  }

  state(): HealthState {
    const { clock, metrics } = this.#deps;
    return jobHealth(
      { handle: this.#handle, targets: targetStatesOf(metrics), sources: sourceProgressOf(metrics) },
      { nowMs: clock.now(), monotonicMs: performance.now() },
      this.#settings.stalledAfterMs,
    );
  }

  /** Returns what it does now, transform by transform; undefined before it starts. */
  graph(): JobGraph | undefined {
    return this.#handle?.graph();
  }

  /** Returns why it does not work; undefined while it does. */
  notReady(): string | undefined {
    const { status, reason } = this.state();
    return status === 'up' || status === 'degraded' ? undefined : `the ${this.name} is ${status}: ${reason}`;
  }

  /** Drains the job, gives its snapshots' folder to `work`, and starts it again from what lies there then, whatever comes of it. One pause at a time. */
  pause<T>(work: (snapshotDirectory: string) => Promise<T>): Promise<T> {
    const paused = this.#pausing
      .catch(() => {})
      .then(async () => {
        while (this.#handle?.state === 'starting') await sleep(STARTING_MS);
        if (this.#handle?.state !== 'running')
          throw new JobNotRunningError(this.name, this.#handle?.state ?? 'stopped');
        await this.#handle.stop();
        try {
          return await work(this.#settings.snapshotDirectory);
        } finally {
          await this.start();
        }
      });
    this.#pausing = paused;
    return paused;
  }

  async drain(): Promise<void> {
    if (this.#handle?.state === 'running') await this.#handle.stop();
  }

  async stop(): Promise<void> {
    await this.#handle?.cancel();
  }
}

/** GET /health, /metrics and /graph of a job, and its own routes. */
export async function createJobHttp(
  deps: {
    readonly log: Logger;
    readonly metrics: Registry;
    readonly health: Health;
    /** Jobs that GET /graph shows. */
    readonly jobs?: readonly Pick<EmbeddedJob, 'name' | 'graph'>[];
    /** Of the project. */
    readonly plugins: readonly RolePlugin[];
    /** Routes of the job's own, with their title in the documentation. */
    readonly api?: { readonly title: string; readonly description: string; register(app: FastifyInstance): void };
  },
  settings: HttpServiceSettings & AccessConfig,
): Promise<HttpService> {
  const app = createHttpApp(settings.tls);
  await controlAccess(app, settings, deps.log);
  const service = new HttpService(deps, settings, app);
  const { api, jobs } = deps;
  if (jobs !== undefined) {
    // As GET /metrics, which shows the same numbers.
    app.get('/graph', { schema: { hide: true }, config: { access: open() } }, async () => ({
      jobs: jobs.map((job) => ({ name: job.name, ...job.graph() })),
    }));
  }
  if (api !== undefined) {
    await registerApiDocs(app, { title: api.title, description: api.description });
    await app.register(async (scope) => {
      acceptJsonOnly(scope);
      // Answers are described, not cut to what the description knows.
      scope.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
      api.register(scope);
    });
  }
  await registerPlugins(app, deps.plugins, deps);
  return service;
}
