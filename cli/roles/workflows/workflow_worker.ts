import type { FastifyInstance } from 'fastify';
import type { JsonValue } from '#kernel/json';
import type { Service } from '#kernel/lifecycle';
import { requireInstalled } from '#kernel/optional_package';
import { systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import { workerEntry } from '#kernel/workers/worker_entry';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { ModelRegistry } from '#registry/model_registry';
import { registerWorkflowApi } from '#workflows/api/workflow_api';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import type { StepResources } from '#workflows/jobs/job_manifest';
import { jobRunner } from '#workflows/jobs/job_runner';
import { kubernetesApi } from '#workflows/jobs/kubernetes_api';
import { LineageSender } from '#workflows/lineage/lineage_sender';
import { ScheduleMetrics } from '#workflows/schedules/schedule_metrics';
import { Scheduler } from '#workflows/schedules/scheduler';
import type { TaskDefinition } from '#workflows/tasks/task';
import { processRunner } from '#workflows/tasks/task_process';
import { WorkflowMetrics } from '#workflows/worker/metrics';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import type { OfflineDatabase } from '../../parts/offline_database.ts';
import type { PlatformConfig } from '../../project/config/platform_config.ts';
import { TRAIN_TASK } from '../../project/config/retraining_config.ts';
import { configFileOf, projectFolder } from '../../project/loading/find_project.ts';
import { SNS_USE } from '../../retraining/notify.ts';
import { RetrainingWatch } from '../../retraining/retraining_watch.ts';
import type { Role } from '../../terminal/choices.ts';
import { loadWorkflows } from '../../workflows/load_workflows.ts';

interface WorkflowDeps {
  readonly catalog: WorkflowCatalog;
  readonly offline: OfflineDatabase;
  readonly registry: ModelRegistry;
  readonly log: Logger;
  readonly metrics: Registry;
}

const UPKEEP_MS = 5_000;

/** Loads the workflows that a process runs: those of the project for the monitor, none for other roles. */
export const workflowsOf = async (roles: readonly Role[]): Promise<WorkflowCatalog> =>
  roles.includes('monitor') && configFileOf(projectFolder()) !== undefined
    ? loadWorkflows()
    : new WorkflowCatalog([], []);

/**
 * Returns a worker of workflows, that takes steps of runs.
 *
 * @throws `PackageMissingError` where `workflows.notify` needs a package that is not installed
 */
export function createWorkflowWorker(
  { catalog, offline, log, metrics }: Omit<WorkflowDeps, 'registry'>,
  { workflows, offlineStore, training }: PlatformConfig,
  onIdle?: () => void,
): WorkflowWorker {
  if (workflows.notify.sns !== undefined) requireInstalled(SNS_USE);
  const { sql } = offline;
  const pollMs = durationMs(workflows.poll);
  const { stopWhenIdle } = workflows.worker;
  const worker = new WorkflowWorker(
    {
      ...{ sql, log, tasks: catalog.tasks, metrics: new WorkflowMetrics(metrics) },
      values: { variables: workflows.variables, connections: workflows.connections },
      onIdle,
      runInProcess:
        workflows.steps === 'kubernetes'
          ? jobRunner(
              { sql, api: kubernetesApi(workflows.kubernetes), resourcesOf: trainingResources(training) },
              { cronJob: workflows.kubernetes.cronJob, pollMs },
            )
          : processRunner(workerEntry(import.meta.url, './task_process')),
    },
    {
      concurrency: workflows.concurrency,
      leaseMs: durationMs(workflows.lease),
      pollMs,
      upkeepMs: UPKEEP_MS,
      isOnlyProcess: offlineStore.kind === 'pglite',
      retentionMs: durationMs(workflows.retention),
      idleMs: onIdle === undefined || stopWhenIdle === undefined ? undefined : durationMs(stopWhenIdle),
    },
  );
  offline.onWorkflowsDue(() => worker.wake());
  return worker;
}

/** What steps that train a model ask of their machine: the `resources` of its training. */
const trainingResources =
  (training: PlatformConfig['training']) =>
  ({ name }: TaskDefinition, input: JsonValue): StepResources => {
    const { model } = (input ?? {}) as { readonly model?: unknown };
    return name === TRAIN_TASK && typeof model === 'string' ? (training[model]?.resources ?? {}) : {};
  };

/** Returns a worker of workflows where this process runs steps, the scheduler of their schedules, and what looks at the triggers of retraining; none where there are none. */
export function createWorkflowServices(deps: WorkflowDeps, project: PlatformConfig): readonly Service[] {
  const { catalog, offline, registry, log, metrics } = deps;
  if (catalog.names.length === 0) return [];
  const worker = project.workflows.concurrency === 0 ? undefined : createWorkflowWorker(deps, project);
  const workers = worker === undefined ? [] : [worker];
  const watch = new RetrainingWatch({
    ...{ offline, workflows: offline.workflows, registry, catalog, project, clock: systemClock, log, metrics },
  });
  const { lineage } = project.workflows;
  const hasLineage = lineage.file !== undefined || lineage.url !== undefined;
  const watches: readonly Service[] = [
    ...(Object.keys(project.retraining).length === 0 ? [] : [watch]),
    ...(hasLineage ? [new LineageSender({ sql: offline.sql, log }, lineage)] : []),
  ];
  if (catalog.schedules.length === 0) return [...workers, ...watches];
  const scheduler = new Scheduler({
    ...{ sql: offline.sql, log, clock: systemClock, schedules: catalog.schedules },
    newRun: (...of) => catalog.scheduledRun(...of),
    onRuns: () => worker?.wake(),
    metrics: new ScheduleMetrics(metrics),
  });
  return [...workers, scheduler, ...watches];
}

/** Returns the routes of workflows, for the monitor's listener. */
export const workflowApi = ({
  catalog,
  offline,
}: Pick<WorkflowDeps, 'catalog'> & { readonly offline: Pick<OfflineDatabase, 'workflows' | 'schedules'> }) => ({
  title: 'headwater workflows',
  description: 'Workflows, their runs and schedules',
  register(app: FastifyInstance): void {
    const { workflows, schedules } = offline;
    registerWorkflowApi(app, { catalog, workflows, schedules, clock: systemClock });
  },
});
