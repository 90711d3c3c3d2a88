import { durationMs } from '#kernel/duration';
import type { Service } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { workerEntry } from '#kernel/worker_entry';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { ScheduleMetrics } from '#workflows/schedules/schedule_metrics';
import { Scheduler } from '#workflows/schedules/scheduler';
import { processRunner } from '#workflows/tasks/task_process';
import { WorkflowMetrics } from '#workflows/worker/metrics';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { configFileOf, projectFolder } from '../project/find_project.ts';
import type { PlatformConfig } from '../project/platform_config.ts';
import { loadWorkflows } from '../project/workflows.ts';

const UPKEEP_MS = 5_000;

/** Returns the worker of a project's workflows and the scheduler of its schedules; none where it has no workflows. */
export async function createWorkflowWorker(
  { offline, log, metrics }: { readonly offline: OfflineDatabase; readonly log: Logger; readonly metrics: Registry },
  { workflows, offlineStore }: PlatformConfig,
): Promise<readonly Service[]> {
  if (configFileOf(projectFolder()) === undefined) return [];
  const catalog = await loadWorkflows();
  if (catalog.names.length === 0) return [];
  const worker = new WorkflowWorker(
    {
      ...{ sql: offline.sql, log, tasks: catalog.tasks, metrics: new WorkflowMetrics(metrics) },
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
  if (catalog.schedules.length === 0) return [worker];
  const scheduler = new Scheduler({
    ...{ sql: offline.sql, log, clock: systemClock, schedules: catalog.schedules },
    newRun: (...of) => catalog.scheduledRun(...of),
    onRuns: () => worker.wake(),
    metrics: new ScheduleMetrics(metrics),
  });
  return [worker, scheduler];
}
