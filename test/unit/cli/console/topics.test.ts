import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Letters } from '#cli/roles/console/letters';
import { Topics, unreadSince } from '#cli/roles/console/topics';
import { DeadLetterQueue } from '#connectors/dead_letters/dead_letters';
import { diskLogConfigSchema } from '#connectors/disk_log/config';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';

// Topics and dead letters as the console shows them, on a log on disk.

const [GROUP, TOPIC, LETTERS] = ['readers', 'events', 'letters'];
let folder: string;
let broker: DiskLog;
let topics: Topics;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'console-topics-'));
  broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    diskLogConfigSchema.parse({ kind: 'disk_log', directory: folder }),
  );
  await broker.start();
  await broker.ensureTopics([
    { name: TOPIC, partitions: 3 },
    { name: LETTERS, partitions: 1 },
  ]);
  topics = new Topics(
    broker,
    [
      { topic: TOPIC, what: 'events', group: GROUP },
      { topic: LETTERS, what: 'letters', group: undefined },
    ],
    systemClock,
  );
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

const statusOf = async (topic: string) => (await topics.list()).find((each) => each.topic === topic);

test('a partition is slow when it is behind and the others are not', async () => {
  const records = Array.from({ length: 1_200 }, (_, index) => ({ key: `key ${index}`, value: `{"n":${index}}` }));
  await broker.producer.send(TOPIC, records);
  const all = await statusOf(TOPIC);
  // Nothing was read yet: all are behind alike.
  expect(all?.partitions.map(({ isSlow }) => isSlow)).toEqual([false, false, false]);
  expect(all?.partitions.reduce((sum, { lag = 0 }) => sum + lag, 0)).toBe(1_200);
  const positions = new Map<string, string>();
  for (const { partition } of (all?.partitions ?? []).slice(1)) {
    const reader = await broker.openPartition(TOPIC, partition, { startAt: 'earliest' });
    const { signal } = new AbortController();
    while (reader.lagRecords() > 0n) await reader.poll({ maxRecords: 500, maxWaitMs: 100, signal });
    positions.set(partition, reader.position());
    await reader.close();
  }
  await broker.commit(GROUP, TOPIC, positions);
  const now = await statusOf(TOPIC);
  expect(now?.partitions.map(({ isSlow }) => isSlow)).toEqual([true, false, false]);
  expect(now?.partitions[0]?.lag).toBe(Number(now?.partitions[0]?.end));
  expect(await unreadSince(broker, GROUP, TOPIC, systemClock.now() - 60_000)).toBe(now?.partitions[0]?.lag);
});

test('the newest messages are decoded where they can be', async () => {
  await broker.producer.send(TOPIC, [
    { key: 'a', value: '{"amount":1}' },
    { key: 'a', value: 'plain' },
    { key: 'a', value: Buffer.from([0xff, 0xfe]) },
  ]);
  const found = await topics.newest(TOPIC, undefined, 3);
  expect(found.map(({ value }) => value)).toEqual([undefined, 'plain', { amount: 1 }]);
  const [{ partition = '' } = {}] = found;
  const own = await topics.newest(TOPIC, partition, 50);
  expect(new Set(own.map((each) => each.partition))).toEqual(new Set([partition]));
  await expect(topics.newest('other', undefined, 3)).rejects.toThrow(/has no topic other/);
});

test('a letter is read whole, mended and sent to where it came from, with its key and headers; others are refused with the reason', async () => {
  const letters = new Letters(new DeadLetterQueue(broker, LETTERS), broker, TOPIC);
  const letter = {
    reason: 'amount: must be a number',
    stage: 'gateway.validate',
    attempt: 2,
    timestamp: new Date().toISOString(),
  };
  const origin = {
    topic: TOPIC,
    partition: '0',
    offset: '7',
    key: 'a',
    headers: [['trace', Buffer.from('t').toString('base64')]],
  };
  await broker.producer.send(LETTERS, [
    { value: JSON.stringify({ ...letter, payload: '{"amount":"much"}', origin }) },
    { value: JSON.stringify({ ...letter, payload: 'x'.repeat(5_000), isCut: true }) },
    { value: JSON.stringify({ ...letter, stage: 'sink.offline', payload: '{}' }) },
    { value: 'no letter' },
  ]);
  expect(await letters.letter('0/0')).toMatchObject({
    payload: '{"amount":"much"}',
    origin: `${TOPIC}/0/7`,
    locked: undefined,
  });
  expect((await letters.letter('0/1')).payload).toHaveLength(5_000);
  expect(await letters.resend('0/0', '{"amount":7}')).toEqual({ topic: TOPIC });
  const [sent] = await topics.newest(TOPIC, undefined, 1);
  expect(sent).toMatchObject({ key: 'a', value: { amount: 7 }, headers: { trace: 't', 'headwater-attempts': '2' } });
  await expect(letters.resend('0/1', '{}')).rejects.toThrow(/only the beginning/);
  await expect(letters.resend('0/2', '{}')).rejects.toThrow(/a store that refused it/);
  await expect(letters.resend('0/3', '{}')).rejects.toThrow(/no dead letter/);
  await expect(letters.letter('0/99')).rejects.toThrow(/there is no dead letter 0\/99/);
});
