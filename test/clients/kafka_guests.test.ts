import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { headersOf, keyBytesOf, type LogRecord, type OutgoingRecord } from '#connectors/connector';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { COMPRESSIONS } from '#connectors/kafka/protocol/compressions';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { pollUntil } from '../conformance/connectors/broker_contract.ts';
import { serviceAddress } from '../integration/service_address.ts';
import { askGuest } from '../support/guests/python_guests.ts';

const address = serviceAddress('TEST_KAFKA_BROKERS');
const signal = new AbortController().signal;
const LIBRARIES = ['confluent', 'aiokafka'] as const;
const PARTITIONS = 5;

async function startBroker(settings: object = {}): Promise<KafkaBroker> {
  const config = kafkaConfigSchema.parse({ kind: 'kafka', brokers: address.split(','), ...settings });
  const broker = new KafkaBroker({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  return broker;
}

let broker: KafkaBroker;
beforeAll(async () => {
  broker = await startBroker();
}, 60_000);
afterAll(() => broker.stop());

interface GuestRecord {
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [string, string | null])[];
  readonly partition: number;
  readonly offset: number;
}

async function freshTopic(partitions = PARTITIONS): Promise<string> {
  const topic = `guests-${randomUUID()}`;
  await broker.ensureTopics([{ name: topic, partitions }]);
  return topic;
}

async function readAll(topic: string, count: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (const partition of await broker.listPartitions(topic)) {
    const reader = await broker.openPartition(topic, partition, { startAt: 'earliest' });
    while (reader.lagRecords() > 0n) records.push(...(await reader.poll({ maxRecords: 500, maxWaitMs: 500, signal })));
    await reader.close();
  }
  expect(records).toHaveLength(count);
  return records;
}

const base64 = (bytes: Buffer | null | undefined): string | null => bytes?.toString('base64') ?? null;

/** What a record holds, as the guests write it. */
const shown = (record: LogRecord): object => ({
  key: base64(keyBytesOf(record)),
  value: record.isTombstone === true ? null : base64(record.value),
  headers: headersOf(record).map(([name, value]) => [name, base64(value)]),
});

/** Every kind of key, value and header. */
const RECORDS = [
  ...Array.from({ length: 40 }, (_, index) => ({
    key: Buffer.from(`key-${index % 7}`),
    value: Buffer.from(`value ${index} ${'x'.repeat(index * 10)}`),
    headers: [] as [string, Buffer | null][],
  })),
  { key: Buffer.from([0, 255, 128, 10]), value: Buffer.from([0xc3, 0x28]), headers: [['h', Buffer.from([255, 0])]] },
  { key: Buffer.from('é€'), value: null, headers: [] },
  {
    key: Buffer.from('k'),
    value: Buffer.alloc(0),
    headers: [
      ['a', Buffer.from('1')],
      ['a', Buffer.from('2')],
      ['b', null],
    ],
  },
] as readonly { key: Buffer; value: Buffer | null; headers: [string, Buffer | null][] }[];

const forGuests = RECORDS.map(({ key, value, headers }) => ({
  key: base64(key),
  value: base64(value),
  headers: headers.map(([name, bytes]) => [name, base64(bytes)]),
}));
const forUs = RECORDS.map(({ key, value, headers }): OutgoingRecord => ({ keyBytes: key, value, headerList: headers }));
const sorted = (values: readonly object[]): string[] => values.map((value) => JSON.stringify(value)).sort();

test.each(LIBRARIES.flatMap((library) => COMPRESSIONS.map((codec) => [library, codec] as const)))(
  'what %s writes with %s is read as it was, and lies where the platform would put it',
  async (library, codec) => {
    const [theirs, ours] = [await freshTopic(), await freshTopic()];
    const { placed, failures } = await askGuest<{
      readonly placed: readonly (readonly [string | null, number, number])[];
      readonly failures: readonly string[];
    }>({ do: `${library}.produce`, brokers: address, topic: theirs, codec, records: forGuests });
    expect(failures).toEqual([]);
    const records = await readAll(theirs, RECORDS.length);
    expect(sorted(records.map(shown))).toEqual(sorted(forGuests));
    await broker.producer.send(ours, forUs);
    const partitionOf = new Map(
      (await readAll(ours, RECORDS.length)).map((one) => [base64(keyBytesOf(one)), one.partition]),
    );
    for (const [key, partition] of placed) expect([key, partitionOf.get(key)]).toEqual([key, String(partition)]);
  },
  60_000,
);

test.each(COMPRESSIONS.map((codec, index) => [codec, LIBRARIES[index % 2] as string] as const))(
  'what the platform writes with %s is read by %s, whose group goes on where it was',
  async (codec, library) => {
    const topic = await freshTopic(1);
    const own = await startBroker({ compression: codec });
    await own.producer.send(topic, forUs);
    await own.stop();
    const consume = {
      do: `${library}.consume`,
      brokers: address,
      topic,
      group: `group-${topic}`,
      count: RECORDS.length,
    };
    const { records } = await askGuest<{ readonly records: readonly GuestRecord[] }>(consume);
    expect(records.map(({ key, value, headers }) => ({ key, value, headers }))).toEqual(forGuests);
    const committed = await broker.committed(consume.group, topic);
    expect(committed).toEqual(new Map([['0', String(RECORDS.length - 1)]]));
    // And the other way: what the platform commits is where the guest goes on.
    await broker.commit(consume.group, topic, new Map([['0', '9']]));
    const again = await askGuest<{ readonly records: readonly GuestRecord[] }>({
      ...consume,
      count: RECORDS.length - 10,
    });
    expect(again.records[0]?.offset).toBe(10);
    expect(again.records).toHaveLength(RECORDS.length - 10);
  },
  60_000,
);

test('of a guest’s transactions only what was committed is read; a read ends where an open one begins', async () => {
  const topic = await freshTopic(1);
  const records = (name: string) =>
    Array.from({ length: 5 }, (_, n) => ({ key: null, value: base64(Buffer.from(`${name} ${n}`)) }));
  const produce = (name: string, end: string) =>
    askGuest({
      ...{ do: 'confluent.produce', brokers: address, topic, codec: 'lz4', records: records(name), end },
      transactional_id: `${topic}-${name}`,
    });
  await produce('committed', 'commit');
  await produce('aborted', 'abort');
  await produce('open', 'leave_open');
  await broker.producer.send(topic, [{ value: 'after the open one' }]);
  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  const seen: string[] = [];
  const giveUpAt = Date.now() + 10_000;
  // As a bounded read does.
  while (reader.lagRecords() > 0n && Date.now() < giveUpAt) {
    seen.push(...(await reader.poll({ maxRecords: 100, maxWaitMs: 500, signal })).map(({ value }) => value.toString()));
  }
  expect(seen).toEqual(Array.from({ length: 5 }, (_, n) => `committed ${n}`));
  expect(reader.lagRecords()).toBe(0n);
  const latest = await broker.openPartition(topic, '0', { startAt: 'latest' });
  expect(latest.lagRecords()).toBe(0n);
  await latest.close();
  await reader.close();
}, 60_000);

test('a compacted topic is read over its gaps', async () => {
  const kafka = new Kafka({ brokers: address.split(','), logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const topic = `compacted-${randomUUID()}`;
  const settings = {
    'cleanup.policy': 'compact',
    'segment.ms': '100',
    'min.cleanable.dirty.ratio': '0.01',
    'max.compaction.lag.ms': '200',
  };
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  await admin.createTopics({
    waitForLeaders: true,
    topics: [{ topic, numPartitions: 1, replicationFactor: 1, configEntries }],
  });
  await admin.disconnect();
  const produce = (values: readonly string[]) =>
    askGuest({
      ...{ do: 'confluent.produce', brokers: address, topic, codec: 'zstd' },
      records: values.map((value, index) => ({
        key: base64(Buffer.from(`k${index % 3}`)),
        value: base64(Buffer.from(value)),
      })),
    });
  for (let round = 0; round < 4; round += 1) await produce(Array.from({ length: 30 }, (_, n) => `round ${round} ${n}`));
  const reader = async (): Promise<LogRecord[]> => {
    const open = await broker.openPartition(topic, '0', { startAt: 'earliest' });
    const records: LogRecord[] = [];
    while (open.lagRecords() > 0n) records.push(...(await open.poll({ maxRecords: 50, maxWaitMs: 500, signal })));
    await open.close();
    return records;
  };
  const giveUpAt = Date.now() + 90_000;
  let records = await reader();
  while (records.length >= 120 && Date.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // A segment is only closed by what comes after it.
    await broker.producer.send(topic, [{ key: 'tick', value: String(Date.now()) }]);
    records = await reader();
  }
  expect(records.length).toBeLessThan(120);
  const newest = new Map(records.map((record) => [record.key, record.value.toString()]));
  expect([newest.get('k0'), newest.get('k1'), newest.get('k2')]).toEqual(['round 3 27', 'round 3 28', 'round 3 29']);
  const offsets = records.map(({ offset }) => offset);
  expect(offsets).toEqual([...offsets].sort((a, b) => (a < b ? -1 : 1)));
  // From the middle of a gap.
  const middle = await broker.openPartition(topic, '0', { resumeAfter: '3' });
  const [next] = await pollUntil(middle, 1);
  expect(next?.offset).toBe(offsets.find((offset) => offset > 3n));
  await middle.close();
}, 120_000);
