import { PutRecordCommand } from '@aws-sdk/client-kinesis';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { LogRecord } from '#connectors/connector';
import { aggregate } from '#connectors/kinesis/aggregated_records';
import type { KinesisBroker } from '#connectors/kinesis/kinesis_broker';
import { describeBroker, pollUntil } from '../../conformance/connectors/broker_contract.ts';
import { freshName, Resharding, startKinesisBroker } from './kinesis_client.ts';

const traits = { headers: false, tombstones: false, producerTimes: false, offsets: false };
describeBroker('Kinesis', () => startKinesisBroker(), traits);

let broker: KinesisBroker;
const resharding = new Resharding();
beforeAll(async () => {
  broker = await startKinesisBroker();
}, 30_000);
afterAll(() => broker.stop());

const signal = new AbortController().signal;
const numbers = (records: readonly LogRecord[]): number[] => records.map(({ value }) => Number(value.toString()));

/** Numbers, ten keys in turn. */
async function send(stream: string, from: number, to: number): Promise<void> {
  const records = Array.from({ length: to - from }, (_, index) => ({
    key: `key-${(from + index) % 10}`,
    value: String(from + index),
  }));
  await broker.producer.send(stream, records);
}

/** Follows a stream through its shards' ends until `count` records have come. */
async function follow(stream: string, count: number): Promise<LogRecord[]> {
  const seen: LogRecord[] = [];
  const open = [...(await broker.listPartitions(stream))];
  const giveUpAt = Date.now() + 20_000;
  while (open.length > 0 && seen.length < count && Date.now() < giveUpAt) {
    const partition = open.shift() as string;
    const reader = await broker.openPartition(stream, partition, { startAt: 'earliest' });
    let successors: readonly string[] | undefined;
    while (successors === undefined && seen.length < count && Date.now() < giveUpAt) {
      const records = await reader.poll({ maxRecords: 100, maxWaitMs: 100, signal });
      seen.push(...records);
      successors = reader.successors?.();
      if (records.length === 0 && successors === undefined) break;
    }
    await reader.close();
    open.push(...(successors ?? []));
  }
  return seen;
}

test('a stream that splits and merges is read whole, once, and each key in order', async () => {
  const stream = freshName('reshard');
  await broker.ensureTopics([{ name: stream, partitions: 2 }]);
  await send(stream, 0, 100);
  const [first, second] = await resharding.openShards(stream);
  await resharding.split(stream, first as never);
  await send(stream, 100, 200);
  // Now three: halves of the first, and the second. The upper half and the second become one.
  const open = await resharding.openShards(stream);
  const upper = open.filter(({ ParentShardId }) => ParentShardId === first?.ShardId)[1];
  await resharding.merge(stream, upper as never, second as never);
  await send(stream, 200, 300);
  const seen = await follow(stream, 300);
  expect(numbers(seen).sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, index) => index));
  for (let key = 0; key < 10; key += 1) {
    const ofKey = numbers(seen.filter((record) => record.key === `key-${key}`));
    expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
  }
}, 60_000);

test('an aggregated record is its user records; a position between two of them is kept', async () => {
  const stream = freshName('aggregated');
  await broker.ensureTopics([{ name: stream, partitions: 1 }]);
  const data = aggregate(
    ['a', 'b', 'c', 'd'].map((text, index) => ({ partitionKey: `k${index}`, data: Buffer.from(text) })),
  );
  await resharding.client.send(new PutRecordCommand({ StreamName: stream, PartitionKey: 'whole', Data: data }));
  await broker.producer.send(stream, [{ key: 'k9', value: 'e' }]);
  const [partition] = await broker.listPartitions(stream);
  const reader = await broker.openPartition(stream, partition as string, { startAt: 'earliest' });
  const begun: LogRecord[] = [];
  while (begun.length === 0) begun.push(...(await reader.poll({ maxRecords: 2, maxWaitMs: 200, signal })));
  expect(begun.map(({ key, value }) => [key, value.toString()])).toEqual([
    ['k0', 'a'],
    ['k1', 'b'],
  ]);
  const position = reader.position();
  await reader.close();
  const again = await broker.openPartition(stream, partition as string, { resumeAfter: position });
  const rest = await pollUntil(again, 3);
  expect(rest.map(({ key, value }) => [key, value.toString()])).toEqual([
    ['k2', 'c'],
    ['k3', 'd'],
    ['k9', 'e'],
  ]);
  await again.close();
}, 30_000);

test('a reader that began at the latest record still does so after a restart', async () => {
  const stream = freshName('latest');
  await broker.ensureTopics([{ name: stream, partitions: 1 }]);
  await broker.producer.send(stream, [{ value: 'before' }]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const [partition] = await broker.listPartitions(stream, 'latest');
  const reader = await broker.openPartition(stream, partition as string, { startAt: 'latest' });
  const position = reader.position();
  await reader.close();
  await broker.producer.send(stream, [{ value: 'after' }]);
  const again = await broker.openPartition(stream, partition as string, { resumeAfter: position });
  expect((await pollUntil(again, 1)).map(({ value }) => value.toString())).toEqual(['after']);
  await again.close();
}, 30_000);

test('with a consumer of its own, records are pushed', async () => {
  const own = await startKinesisBroker({ enhancedFanOut: 'tests' });
  const stream = freshName('fan-out');
  await own.ensureTopics([{ name: stream, partitions: 1 }]);
  await own.producer.send(
    stream,
    Array.from({ length: 50 }, (_, index) => ({ key: 'k', value: String(index) })),
  );
  const [partition] = await own.listPartitions(stream);
  const reader = await own.openPartition(stream, partition as string, { startAt: 'earliest' });
  expect(numbers(await pollUntil(reader, 50))).toEqual(Array.from({ length: 50 }, (_, index) => index));
  const position = reader.position();
  await own.producer.send(stream, [{ key: 'k', value: '50' }]);
  expect(numbers(await pollUntil(reader, 1))).toEqual([50]);
  await reader.close();
  const again = await own.openPartition(stream, partition as string, { resumeAfter: position });
  expect(numbers(await pollUntil(again, 1))).toEqual([50]);
  await again.close();
  await own.stop();
}, 60_000);

test.each([
  ['a key of 300 characters', { key: 'k'.repeat(300), value: 'v' }, /key has 1 to 256 characters/],
  [
    '2 MB',
    { key: 'k', value: Buffer.alloc(2 * 1024 * 1024) },
    /has 2097153 bytes with key and headers, and the most is 1048576/,
  ],
  ['a tombstone', { key: 'k', value: null }, /has no tombstones/],
  ['headers', { key: 'k', value: 'v', headers: { a: 'b' } }, /records have no headers/],
])(
  '%s is refused alone: what was sent with it is written',
  async (_, record, problem) => {
    const stream = freshName('refused');
    await broker.ensureTopics([{ name: stream, partitions: 1 }]);
    await expect(broker.producer.send(stream, [{ key: 'fine', value: 'fine' }, record])).rejects.toMatchObject({
      code: 'CONNECTOR_RECORDS_REFUSED',
      message: expect.stringMatching(problem),
    });
    expect((await follow(stream, 1)).map(({ value }) => value.toString())).toEqual(['fine']);
  },
  30_000,
);

test('a wrong address is an error that names it', async () => {
  await expect(startKinesisBroker({ endpoint: 'http://127.0.0.1:1' })).rejects.toMatchObject({
    code: 'CONNECTOR_UNAVAILABLE',
    message: expect.stringContaining('127.0.0.1:1'),
  });
}, 30_000);
