import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BrokerConfig, createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import { assetPath } from '#kernel/project_root';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import type { BrokerJob, CountedRow } from './broker_job.ts';

/** What happens to a job and its broker while numbers flow through. */
export interface BrokerScenario {
  readonly broker: BrokerConfig;
  readonly partitions: number;
  /** Numbers sent. */
  readonly events: number;
  /** Times the job is killed with SIGKILL. */
  readonly kills: number;
  /** Called when so much of the numbers (0 to 1) was sent, in order. */
  readonly incidents?: readonly { readonly at: number; readonly happen: (topic: string) => Promise<void> }[];
  /** Numbers sent at once. */
  readonly sendAtOnce?: number;
  /** Sends in another way than the broker's own producer. */
  readonly send?: (topic: string, records: readonly NumberRecord[]) => Promise<void>;
  /** Given up after so long without progress. */
  readonly stallMs: number;
}

export interface NumberRecord {
  readonly key: string;
  readonly value: string;
}

export interface ScenarioOutcome {
  /** What differs from plain arithmetic; empty when all is as it should be. */
  readonly differences: readonly string[];
  readonly elapsedMs: number;
}

const KEYS = 101;
const SEND_AT_ONCE = 500;
const START_WITHIN_MS = 60_000;
/** How long nothing may change before it counts as over. */
const QUIET_MS = 3_000;

/** Sends numbers, kills the job that counts them, and compares what it has counted in the end with plain loops. */
export async function runBrokerScenario(scenario: BrokerScenario): Promise<ScenarioOutcome> {
  const startedMs = Date.now();
  const folder = mkdtempSync(join(tmpdir(), 'chaos-broker-'));
  const topic = `chaos-${Date.now()}-${Math.floor(Math.random() * 1e6)}`;
  const broker = await createBroker({ log: silentLogger, clock: systemClock }, scenario.broker);
  await broker.start(new AbortController().signal);
  const job: BrokerJob = { broker: scenario.broker, topic, folder };
  let child: ChildProcess | undefined;
  try {
    await broker.ensureTopics([{ name: topic, partitions: scenario.partitions }]);
    const sending = sendAll(broker, topic, scenario);
    sending.catch(() => {});
    for (let kill = 0; kill < scenario.kills; kill += 1) {
      child = await start(job);
      await sleep(500 + Math.random() * 1_500);
      await end(child, 'SIGKILL');
    }
    child = await start(job);
    await sending;
    const rows = await settled(folder, scenario.events, scenario.stallMs);
    await end(child, 'SIGTERM');
    return { differences: compare(rows, scenario.events), elapsedMs: Date.now() - startedMs };
  } finally {
    if (child !== undefined) await end(child, 'SIGKILL');
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function sendAll(broker: Broker, topic: string, scenario: BrokerScenario): Promise<void> {
  const { events, incidents = [], sendAtOnce = SEND_AT_ONCE } = scenario;
  const { send = (name, records) => broker.producer.send(name, records) } = scenario;
  const waiting = [...incidents];
  for (let from = 0; from < events; from += sendAtOnce) {
    while (waiting[0] !== undefined && from >= waiting[0].at * events) await waiting.shift()?.happen(topic);
    const records = Array.from({ length: Math.min(sendAtOnce, events - from) }, (_, index) => ({
      key: `key-${(from + index) % KEYS}`,
      value: String(from + index),
    }));
    await send(topic, records);
  }
}

/** As a supervisor does it: a job that cannot begin, because its broker is away, is started again a little later. */
async function start(job: BrokerJob): Promise<ChildProcess> {
  const giveUpAt = Date.now() + START_WITHIN_MS;
  for (;;) {
    const child = spawn(process.execPath, [assetPath('dist/scripts/chaos/broker_job.js'), JSON.stringify(job)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', NODE_NO_WARNINGS: '1' },
    });
    const code = await new Promise<number | null | undefined>((resolve) => {
      child.stdout?.once('data', () => resolve(undefined));
      child.once('exit', resolve);
    });
    if (code === undefined) return child;
    if (Date.now() > giveUpAt) throw new Error(`the job ended with code ${code} before it ran, again and again`);
    await sleep(500);
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

/** What has been counted once the count is right, or too high, and nothing changes any more; or when nothing happens for too long. */
async function settled(folder: string, events: number, stallMs: number): Promise<Map<string, CountedRow>> {
  let total = -1;
  let sinceMs = Date.now();
  for (;;) {
    const rows = readRows(folder);
    const now = [...rows.values()].reduce((sum, [, count]) => sum + count, 0);
    if (now !== total) {
      total = now;
      sinceMs = Date.now();
    }
    if (Date.now() - sinceMs > stallMs) return rows;
    if (total >= events && Date.now() - sinceMs >= QUIET_MS) return rows;
    await sleep(200);
  }
}

/** The newest row of each key; a line that a kill cut short does not count. */
function readRows(folder: string): Map<string, CountedRow> {
  const rows = new Map<string, CountedRow>();
  let text = '';
  try {
    text = readFileSync(join(folder, 'output.jsonl'), 'utf8');
  } catch {
    return rows;
  }
  for (const line of text.split('\n')) {
    try {
      const row = JSON.parse(line) as CountedRow;
      rows.set(row[0], row);
    } catch {
      // The end of the file, or cut short.
    }
  }
  return rows;
}

function compare(rows: ReadonlyMap<string, CountedRow>, events: number): string[] {
  const expected = new Map<string, { count: number; sum: number }>();
  for (let value = 0; value < events; value += 1) {
    const key = `key-${value % KEYS}`;
    const before = expected.get(key) ?? { count: 0, sum: 0 };
    expected.set(key, { count: before.count + 1, sum: before.sum + value });
  }
  const differences: string[] = [];
  for (const [key, { count, sum }] of expected) {
    const [, seenCount, seenSum] = rows.get(key) ?? [key, 0, 0];
    if (seenCount !== count || seenSum !== sum) {
      differences.push(
        `${key}: ${seenCount} numbers adding up to ${seenSum}, where ${count} adding up to ${sum} were sent`,
      );
    }
  }
  for (const key of rows.keys()) if (!expected.has(key)) differences.push(`${key} was never sent`);
  return differences;
}
