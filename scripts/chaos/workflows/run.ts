import { type ChildProcess, fork } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { workerEntry } from '#kernel/workers/worker_entry';
import { startPostgres } from '#scripts/services/servers';
import { sqlWorkflowStore } from '#workflows/store/workflow_store';
import { type ChaosDatabase, openChaosDatabase } from './database.ts';
import { type ChaosRun, chaosRuns } from './documents.ts';
import { expectedOf } from './oracle.ts';
import type { WorkerOrders } from './worker_process.ts';

export interface WorkflowChaosOptions {
  readonly seed: number;
  readonly kills: number;
  /** How many runs go at the same time. */
  readonly runs: number;
  readonly minutes: number;
  readonly database: 'postgres' | 'pglite';
  readonly log?: (line: string) => void;
}

const WORKERS = 3;
const KILL_PROBABILITY = 0.05;
const MINUTE_MS = 60_000;
const SETTLE_MS = 120_000;

/** Kills workers around their commits until so many have died; then every run must have ended as the oracle says, with each effect once. */
export async function chaosWorkflows(options: WorkflowChaosOptions): Promise<{ passed: number; failed: number }> {
  const log = options.log ?? ((line: string) => process.stdout.write(`${line}\n`));
  log(`seed ${options.seed} (--seed), ${options.kills} kills on ${options.database}`);
  const folder = mkdtempSync(join(tmpdir(), 'headwater-chaos-workflows-'));
  // PostgreSQL runs as another user.
  chmodSync(folder, 0o755);
  const own = join(folder, 'postgres');
  mkdirSync(own);
  const given = process.env.TEST_POSTGRES_URL;
  const server = options.database === 'postgres' && given === undefined ? await startPostgres(own) : undefined;
  const recorder = await startRecorder();
  const totals = { kills: 0, runs: 0, writes: 0, calls: 0, problems: 0 };
  const until = Date.now() + options.minutes * MINUTE_MS;
  try {
    for (let round = 0; totals.kills < options.kills && Date.now() < until; round += 1) {
      const seed = options.seed + round;
      const database: ChaosDatabase =
        options.database === 'pglite'
          ? { kind: 'pglite', directory: join(folder, `round-${round}`) }
          : {
              ...{ kind: 'postgres', schema: `chaos_workflows_${process.pid}_${round}` },
              url: given ?? (server?.env.TEST_POSTGRES_URL as string),
            };
      const runs = chaosRuns(seed, options.runs);
      const left = Math.min(options.kills - totals.kills, options.kills);
      const kills = await inWorkers(database, runs, recorder.url, seed, left);
      const { problems, writes } = await check(database, runs, recorder.calls);
      for (const problem of problems) log(`round ${round} (--seed ${seed}): ${problem}`);
      totals.kills += kills;
      totals.runs += runs.length;
      totals.writes += writes;
      totals.problems += problems.length;
      log(`round ${round}: ${kills} kills, ${runs.length} runs, ${writes} writes, ${problems.length} problems`);
    }
    totals.calls = [...recorder.calls.values()].reduce((sum, count) => sum + count, 0);
    const { kills, runs, writes, calls, problems } = totals;
    const repeated = [...recorder.calls.values()].filter((count) => count > 1).length;
    log(
      `all: ${kills} kills, ${runs} runs, ${writes} writes once each, ${calls} calls of which ${repeated} keys came again, ${problems} problems`,
    );
    return { passed: runs - problems, failed: problems };
  } finally {
    await recorder.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts the runs, and workers that kill themselves until there were enough kills; then workers that do not, until all runs have ended. @returns kills */
async function inWorkers(
  database: ChaosDatabase,
  runs: readonly ChaosRun[],
  recorder: string,
  seed: number,
  mostKills: number,
): Promise<number> {
  const { sql, start } = openChaosDatabase(database);
  await start();
  await sql.query('CREATE TABLE chaos_effects (key text NOT NULL, failed boolean NOT NULL)');
  const store = sqlWorkflowStore(sql);
  for (const { id, document, input } of runs) {
    await store.startRun({ id, workflow: 'chaos', document, input, origin: { kind: 'manual', by: 'chaos' } });
  }
  const isOnlyProcess = database.kind === 'pglite';
  if (isOnlyProcess) await sql.close();
  let kills = 0;
  let remaining = runs.length;
  let isOver = false;
  let started = 0;
  const workers = new Set<ChildProcess>();
  const startWorker = (): void => {
    if (isOver) return;
    started += 1;
    const orders: WorkerOrders = {
      ...{ database, recorder, isOnlyProcess, seed: seed * 1_000 + started },
      killProbability: kills < mostKills ? KILL_PROBABILITY : 0,
    };
    const child = fork(workerEntry(import.meta.url, './worker_process'), [JSON.stringify(orders)]);
    workers.add(child);
    child.on('message', (message) => {
      const { left } = (typeof message === 'object' ? message : {}) as { readonly left?: number };
      if (left !== undefined) remaining = left;
    });
    child.on('exit', (_, signal) => {
      workers.delete(child);
      if (signal === 'SIGKILL' && !isOver) kills += 1;
      startWorker();
    });
  };
  for (let worker = 0; worker < (isOnlyProcess ? 1 : WORKERS); worker += 1) startWorker();
  let quietSince = Date.now();
  let before = -1;
  while (remaining > 0 && Date.now() - quietSince < SETTLE_MS) {
    await delay(100);
    if (!isOnlyProcess) {
      const [row] = await sql.query<{ readonly n: number }>(
        `SELECT count(*)::integer AS n FROM workflow_runs WHERE status IN ('queued', 'running')`,
      );
      remaining = row?.n ?? 0;
    }
    if (remaining + kills !== before) quietSince = Date.now();
    before = remaining + kills;
  }
  isOver = true;
  const ended = [...workers].map((child) => new Promise((resolve) => child.once('exit', resolve)));
  for (const child of workers) child.disconnect();
  await Promise.all(ended);
  if (!isOnlyProcess) await sql.close();
  return kills;
}

async function check(
  database: ChaosDatabase,
  runs: readonly ChaosRun[],
  calls: ReadonlyMap<string, number>,
): Promise<{ readonly problems: readonly string[]; readonly writes: number }> {
  const { sql, start } = openChaosDatabase(database);
  await start();
  const store = sqlWorkflowStore(sql);
  const problems: string[] = [];
  const counted = await sql.query<{ readonly key: string; readonly n: number; readonly failed: boolean }>(
    'SELECT key, count(*)::integer AS n, bool_or(failed) AS failed FROM chaos_effects GROUP BY key',
  );
  for (const { key, n, failed } of counted) {
    if (n > 1) problems.push(`the statement of ${key} took effect ${n} times`);
    if (failed) problems.push(`the statement of ${key} took effect, and its task failed`);
  }
  const written = new Set(counted.map(({ key }) => key));
  const allowed = new Set<string>();
  let writes = 0;
  for (const { id, document, input } of runs) {
    const expected = expectedOf(id, document, input);
    const run = await store.get(id);
    const got = { status: run.status, output: run.output, error: run.error };
    const wanted = { status: expected.status, output: expected.output, error: expected.error };
    if (!isDeepStrictEqual(got, wanted)) {
      problems.push(`${id} ended as ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`);
    }
    for (const key of expected.writes) {
      allowed.add(key);
      writes += 1;
      if (!written.has(key)) problems.push(`the statement of ${key} did not take effect`);
    }
    for (const key of expected.calls) if (!calls.has(key)) problems.push(`the call of ${key} was not made`);
    const unexpected = [...calls.keys()].filter((key) => key.startsWith(`${id}:`) && !expected.calls.includes(key));
    for (const key of unexpected) problems.push(`the call of ${key} was made, and the oracle makes none`);
  }
  for (const key of written)
    if (!allowed.has(key)) problems.push(`the statement of ${key} took effect, and the oracle has none`);
  await sql.close();
  return { problems, writes };
}

/** A server outside: it counts the calls of each idempotency key. */
async function startRecorder(): Promise<{
  readonly url: string;
  readonly calls: Map<string, number>;
  close(): Promise<void>;
}> {
  const calls = new Map<string, number>();
  const server = createServer((request, response) => {
    const key = String(request.headers['idempotency-key']);
    calls.set(key, (calls.get(key) ?? 0) + 1);
    request.resume();
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
