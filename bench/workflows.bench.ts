import { setTimeout as delay } from 'node:timers/promises';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { createPostgresPool } from '#connectors/postgres/pool';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { SqlDatabase } from '#feature_store/database/sql_database';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { silentLogger } from '#monitoring/log';
import { startServers } from '#scripts/services/start_all';
import type { WorkflowDocument } from '#workflows/document/document';
import { type TaskDefinition, task } from '#workflows/tasks/task';
import { TaskRegistry } from '#workflows/tasks/task_registry';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { median, percentile } from './tools/quantiles.ts';
import { report } from './tools/result.ts';

// The engine of workflows on a real PostgreSQL: transitions a second, what waiting costs, and how soon a run begins.
const servers = process.env.TEST_POSTGRES_URL === undefined ? await startServers(['postgres']) : undefined;
const url = new URL((servers?.env.TEST_POSTGRES_URL ?? process.env.TEST_POSTGRES_URL) as string);
const schema = `bench_workflows_${Date.now().toString(36)}`;
const config = postgresConfigSchema.parse({
  ...{ host: url.hostname, port: Number(url.port), user: url.username, database: url.pathname.slice(1), schema },
});
const counted = { queries: 0 };
const executor = new PostgresExecutor(createPostgresPool(config, silentLogger), schema);
const sql = new Proxy(executor as SqlExecutor, {
  get(target, name) {
    const value = Reflect.get(target, name, target);
    if (typeof value !== 'function') return value;
    return (...args: unknown[]) => {
      if (name === 'query' || name === 'transaction') counted.queries += 1;
      return Reflect.apply(value, target, args);
    };
  },
});
const database = new SqlDatabase({ sql, log: silentLogger, views: [] }, 'postgres');
await database.start();

const begun = new Map<string, number>();
const nothing = task('nothing', (_: unknown, { run }) => {
  if (!begun.has(run)) begun.set(run, performance.now());
  return null;
});
const worker = new WorkflowWorker(
  { sql, log: silentLogger, tasks: new TaskRegistry([nothing as unknown as TaskDefinition]) },
  { concurrency: 16, leaseMs: 30_000, pollMs: 1_000, upkeepMs: 5_000, isOnlyProcess: false },
);
await worker.start();

const STEPS = 10;
const chain: WorkflowDocument = {
  StartAt: 'S0',
  States: Object.fromEntries(
    Array.from({ length: STEPS }, (_, at) => [
      `S${at}`,
      {
        Type: 'Task' as const,
        Resource: 'nothing@1',
        ...(at === STEPS - 1 ? { End: true as const } : { Next: `S${at + 1}` }),
      },
    ]),
  ),
};
const start = (id: string, document: WorkflowDocument) =>
  worker.store.startRun({ id, workflow: 'bench', document, input: {}, origin: { kind: 'manual', by: 'bench' } });
async function ended(count: number, prefix: string): Promise<void> {
  for (;;) {
    const [row] = await executor.query<{ readonly n: number }>(
      `SELECT count(*)::integer AS n FROM workflow_runs WHERE id LIKE $1 AND status = 'succeeded'`,
      [`${prefix}%`],
    );
    if (row?.n === count) return;
    await delay(20);
  }
}

const RUNS = 200;
const ROUNDS = 5;
const rates: number[] = [];
const peers: number[] = [];
const cpus: number[] = [];
for (let round = 0; round <= ROUNDS; round += 1) {
  const cpu = process.cpuUsage();
  const at = performance.now();
  for (let first = 0; first < RUNS; first += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, index) => start(`chain-${round}-${first + index}`, chain)));
  }
  await ended(RUNS, `chain-${round}-`);
  const seconds = (performance.now() - at) / 1_000;
  const used = process.cpuUsage(cpu);
  const transitions = RUNS * STEPS;
  const peerAt = performance.now();
  await bareTransitions(transitions);
  const peerSeconds = (performance.now() - peerAt) / 1_000;
  // The first one warms up.
  if (round === 0) continue;
  rates.push(transitions / seconds);
  peers.push(transitions / peerSeconds);
  cpus.push((used.user + used.system) / 1_000 / transitions);
}

/** As many transactions of one update and one insert each, on as many connections. */
async function bareTransitions(count: number): Promise<void> {
  await executor.query('CREATE TABLE IF NOT EXISTS bare (id integer PRIMARY KEY, step integer NOT NULL)');
  await executor.query('CREATE TABLE IF NOT EXISTS bare_events (n bigserial PRIMARY KEY, id integer, detail jsonb)');
  await executor.query('INSERT INTO bare SELECT n, 0 FROM generate_series(1, 16) n ON CONFLICT DO NOTHING');
  await Promise.all(
    Array.from({ length: 16 }, async (_, id) => {
      for (let step = 0; step < count / 16; step += 1) {
        await executor.transaction([
          { text: 'UPDATE bare SET step = $2 WHERE id = $1', parameters: [id + 1, step] },
          { text: `INSERT INTO bare_events (id, detail) VALUES ($1, $2::jsonb)`, parameters: [id + 1, '{"input":{}}'] },
        ]);
      }
    }),
  );
}

const bench = 'workflows';
const chains = { bench, case: `${RUNS} runs of ${STEPS} tasks, one worker of 16 steps` };
report({
  ...chains,
  metric: 'transitions',
  value: median(rates),
  unit: '1/s',
  peer: 'bare transactions of an update and an insert',
  peerValue: median(peers),
  floor: 500,
});
report({ ...chains, metric: 'CPU of the worker', value: median(cpus), unit: 'ms a transition' });

const WAITING = 1_000;
const SECONDS = 20;
const waits: WorkflowDocument = { StartAt: 'W', States: { W: { Type: 'Wait', Seconds: 86_400, End: true } } };
for (let first = 0; first < WAITING; first += 50) {
  await Promise.all(Array.from({ length: 50 }, (_, index) => start(`wait-${first + index}`, waits)));
}
await delay(2_000);
const idle = process.cpuUsage();
counted.queries = 0;
await delay(SECONDS * 1_000);
const spent = process.cpuUsage(idle);
const waiting = { bench, case: `${WAITING} runs that wait, ${SECONDS} s` };
report({
  ...waiting,
  metric: 'CPU of the worker',
  value: (spent.user + spent.system) / 10_000 / SECONDS,
  unit: '% of a core',
  ceiling: 1,
});
report({ ...waiting, metric: 'queries', value: counted.queries / SECONDS, unit: '1/s, whatever the number of runs' });

const single: WorkflowDocument = { StartAt: 'S', States: { S: { Type: 'Task', Resource: 'nothing@1', End: true } } };
const times: number[] = [];
for (let run = 0; run < 200; run += 1) {
  const at = performance.now();
  await start(`one-${run}`, single);
  while (!begun.has(`one-${run}`)) await delay(1);
  times.push((begun.get(`one-${run}`) as number) - at);
  await delay(5);
}
const begins = { bench, case: `start to first step, beside ${WAITING} runs that wait`, unit: 'ms' };
report({ ...begins, metric: 'p50', value: median(times), ceiling: 50 });
report({ ...begins, metric: 'p99', value: percentile(times, 0.99), ceiling: 50 });

await worker.drain(AbortSignal.timeout(10_000));
await worker.stop();
await executor.query(`DROP SCHEMA ${schema} CASCADE`);
await database.stop();
await servers?.stop();
