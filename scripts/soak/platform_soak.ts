import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ROLES, type Role } from '#cli/terminal/choices';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import { assetPath, projectRoot } from '#kernel/project_root';
import { readModelFolder } from '#registry/model_folder';
import { run } from '../services/install.ts';
import type { ManagedProcess } from '../services/managed_process.ts';
import { startRoles } from '../services/roles.ts';
import { startStack } from '../services/stack.ts';

// Every role a process of its own on real servers, under events and predictions; each role and each server is killed once. At the end every event
// that was accepted must have its row.

const CLI = assetPath('dist/cli/headwater.js');
const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const EVENTS_A_BATCH = 20;
const BATCH_EVERY_MS = 100;
const PREDICTIONS_A_SECOND = 100;
const ACCOUNTS = 200;
const DOWN_MS = 5_000;
/** So long after a kill a request may fail, or be slow. */
const RECOVERY_MS = 20_000;
const CATCH_UP_MS = 180_000;

interface Figures {
  accepted: number;
  retried: number;
  answered: number;
  /** Refused or broken requests for predictions, during faults and otherwise. */
  failedInFaults: number;
  failedOtherwise: string[];
  latencies: number[];
}

export async function soakPlatform(seconds: number): Promise<{ passed: number; failed: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'headwater-soak-'));
  const stack = await startStack(folder);
  const env = { ...stack.env, LOG_LEVEL: 'warn', NODE_OPTIONS: '' };
  const started: ManagedProcess[] = [];
  try {
    await command(folder, env, 'models', 'register', 'fraud_detector', SHIPPED);
    await command(folder, env, 'models', 'promote', 'fraud_detector', '1', '--force');
    const { roles, ports } = await startRoles(folder, env, ROLES);
    started.push(...Object.values(roles));
    return await soak(seconds, { ...roles, ...stack.servers }, ports, env);
  } finally {
    for (const each of started) await each.stop();
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function soak(
  seconds: number,
  targets: Readonly<Record<string, ManagedProcess>>,
  ports: Readonly<Record<Role, number>>,
  env: Readonly<Record<string, string>>,
): Promise<{ passed: number; failed: number }> {
  const figures: Figures = {
    accepted: 0,
    retried: 0,
    answered: 0,
    failedInFaults: 0,
    failedOtherwise: [],
    latencies: [],
  };
  const expected = new Map<string, Set<number>>();
  const endMs = Date.now() + seconds * 1_000;
  const fault = { untilMs: 0 };
  const traffic = [
    sendEvents(ports.gateway, endMs, figures, expected),
    askForPredictions(ports.serving, endMs, figures, fault),
  ];
  const names = Object.keys(targets);
  const every = (seconds * 1_000) / (names.length + 1);
  for (const [index, name] of names.entries()) {
    await sleep(Math.max(0, endMs - seconds * 1_000 + (index + 1) * every - Date.now()));
    say(`${name} is killed, and away for ${DOWN_MS / 1_000} s`);
    fault.untilMs = Number.POSITIVE_INFINITY;
    await (targets[name] as ManagedProcess).restart(DOWN_MS);
    fault.untilMs = Date.now() + RECOVERY_MS;
    say(`${name} is back; ${figures.accepted} events accepted, ${figures.answered} predictions answered`);
  }
  await Promise.all(traffic);
  const lost = await waitForRows(env, expected);
  const memory = await Promise.all(
    Object.entries(ports).map(async ([role, port]) => [role, await memoryOf(port)] as const),
  );
  const sorted = figures.latencies.sort((a, b) => a - b);
  const p95 = sorted[Math.floor(sorted.length * 0.95)] ?? 0;
  const checks = [
    [`${figures.accepted} events accepted (${figures.retried} sent again), ${lost} of them without a row`, lost === 0],
    [
      `${figures.answered} predictions answered, p95 ${p95.toFixed(1)} ms; ${figures.failedInFaults} failed while something was away`,
      figures.answered > 0,
    ],
    [
      `${figures.failedOtherwise.length} predictions failed while nothing was: ${[...new Set(figures.failedOtherwise)].join('; ')}`,
      figures.failedOtherwise.length === 0,
    ],
    [`memory: ${memory.map(([role, mb]) => `${role} ${mb} MB`).join(', ')}`, memory.every(([, mb]) => mb < 1_000)],
  ] as const;
  for (const [text, holds] of checks) say(`${holds ? 'ok    ' : 'FAILED'} ${text}`);
  const passed = checks.filter(([, holds]) => holds).length;
  return { passed, failed: checks.length - passed };
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Events, each with a time of its own within its account, sent until they are accepted. */
async function sendEvents(
  port: number,
  endMs: number,
  figures: Figures,
  expected: Map<string, Set<number>>,
): Promise<void> {
  const shapes = generateTransactions({ seed: 1, events: 5_000, accounts: ACCOUNTS, days: 1, endMs: Date.now() })
    .filter(({ arrival }) => arrival !== 'invalid')
    .map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  let next = 0;
  let lastMs = 0;
  const sending = new Set<Promise<void>>();
  while (Date.now() < endMs) {
    const events = Array.from({ length: EVENTS_A_BATCH }, () => {
      next += 1;
      lastMs = Math.max(lastMs + 1, Date.now());
      return { ...shapes[next % shapes.length], event_id: `soak-${next}`, timestamp: new Date(lastMs).toISOString() };
    });
    const sent = sendUntilAccepted(port, events, figures, expected).finally(() => sending.delete(sent));
    sending.add(sent);
    await sleep(BATCH_EVERY_MS);
  }
  await Promise.all(sending);
}

async function sendUntilAccepted(
  port: number,
  events: readonly Record<string, unknown>[],
  figures: Figures,
  expected: Map<string, Set<number>>,
): Promise<void> {
  let left = events;
  while (left.length > 0) {
    const statuses = await fetch(`http://127.0.0.1:${port}/ingest/batch`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/x-ndjson' } },
      body: left.map((event) => JSON.stringify(event)).join('\n'),
      signal: AbortSignal.timeout(10_000),
    })
      .then(async (answer) => ((await answer.json()) as { results?: { status: string }[] }).results ?? [])
      .catch(() => []);
    const isIn = (index: number): boolean => /accepted|duplicate/.test(statuses[index]?.status ?? '');
    for (const [index, { account_id: account, timestamp }] of left.entries()) {
      if (!isIn(index)) continue;
      figures.accepted += 1;
      const times = expected.get(account as string) ?? new Set();
      expected.set(account as string, times.add(Date.parse(timestamp as string)));
    }
    left = left.filter((_, index) => !isIn(index));
    if (left.length === 0) return;
    figures.retried += left.length;
    await sleep(500);
  }
}

async function askForPredictions(
  port: number,
  endMs: number,
  figures: Figures,
  fault: { untilMs: number },
): Promise<void> {
  const { examples } = (await readModelFolder(SHIPPED)).package;
  const asking = new Set<Promise<void>>();
  for (let index = 0; Date.now() < endMs; index += 1) {
    const { features } = examples[index % examples.length] as (typeof examples)[number];
    const body = JSON.stringify({ model_name: 'fraud_detector', features, return_probabilities: true });
    const beganMs = performance.now();
    const began = Date.now();
    const asked = fetch(`http://127.0.0.1:${port}/predict`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body, signal: AbortSignal.timeout(5_000) },
    })
      .then(async (answer) => {
        await answer.arrayBuffer();
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        figures.answered += 1;
        figures.latencies.push(performance.now() - beganMs);
      })
      .catch((error: Error) => {
        if (began < fault.untilMs) figures.failedInFaults += 1;
        else figures.failedOtherwise.push(error.message);
      })
      .finally(() => asking.delete(asked));
    asking.add(asked);
    await sleep(1_000 / PREDICTIONS_A_SECOND);
  }
  await Promise.all(asking);
}

/** @returns how many of the events have no row in the end */
async function waitForRows(
  env: Readonly<Record<string, string>>,
  expected: ReadonlyMap<string, Set<number>>,
): Promise<number> {
  const client = new pg.Client({
    ...{
      host: env.DATABASE_HOST,
      port: Number(env.DATABASE_PORT),
      user: env.DATABASE_USER,
      database: env.DATABASE_NAME,
    },
  });
  await client.connect();
  const giveUpAt = Date.now() + CATCH_UP_MS;
  try {
    for (;;) {
      const { rows } = await client.query<{ entity_key: EntityKey; at: string }>(
        `SELECT entity_key, (extract(epoch FROM event_time) * 1000)::bigint::text AS at FROM feature_rows WHERE view = 'fraud' AND version = 1`,
      );
      const found = new Set(rows.map(({ entity_key: entity, at }) => `${idOf(entity)} ${at}`));
      let missing = 0;
      for (const [account, times] of expected) for (const at of times) if (!found.has(`${account} ${at}`)) missing += 1;
      if (missing === 0 || Date.now() > giveUpAt) return missing;
      await sleep(2_000);
    }
  } finally {
    await client.end();
  }
}

async function memoryOf(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Math.round(Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1]) / 1e6);
}

const command = (folder: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<string> =>
  run(process.execPath, [CLI, ...args], {
    cwd: folder,
    env: { ...env, HEADWATER_PROJECT: projectRoot, DATA_DIRECTORY: join(folder, 'cli') },
  });
