import { randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { CompressionTypes, Kafka, logLevel } from 'kafkajs';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { describeBroker, pollUntil } from '../../conformance/connectors/broker_contract.ts';
import { serviceAddress } from '../service_address.ts';

const brokers = serviceAddress('TEST_KAFKA_BROKERS').split(',');

async function startBroker(): Promise<KafkaBroker> {
  const config = kafkaConfigSchema.parse({ kind: 'kafka', brokers });
  const broker = new KafkaBroker({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  return broker;
}

describeBroker('Kafka', startBroker);

test('of transactions only what was committed is read; compressed batches are read', async () => {
  const broker = await startBroker();
  const topic = `transactions-${randomUUID()}`;
  await broker.ensureTopics([{ name: topic, partitions: 1 }]);
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 10 } });
  const producer = kafka.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (const [value, isCommitted] of [
    ['aborted', false],
    ['committed', true],
  ] as const) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ key: 'k', value }] });
    await (isCommitted ? transaction.commit() : transaction.abort());
  }
  await producer.disconnect();
  const plain = kafka.producer();
  await plain.connect();
  const messages = Array.from({ length: 100 }, (_, index) => ({
    key: 'k',
    value: `packed ${index}`,
    headers: { h: 'v' },
  }));
  await plain.send({ topic, messages, compression: CompressionTypes.GZIP });
  await plain.disconnect();
  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  const records = await pollUntil(reader, 101);
  expect(records.map(({ value }) => value.toString())).toEqual(['committed', ...messages.map(({ value }) => value)]);
  expect(records.at(-1)?.headers).toEqual({ h: 'v' });
  expect(reader.lagRecords()).toBe(0n);
  await broker.stop();
}, 60_000);

test('a record that is too large for the topic is refused, and says so; others go on', async () => {
  const broker = await startBroker();
  const topic = `large-${randomUUID()}`;
  await broker.ensureTopics([{ name: topic, partitions: 1 }]);
  const large = broker.producer.send(topic, [{ key: 'k', value: Buffer.alloc(10_000_000) }]);
  const small = Array.from({ length: 50 }, (_, index) =>
    broker.producer.send(topic, [{ key: 'k', value: `v${index}` }]),
  );
  await expect(large).rejects.toMatchObject({ code: 'CONNECTOR_RECORD_TOO_LARGE' });
  await Promise.all(small);
  await broker.producer.send(topic, [{ key: 'k', value: 'after' }]);
  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  expect((await pollUntil(reader, 51)).map(({ value }) => value.toString())).toEqual([
    ...small.map((_, index) => `v${index}`),
    'after',
  ]);
  await broker.stop();
}, 60_000);

test('what one topic is given while a request for another is under way is sent after it', async () => {
  const broker = await startBroker();
  const topics = ['first', 'second', 'third'].map((name) => `${name}-${randomUUID()}`);
  await broker.ensureTopics(topics.map((name) => ({ name, partitions: 1 })));
  const send = (topic: string, value: string): Promise<void> => broker.producer.send(topic, [{ key: 'k', value }]);
  for (const topic of topics) await send(topic, 'opened');
  for (let round = 0; round < 100; round += 1) {
    const sends: Promise<void>[] = [];
    for (const topic of topics) {
      sends.push(send(topic, String(round)));
      // The request of the one before is on its way, and knows nothing of this topic.
      for (let turn = 0; turn < round % 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(sends);
  }
  await broker.stop();
}, 30_000);

test('a broker that is not there is named', async () => {
  const config = { kind: 'kafka', brokers: ['127.0.0.1:1'], connectionTimeoutMs: 200 };
  const nowhere = new KafkaBroker({ log: silentLogger, clock: systemClock }, kafkaConfigSchema.parse(config));
  await expect(nowhere.start()).rejects.toMatchObject({
    code: 'CONNECTOR_UNAVAILABLE',
    message: expect.stringContaining('127.0.0.1:1'),
  });
}, 60_000);

test('a transactional producer’s records are seen all or none', async () => {
  const broker = await startBroker();
  const topic = `all-or-none-${randomUUID()}`;
  await broker.ensureTopics([{ name: topic, partitions: 2 }]);
  const producer = broker.transactional(topic);
  const batch = (name: string) => Array.from({ length: 20 }, (_, index) => ({ key: `k${index}`, value: name }));
  await producer.send(topic, batch('first'));
  // The first records are sent before the broker refuses the last.
  const poisoned = [...batch('poisoned'), { key: 'large', value: Buffer.alloc(3_000_000) }];
  await expect(producer.send(topic, poisoned)).rejects.toMatchObject({ code: expect.stringMatching(/^CONNECTOR_/) });
  await Promise.all([producer.send(topic, batch('second')), producer.send(topic, batch('third'))]);
  const seen: string[] = [];
  for (const partition of await broker.listPartitions(topic)) {
    const reader = await broker.openPartition(topic, partition, { startAt: 'earliest' });
    seen.push(...(await pollUntil(reader, 60, 1_500)).map(({ value }) => value.toString()));
    await reader.close();
  }
  const count = (name: string): number => seen.filter((value) => value === name).length;
  expect([count('first'), count('poisoned'), count('second'), count('third')]).toEqual([20, 0, 20, 20]);
  await broker.stop();
}, 60_000);
