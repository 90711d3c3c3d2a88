import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { SqlDatabase } from '#feature_store/database/sql_database';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { JsonValue } from '#kernel/json';
import type { RunRecord } from '#kernel/workflow_runs';
import { silentLogger } from '#monitoring/log';
import type { WorkflowDocument } from '#workflows/document/document';
import type { WorkflowStore } from '#workflows/store/workflow_store';
import type { TaskDefinition, TaskValues } from '#workflows/tasks/task';
import { TaskRegistry } from '#workflows/tasks/task_registry';

import type { WorkflowMetrics } from '#workflows/worker/metrics';
import { type WorkerSettings, WorkflowWorker } from '#workflows/worker/workflow_worker';

export const quietLog = silentLogger;

/** An empty PGlite database with the platform's tables. */
export async function openPglite(): Promise<{ readonly sql: SqlExecutor; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'headwater-workflows-'));
  const database = new SqlDatabase({ sql: new PgliteExecutor(join(folder, 'database')), log: quietLog }, 'pglite');
  await database.start();
  return {
    sql: database.sql,
    close: async () => {
      await database.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A worker over a database. */
export function createWorker(
  sql: SqlExecutor,
  tasks: readonly TaskDefinition[],
  settings: Partial<WorkerSettings> & { readonly metrics?: WorkflowMetrics; readonly values?: TaskValues } = {},
): WorkflowWorker {
  const { metrics, values, ...given } = settings;
  return new WorkflowWorker(
    { sql, log: quietLog, tasks: new TaskRegistry(tasks), metrics, values },
    { concurrency: 16, leaseMs: 5_000, pollMs: 100, upkeepMs: 200, isOnlyProcess: false, ...given },
  );
}

/** Starts a run of a document. */
export const startRun = (
  store: WorkflowStore,
  id: string,
  document: unknown,
  input: JsonValue = {},
  more: Partial<Parameters<WorkflowStore['startRun']>[0]> = {},
): Promise<boolean> =>
  store.startRun({
    ...{ id, workflow: 'test', document: document as WorkflowDocument, input, origin: { kind: 'manual', by: 'test' } },
    ...more,
  });

/** Waits for the end of a run. @throws with its record when it does not end */
export async function ended(store: WorkflowStore, id: string, withinMs = 20_000): Promise<RunRecord> {
  const until = Date.now() + withinMs;
  for (;;) {
    const run = await store.get(id);
    if (!['queued', 'running'].includes(run.status)) return run;
    if (Date.now() > until) throw new Error(`run ${id} has not ended: ${JSON.stringify(run)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
