import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { createOnlineStore } from '#feature_store/stores';
import { startAll } from '#kernel/lifecycle';
import { assetPath } from '#kernel/project_root';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { STACK_SERVERS, type Stack, startStack } from '#scripts/services/stack';
import { keyOf } from '../support/entity_keys.ts';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

// Everything that serving leans on dies under load, one after the other, and both stores at once.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const ACCOUNTS = 20;
const CALLERS = 4;

let folder: string;
let stack: Stack;
let servers: Stack['servers'];
let env: Readonly<Record<string, string>>;
let features: Record<string, FeatureValue>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'serving-kills-'));
  stack = await startStack(folder);
  servers = stack.servers;
  env = { ...stack.env, ROLES: 'serving' };
  const { examples } = JSON.parse(readFileSync(join(SHIPPED, 'headwater.json'), 'utf8')) as {
    examples: { features: Record<string, FeatureValue> }[];
  };
  features = examples[0]?.features as Record<string, FeatureValue>;
  await headwater('models', 'register', 'fraud_detector', SHIPPED);
  await headwater('models', 'promote', 'fraud_detector', '1', '--force');
}, 300_000);
afterAll(async () => {
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const headwater = (...args: readonly string[]) => runCommand(folder, args, env);

/** The stores, as the platform configures them, with a row of each account. */
async function fillStores(): Promise<{ offline: OfflineDatabase; close(): Promise<void> }> {
  const base = {
    log: silentLogger,
    clock: systemClock,
    views: [fraudView],
    metrics: createMetricsRegistry({ process: false }),
  };
  const online = createOnlineStore(base, {
    ...{ kind: 'redis' as const, keyPrefix: 'headwater' },
    ...redisConfigSchema.parse({ host: env.REDIS_HOST, port: Number(env.REDIS_PORT) }),
  });
  const offline = createOfflineDatabase(base, {
    kind: 'postgres',
    ...postgresConfigSchema.parse({
      ...{ host: env.DATABASE_HOST, port: Number(env.DATABASE_PORT), user: env.DATABASE_USER, database: 'postgres' },
    }),
  });
  const services = await startAll([online, offline], new AbortController().signal);
  const rows = Array.from({ length: ACCOUNTS }, (_, index) => ({
    ...{ view: fraudView.view, version: fraudView.version, entityKey: keyOf(`a${index}`), values: features },
    eventTime: eventTime(Date.now()),
    computedAt: processingTime(Date.now()),
  }));
  await offline.features.write(rows);
  await online.write(rows);
  return { offline, close: async () => services[Symbol.asyncDispose]() };
}

interface Answer {
  readonly kind: 'features' | 'entity';
  readonly phase: string;
  readonly status: number;
  readonly ms: number;
}

test('by features every request is answered; by entity from history, or told at once; nothing of the log is lost untold', async () => {
  const { offline, close } = await fillStores();
  const platform = await PlatformProcess.start(join(folder, 'data'), env);
  const url = `${platform.urls.serving}/predict`;
  const answers: Answer[] = [];
  let phase = 'before';
  let running = true;
  const ask = async (kind: Answer['kind'], body: object): Promise<void> => {
    const began = performance.now();
    const during = phase;
    const answer = await fetch(url, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
    });
    await answer.text();
    answers.push({ kind, phase: during, status: answer.status, ms: performance.now() - began });
  };
  const caller = async (kind: Answer['kind'], first: number): Promise<void> => {
    for (let call = first; running; call += 1) {
      const account = { entity_id: `a${call % ACCOUNTS}` };
      await ask(kind, { model_name: 'fraud_detector', ...(kind === 'features' ? { features } : account) });
      await sleep(2);
    }
  };
  const callers = Array.from({ length: CALLERS }, (_, index) => [caller('features', index), caller('entity', index)]);
  await sleep(1_000);
  for (const name of STACK_SERVERS) {
    phase = name;
    await servers[name].restart(2_500);
    phase = 'between';
    await sleep(1_500);
  }
  phase = 'both stores';
  await Promise.all([servers.redis.restart(2_500), servers.postgres.restart(2_500)]);
  phase = 'between';
  await sleep(2_000);
  running = false;
  await Promise.all(callers.flat());

  const statusesOf = (kind: Answer['kind'], during: string) => {
    const own = answers.filter((answer) => answer.kind === kind && answer.phase === during);
    const good = own.filter(({ status }) => status === 200).length;
    return { asked: own.length, good, others: [...new Set(own.map(({ status }) => status))].filter((s) => s !== 200) };
  };
  const phases = ['before', ...STACK_SERVERS, 'both stores', 'between'];
  for (const each of phases) {
    const { asked, good } = statusesOf('features', each);
    expect([each, good]).toEqual([each, asked]);
    expect(asked).toBeGreaterThan(50);
  }
  // Redis away: history answers; PostgreSQL, MLflow, Kafka away: nobody sees it.
  for (const each of ['before', ...STACK_SERVERS]) {
    const { asked, good, others } = statusesOf('entity', each);
    expect([each, others.filter((status) => status !== 503)]).toEqual([each, []]);
    expect(good / asked).toBeGreaterThan(each === 'redis' ? 0.9 : 0.999);
  }
  const bothAway = statusesOf('entity', 'both stores');
  expect(bothAway.others.filter((status) => status !== 503)).toEqual([]);
  const slowest = Math.max(...answers.filter(({ kind }) => kind === 'features').map(({ ms }) => ms));
  expect(slowest).toBeLessThan(1_000);

  const answered = answers.filter(({ status }) => status === 200).length;
  const dropped = async () => {
    const text = await (await fetch(`${platform.urls.serving}/metrics`)).text();
    return Number(/^prediction_log_dropped_total (\d+)/m.exec(text)?.[1] ?? 0);
  };
  const giveUpAt = Date.now() + 40_000;
  while ((await offline.predictions.count()) + (await dropped()) < answered && Date.now() < giveUpAt) await sleep(200);
  expect((await offline.predictions.count()) + (await dropped())).toBe(answered);
  expect(await platform.terminate()).toBe(0);
  await close();
}, 200_000);

test('two processes behind one port: metrics are of both, one that is lost is replaced, all drain', async () => {
  const platform = await PlatformProcess.start(join(folder, 'data'), { ...env, API_WORKERS: '2' });
  const predict = async (): Promise<number> => {
    const answer = await fetch(`${platform.urls.serving}/predict`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json', connection: 'close' } },
      body: JSON.stringify({ model_name: 'fraud_detector', features }),
    });
    await answer.text();
    return answer.status;
  };
  const workers = async (): Promise<readonly number[]> => {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=', '--ppid', String(platform.pid)]);
    return stdout.trim().split(/\s+/).map(Number);
  };
  const count = 60;
  for (let call = 0; call < count; call += 1) expect(await predict()).toBe(200);
  const text = await (await fetch(`${platform.urls.serving}/metrics`)).text();
  expect(text).toContain(`predictions_total{model="fraud_detector",version="1",variant="production"} ${count}`);
  const before = await workers();
  expect(before).toHaveLength(2);
  process.kill(before[0] as number, 'SIGKILL');
  const giveUpAt = Date.now() + 30_000;
  for (let now = before; now.length < 2 || now.includes(before[0] as number); now = await workers()) {
    if (Date.now() > giveUpAt) throw new Error('the worker was not replaced');
    await sleep(100);
  }
  await sleep(4_000);
  for (let call = 0; call < count; call += 1) expect(await predict()).toBe(200);
  expect(await platform.terminate()).toBe(0);
}, 120_000);

test('several processes share no embedded stores, and only serve', async () => {
  const start = (more: Record<string, string>) =>
    PlatformProcess.start(join(folder, 'other'), { API_WORKERS: '2', ...more });
  await expect(start({ ROLES: 'serving' })).rejects.toThrow('needs stores and a broker that processes share');
  await expect(start({ ...env, ROLES: 'serving,features' })).rejects.toThrow('for processes that only serve');
}, 60_000);
