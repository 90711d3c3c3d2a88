import { durationMs } from '#kernel/duration';
import type { Service } from '#kernel/lifecycle';
import { workerEntry } from '#kernel/worker_entry';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { processRunner } from '#workflows/tasks/task_process';
import { WorkflowMetrics } from '#workflows/worker/metrics';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { configFileOf, projectFolder } from '../project/find_project.ts';
import type { PlatformConfig } from '../project/platform_config.ts';
import { loadWorkflows } from '../project/workflows.ts';

/** Returns the worker of a project's workflows; none where it has no workflows. */
export async function createWorkflowWorker(
  { offline, log, metrics }: { readonly offline: OfflineDatabase; readonly log: Logger; readonly metrics: Registry },
  { workflows, offlineStore }: PlatformConfig,
): Promise<readonly Service[]> {
  if (configFileOf(projectFolder()) === undefined) return [];
  const { names, tasks } = await loadWorkflows();
  if (names.length === 0) return [];
  const worker = new WorkflowWorker(
    {
      ...{ sql: offline.sql, log, tasks, metrics: new WorkflowMetrics(metrics) },
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
  return [worker];
}

const UPKEEP_MS = 5_000;
