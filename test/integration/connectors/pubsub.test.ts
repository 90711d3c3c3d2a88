import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { LogRecord, SourcePartition } from '#connectors/connector';
import { pubSubConfigSchema } from '#connectors/pubsub/config';
import { PubSubBroker } from '#connectors/pubsub/pubsub_broker';
import { silentLogger } from '#monitoring/log';
import { describeBroker, pollUntil } from '../../conformance/connectors/broker_contract.ts';
import { serviceAddress } from '../service_address.ts';

async function start(more: object = {}): Promise<PubSubBroker> {
  const config = pubSubConfigSchema.parse({
    kind: 'pubsub',
    projectId: 'test',
    emulator: serviceAddress('TEST_PUBSUB_ADDRESS'),
    ackDeadlineSeconds: 2,
    ...more,
  });
  const broker = new PubSubBroker({ log: silentLogger }, config);
  await broker.start();
  return broker;
}

const traits = { headers: true, tombstones: true, bytes: true, producerTimes: false, offsets: false };
describeBroker('Pub/Sub', () => start(), traits);

const signal = new AbortController().signal;
const texts = (records: readonly LogRecord[]): string[] => records.map(({ value }) => value.toString());
const fresh = (): string => `topic-${randomUUID()}`;

let broker: PubSubBroker;
beforeAll(async () => {
  broker = await start();
}, 30_000);
afterAll(() => broker.stop());

async function topicWith(of: PubSubBroker, values: readonly string[]): Promise<string> {
  const topic = fresh();
  await of.ensureTopics([{ name: topic, partitions: 1 }]);
  await of.producer.send(
    topic,
    values.map((value) => ({ key: 'k', value })),
  );
  return topic;
}

/** Nothing more comes for a while. */
async function expectQuiet(reader: SourcePartition, ms: number): Promise<void> {
  const giveUpAt = Date.now() + ms;
  while (Date.now() < giveUpAt)
    expect(texts(await reader.poll({ maxRecords: 10, maxWaitMs: 100, signal }))).toEqual([]);
}

test('records that no snapshot holds come again; those in a position are dropped when they do', async () => {
  const topic = await topicWith(broker, ['a', 'b', 'c', 'd']);
  const first = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  const begun: LogRecord[] = [];
  while (begun.length < 2) begun.push(...(await first.poll({ maxRecords: 2 - begun.length, maxWaitMs: 500, signal })));
  const position = first.position();
  // Read, but after the snapshot; then the process is gone.
  await pollUntil(first, 2);
  await sleep(250);
  await first.close();
  const second = await broker.openPartition(topic, '0', { resumeAfter: position });
  expect(texts(await pollUntil(second, 2)).sort()).toEqual(['c', 'd']);
  await broker.commit('g', topic, new Map([['0', second.position()]]));
  // Longer than the deadline for acknowledgements.
  await expectQuiet(second, 3_000);
  await second.close();
  const third = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  await expectQuiet(third, 1_000);
  await third.close();
}, 60_000);

test('while records are held, their leases are extended: they do not come again', async () => {
  const topic = await topicWith(broker, ['a', 'b']);
  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  const other = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  const seen: LogRecord[] = [];
  while (seen.length < 2) {
    for (const one of [reader, other]) seen.push(...(await one.poll({ maxRecords: 10, maxWaitMs: 100, signal })));
  }
  await sleep(3_000);
  await expectQuiet(reader, 500);
  await expectQuiet(other, 500);
  expect(texts(seen).sort()).toEqual(['a', 'b']);
  await reader.close();
  await other.close();
}, 60_000);

test('twins by an id attribute are one record', async () => {
  const own = await start({ idAttribute: 'event-id' });
  const topic = fresh();
  await own.ensureTopics([{ name: topic, partitions: 1 }]);
  for (const value of ['first', 'again']) {
    await own.producer.send(topic, [{ value, headers: { 'event-id': '17' } }]);
  }
  await own.producer.send(topic, [{ value: 'other', headers: { 'event-id': '18' } }]);
  const reader = await own.openPartition(topic, '0', { startAt: 'earliest' });
  const records = await pollUntil(reader, 2);
  await expectQuiet(reader, 500);
  expect(new Set(records.map(({ headers }) => headers['event-id']))).toEqual(new Set(['17', '18']));
  await own.commit('g', topic, new Map([['0', reader.position()]]));
  // A twin that comes after it was acknowledged.
  await own.producer.send(topic, [{ value: 'late twin', headers: { 'event-id': '17' } }]);
  await expectQuiet(reader, 1_000);
  await own.stop();
}, 60_000);

test('what is delivered too often goes to the dead-letter topic', async () => {
  const dead = fresh();
  const own = await start({ deadLetter: { topic: dead, mostDeliveries: 5 }, ordering: false });
  await own.ensureTopics([{ name: dead, partitions: 1 }]);
  const topic = await topicWith(own, ['poison']);
  for (let delivery = 0; delivery < 5; delivery += 1) {
    const reader = await own.openPartition(topic, '0', { startAt: 'earliest' });
    await pollUntil(reader, 1);
    // The client confirms what has come; a close before that would be overtaken by it.
    await sleep(250);
    await reader.close();
  }
  const letters = await own.openPartition(dead, '0', { startAt: 'earliest' });
  expect(texts(await pollUntil(letters, 1))).toEqual(['poison']);
  await own.stop();
}, 60_000);

test('the oldest record that is not acknowledged is known by its time', async () => {
  const before = Date.now();
  const topic = await topicWith(broker, ['a']);
  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  expect(reader.oldestPendingMs?.()).toBeUndefined();
  await pollUntil(reader, 1);
  await sleep(600);
  expect(Math.abs((reader.oldestPendingMs?.() ?? 0) - before)).toBeLessThan(5_000);
  await broker.commit('g', topic, new Map([['0', reader.position()]]));
  await sleep(600);
  expect(reader.oldestPendingMs?.()).toBeUndefined();
  await reader.close();
}, 30_000);

test('a reader can start at a time: the subscription is sought there', async () => {
  const topic = await topicWith(broker, ['old']);
  await sleep(50);
  const at = Date.now();
  await sleep(50);
  await broker.producer.send(topic, [{ value: 'new' }]);
  const reader = await broker.openPartition(topic, '0', { startAt: { timestampMs: at } });
  expect(texts(await pollUntil(reader, 1))).toEqual(['new']);
  await expectQuiet(reader, 500);
  await reader.close();
}, 30_000);

test.each([
  [
    '11 MB',
    { value: Buffer.alloc(11 * 1024 * 1024) },
    /has 11535360 bytes with key and headers, and the most is 10485760/,
  ],
  [
    'a key of 2,000 bytes',
    { key: 'k'.repeat(2_000), value: 'v' },
    /key has 2000 bytes, and the most for an ordering key is 1024/,
  ],
  ['a header of ours', { value: 'v', headers: { 'headwater-key': 'x' } }, /header headwater-key is the platform's own/],
])(
  '%s is refused alone: what was sent with it is written',
  async (_, record, problem) => {
    const topic = await topicWith(broker, []);
    await expect(broker.producer.send(topic, [{ value: 'fine' }, record])).rejects.toMatchObject({
      code: 'CONNECTOR_RECORDS_REFUSED',
      message: expect.stringMatching(problem),
    });
    const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
    expect(texts(await pollUntil(reader, 1))).toEqual(['fine']);
    await reader.close();
  },
  30_000,
);

test('streams grow with what waits, up to the most, and one is left when it is read', async () => {
  const own = await start({ ordering: false, ackDeadlineSeconds: 60, mostStreams: 3, mostOutstanding: 1_500 });
  const topic = fresh();
  await own.ensureTopics([{ name: topic, partitions: 1 }]);
  let count = 0;
  const sendMore = async (more: number): Promise<void> => {
    await own.producer.send(
      topic,
      Array.from({ length: more }, () => ({ value: String(count++) })),
    );
  };
  await sendMore(500);
  const reader = await own.openPartition(topic, '0', { startAt: 'earliest' });
  const seen = new Set<string>();
  const workers: number[] = [reader.workers?.() ?? 0];
  const poll = async (): Promise<void> => {
    for (const { value } of await reader.poll({ maxRecords: 500, maxWaitMs: 200, signal })) seen.add(value.toString());
    workers.push(reader.workers?.() ?? 0);
  };
  const giveUpAt = Date.now() + 90_000;
  // Nothing is acknowledged, and more comes: in the end each stream is full of what it holds, however fast it is read.
  while (workers.at(-1) !== 3 && Date.now() < giveUpAt) {
    await poll();
    if (count < 20_000) await sendMore(100);
  }
  while ((seen.size < count || workers.at(-1) !== 1) && Date.now() < giveUpAt) {
    await poll();
    await own.commit('g', topic, new Map([['0', reader.position()]]));
  }
  expect(seen.size).toBe(count);
  expect(workers[0]).toBe(1);
  expect(Math.max(...workers)).toBe(3);
  expect(workers.at(-1)).toBe(1);
  await own.stop();
}, 120_000);
