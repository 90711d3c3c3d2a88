import { Random } from '#kernel/random';
import { whenParentIsGone } from '#kernel/workers/parent_process';
import { createLogger } from '#monitoring/log';
import { TaskRegistry } from '#workflows/tasks/task_registry';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { type ChaosDatabase, openChaosDatabase } from './database.ts';
import { killingExecutor } from './killing_executor.ts';
import { chaosTasks } from './tasks.ts';

/** What a worker of the chaos test is started with. */
export interface WorkerOrders {
  readonly database: ChaosDatabase;
  readonly recorder: string;
  readonly seed: number;
  readonly killProbability: number;
  /** PGlite: one process has the database, and reports what is left. */
  readonly isOnlyProcess: boolean;
}

const LEASE_MS = 1_500;
// A round may end while this process starts.
whenParentIsGone(() => process.exit(0));
const log = createLogger({ level: 'silent' });
const orders = JSON.parse(process.argv[2] as string) as WorkerOrders;
const { sql, start } = openChaosDatabase(orders.database);
await start();
const worker = new WorkflowWorker(
  {
    sql: killingExecutor(sql, new Random(orders.seed), orders.killProbability),
    log,
    tasks: new TaskRegistry(chaosTasks(orders.recorder)),
  },
  { concurrency: 8, leaseMs: LEASE_MS, pollMs: 100, upkeepMs: 1_000, isOnlyProcess: orders.isOnlyProcess },
);
await worker.start();
// A round that is over closes the channel, while the last message may be under way.
const report = (message: unknown): void => void process.send?.(message, undefined, undefined, () => {});
report('ready');
if (orders.isOnlyProcess) {
  // Only this process can look.
  setInterval(async () => {
    const [left] = await sql.query<{ readonly n: number }>(
      `SELECT count(*)::integer AS n FROM workflow_runs WHERE status IN ('queued', 'running')`,
    );
    report({ left: left?.n });
  }, 200);
}
