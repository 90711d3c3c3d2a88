import { setTimeout as delay } from 'node:timers/promises';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { Logger } from '#monitoring/log';
import { JobNotFoundError } from '../errors.ts';
import type { TaskValues } from '../tasks/task.ts';
import type { TaskRegistry } from '../tasks/task_registry.ts';
import { runHere, runTask } from '../worker/run_task.ts';
import { TaskLog } from '../worker/task_log.ts';
import { JobStore } from './job_store.ts';

interface Deps {
  readonly sql: SqlExecutor;
  readonly tasks: TaskRegistry;
  /** Variables and connections of this process's settings: an order holds none. */
  readonly values: TaskValues;
  readonly log: Logger;
}

const WATCH_MS = 2_000;

/**
 * Runs the step that a Job was created for, and keeps its result for the worker. Aborts it when its run is cancelled or the step has failed meanwhile.
 *
 * @throws {@link JobNotFoundError} for a key without an order
 */
export async function serveJob({ sql, tasks, values, log }: Deps, key: string, signal: AbortSignal): Promise<void> {
  const store = new JobStore(sql);
  const order = await store.read(key);
  if (order === undefined) throw new JobNotFoundError(key);
  const { run, path, state, attempt, workflow, token, input } = order;
  const lines = new TaskLog(sql, { runId: run, path, state, attempt }, (error) => {
    log.warn({ error, run }, 'workflows.log_failed');
  });
  const unneeded = new AbortController();
  const ended = new AbortController();
  const watch = watchRun();
  const result = await runTask(
    tasks.resolve(order.task),
    input,
    {
      ...{ run, path, workflow, state, attempt, token: token ?? undefined, idempotencyKey: key, values },
      log: (line) => lines.write('log', line),
    },
    {
      timeoutMs: undefined,
      heartbeatMs: undefined,
      onHeartbeat: () =>
        void store.heartbeat(key).catch((error: unknown) => log.warn({ error, run }, 'workflows.heartbeat_failed')),
    },
    AbortSignal.any([signal, unneeded.signal]),
    runHere,
  );
  ended.abort();
  await lines.end();
  // Ended by the cluster, which may have moved the pod: the Job fails, and the step is tried again.
  if (!signal.aborted) await store.end(key, result);
  await watch;

  async function watchRun(): Promise<void> {
    while (!ended.signal.aborted) {
      await delay(WATCH_MS, undefined, { signal: ended.signal }).catch(() => {});
      const isAwaited = await store.isAwaited(order as NonNullable<typeof order>).catch(() => true);
      if (!isAwaited) unneeded.abort();
    }
  }
}
