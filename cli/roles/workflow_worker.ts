import type { FastifyInstance } from 'fastify';
import { durationMs } from '#kernel/duration';
import type { Service } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { workerEntry } from '#kernel/worker_entry';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { ModelRegistry } from '#registry/model_registry';
import { registerWorkflowApi } from '#workflows/api/workflow_api';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { ScheduleMetrics } from '#workflows/schedules/schedule_metrics';
import { Scheduler } from '#workflows/schedules/scheduler';
import { processRunner } from '#workflows/tasks/task_process';
import { WorkflowMetrics } from '#workflows/worker/metrics';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { configFileOf, projectFolder } from '../project/find_project.ts';
import type { PlatformConfig } from '../project/platform_config.ts';
import { RetrainingWatch } from '../retraining/retraining_watch.ts';
import type { Role } from '../terminal/choices.ts';
import { loadWorkflows } from '../workflows/load_workflows.ts';

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

/** Returns the worker of workflows, the scheduler of their schedules, and what looks at the triggers of retraining; none where there are none. */
export function createWorkflowServices(
  { catalog, offline, registry, log, metrics }: WorkflowDeps,
  project: PlatformConfig,
): readonly Service[] {
  if (catalog.names.length === 0) return [];
  const { workflows, offlineStore } = project;
  const worker = new WorkflowWorker(
    {
      ...{ sql: offline.sql, log, tasks: catalog.tasks, metrics: new WorkflowMetrics(metrics) },
      values: { variables: workflows.variables, connections: workflows.connections },
      runInProcess: processRunner(workerEntry(import.meta.url, './task_process')),
    },
    {
      concurrency: workflows.concurrency,
      leaseMs: durationMs(workflows.lease),
      pollMs: durationMs(workflows.poll),
      upkeepMs: UPKEEP_MS,
      isOnlyProcess: offlineStore.kind === 'pglite',
      retentionMs: durationMs(workflows.retention),
    },
  );
  offline.onWorkflowsDue(() => worker.wake());
  const watch = new RetrainingWatch({
    ...{ offline, workflows: offline.workflows, registry, catalog, project, clock: systemClock, log, metrics },
  });
  const retraining = Object.keys(project.retraining).length === 0 ? [] : [watch];
  if (catalog.schedules.length === 0) return [worker, ...retraining];
  const scheduler = new Scheduler({
    ...{ sql: offline.sql, log, clock: systemClock, schedules: catalog.schedules },
    newRun: (...of) => catalog.scheduledRun(...of),
    onRuns: () => worker.wake(),
    metrics: new ScheduleMetrics(metrics),
  });
  return [worker, scheduler, ...retraining];
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
