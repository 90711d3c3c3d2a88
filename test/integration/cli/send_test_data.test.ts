import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { loadPlatformConfig } from '#cli/project/config/platform_config';
import { createBroker } from '#connectors/catalog';
import { assetPath } from '#kernel/project_root';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { serviceAddress } from '../service_address.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'test-data-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const EVENTS = Array.from({ length: 30 }, (_, index) => ({
  event_id: `e${index}`,
  user_id: `u${index % 3}`,
  event_type: 'transaction',
  timestamp: new Date(Date.now() - 60_000 + index).toISOString(),
  account_id: `a${index % 3}`,
  amount: index + 0.5,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
}));

const suffix = randomUUID().slice(0, 8);

function environmentFor(to: string): Record<string, string> {
  return {
    DATA_DIRECTORY: join(folder, to),
    KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'),
    KINESIS_ENDPOINT: serviceAddress('TEST_KINESIS_ENDPOINT'),
    PUBSUB_EMULATOR_HOST: serviceAddress('TEST_PUBSUB_ADDRESS'),
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    RAW_EVENTS_TOPIC: `raw-${suffix}`,
    FEATURE_EVENTS_TOPIC: `features-${suffix}`,
    DEAD_LETTER_TOPIC: `dead-${suffix}`,
    PREDICTIONS_TOPIC: `predictions-${suffix}`,
  };
}

async function headwater(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const script = assetPath('dist/cli/headwater.js');
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  });
  return stdout.trim().split('\n').at(-1) ?? '';
}

async function recordsOf(to: string): Promise<readonly unknown[]> {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
  const { broker: config, topics } = loadPlatformConfig({ ...process.env, ...environmentFor(to), INGEST_SINK: to });
  const broker = await createBroker({ log: silentLogger, clock: systemClock }, config);
  await broker.start(new AbortController().signal);
  const { signal } = new AbortController();
  const records: Record<string, unknown>[] = [];
  const readers = [];
  for (const partition of await broker.listPartitions(topics.rawEvents)) {
    readers.push(await broker.openPartition(topics.rawEvents, partition, { startAt: 'earliest' }));
  }
  const giveUpAt = Date.now() + 20_000;
  while (records.length < EVENTS.length && Date.now() < giveUpAt) {
    for (const reader of readers) {
      for (const { key, value } of await reader.poll({ maxRecords: 100, maxWaitMs: 250, signal })) {
        const { received_at: receivedAt, ...rest } = JSON.parse(value.toString()) as Record<string, unknown>;
        expect(Date.parse(String(receivedAt))).toBeGreaterThan(Date.now() - 60_000);
        records.push({ key: String(key), ...rest });
      }
    }
  }
  for (const reader of readers) await reader.close();
  await broker.stop();
  return records.sort((a, b) => String(a.event_id).localeCompare(String(b.event_id)));
}

test('the same file sent to any broker is the same records there', async () => {
  const file = join(folder, 'events.json');
  writeFileSync(file, JSON.stringify([...EVENTS, { event_id: 'bad' }, EVENTS[0]]));
  const seen: (readonly unknown[])[] = [];
  for (const to of ['disk_log', 'kafka', 'kinesis', 'pubsub']) {
    const last = await headwater(['events', 'send', '--input-file', file, '--to', to], environmentFor(to));
    expect(JSON.parse(last)).toMatchObject({ accepted: EVENTS.length, duplicate: 1, rejected: 1, failed: 0 });
    seen.push(await recordsOf(to));
  }
  const [first = [], ...others] = seen;
  expect(first).toHaveLength(EVENTS.length);
  expect(first[0]).toMatchObject({ key: 'u0', ...EVENTS[0], source: 'gateway' });
  for (const other of others) expect(other).toEqual(first);
}, 120_000);

test.each(['disk_log', 'kafka'])(
  '%s: the lag is what was produced and not committed',
  async (to) => {
    const env = { ...environmentFor(to), INGEST_SINK: to };
    const lag = JSON.parse(await headwater(['pipelines', 'lag', '--group', `g-${suffix}`, '--json'], env)) as {
      readonly total: number;
    };
    expect(lag.total).toBe(EVENTS.length);
    const config = loadPlatformConfig({ ...process.env, ...env });
    const broker = await createBroker({ log: silentLogger, clock: systemClock }, config.broker);
    await broker.start(new AbortController().signal);
    const topic = config.topics.rawEvents;
    const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
    const read = await reader.poll({ maxRecords: 5, maxWaitMs: 2_000, signal: new AbortController().signal });
    await broker.commit(`g-${suffix}`, topic, new Map([['0', reader.position()]]));
    await reader.close();
    await broker.stop();
    const after = JSON.parse(
      await headwater(['pipelines', 'lag', '--group', `g-${suffix}`, '--json'], env),
    ) as typeof lag;
    expect(read.length).toBeGreaterThan(0);
    expect(after.total).toBe(EVENTS.length - read.length);
  },
  60_000,
);
