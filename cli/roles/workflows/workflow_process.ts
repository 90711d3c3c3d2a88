import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { createMetricExporters } from '#monitoring/metric_exporters';
import { createMetricsRegistry } from '#monitoring/metrics';
import { isTraced, Tracing } from '#monitoring/tracing';
import { serveJob } from '#workflows/jobs/serve_job';
import { createJobHttp } from '../../jobs/embedded_job.ts';
import { createOfflineDatabase } from '../../parts/offline_database.ts';
import { checkWorkerListener } from '../../project/production.ts';
import { loadProject, type Project } from '../../project/project.ts';
import { CommandFailedError } from '../../terminal/command_failed_error.ts';
import { print } from '../../terminal/print.ts';
import { shutDown, shutdownRequested } from '../../terminal/shutdown.ts';
import { loadWorkflows } from '../../workflows/load_workflows.ts';
import { workerHealth } from '../health.ts';
import { createWorkflowWorker } from './workflow_worker.ts';

/** `headwater workflows worker`: takes steps of runs, with the offline database alone. Any number of such processes share the work. */
export async function runWorker(): Promise<void> {
  const [project, catalog] = await Promise.all([loadProject(), loadWorkflows()]);
  const { workflows, production, catalog: definitions } = project;
  requireShared(project);
  if (workflows.concurrency === 0) {
    throw new CommandFailedError('workflows.concurrency is 0: this worker would run no steps');
  }
  if (production) checkWorkerListener(project);
  const requested = shutdownRequested();
  const log = createLogger({ level: project.log.level });
  const metrics = createMetricsRegistry();
  const offline = createOfflineDatabase(
    { log, views: definitions.views },
    project.offlineStore,
    project.extensions.offlineStores,
  );
  let onIdle = (): void => {};
  const idle = new Promise<string>((resolve) => {
    onIdle = () => resolve(`no steps for ${workflows.worker.stopWhenIdle}`);
  });
  const worker = createWorkflowWorker({ catalog, offline, log, metrics }, project, () => onIdle());
  const { probe, health } = workerHealth({ offline, metrics });
  const listener = await createJobHttp(
    { log, metrics, health, plugins: [] },
    {
      ...{ ...workflows.worker, tls: workflows.worker.tls ?? project.tls },
      ...{ name: 'workflows', portSetting: 'WORKFLOWS_PORT' },
    },
  );
  if (!project.metrics.enabled) listener.hideMetrics();
  const services = await startAll(
    [
      ...(isTraced() ? [new Tracing()] : []),
      ...createMetricExporters({ worker: metrics }, log, project.metrics),
      ...[offline, probe, worker, listener],
    ],
    new AbortController().signal,
  );
  print(`worker of workflows ${worker.id}: ${listener.url}`);
  print('ready; Ctrl-C drains and stops');
  print(`${await Promise.race([requested, idle])}: draining`);
  await shutDown(services, log, project.drainTimeoutMs);
}

/** `headwater workflows step KEY`: what a Job of Kubernetes does. */
export async function runStep(key: string): Promise<void> {
  const [project, { tasks }] = await Promise.all([loadProject(), loadWorkflows()]);
  requireShared(project);
  const stopping = new AbortController();
  void shutdownRequested().then(() => stopping.abort());
  const log = createLogger({ level: project.log.level });
  const offline = createOfflineDatabase(
    { log, views: project.catalog.views },
    project.offlineStore,
    project.extensions.offlineStores,
  );
  const { variables, connections } = project.workflows;
  const services = await startAll([offline], stopping.signal);
  try {
    await serveJob({ sql: offline.sql, tasks, values: { variables, connections }, log }, key, stopping.signal);
  } finally {
    await services[Symbol.asyncDispose]();
  }
  if (stopping.signal.aborted) throw new CommandFailedError(`step ${key} was stopped before its end`);
}

function requireShared({ offlineStore }: Project): void {
  if (offlineStore.kind !== 'pglite') return;
  throw new CommandFailedError(
    'offlineStore.kind is pglite, which one process has: its steps run in "headwater start"; use PostgreSQL for workers of their own',
  );
}
