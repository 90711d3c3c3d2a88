import { randomUUID } from 'node:crypto';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import type { UnreadableBatchError } from '#connectors/kafka/errors';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { BrokerSource, type BrokerSourceSettings } from '#pipelines/io/broker_source';
import { createSourceMetrics } from '#pipelines/io/source_metrics';
import { createPipeline } from '#pipelines/model/pipeline';
import { read } from '#pipelines/model/transforms';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { startKafka } from '#scripts/services/servers';
import { pollUntil } from '../../conformance/connectors/broker_contract.ts';

// What becomes of topics behind readers and producers: created again, grown, cut, damaged on the server's disk.

let folder: string;
let server: Awaited<ReturnType<typeof startKafka>>;
let address: string;
let admin: Admin;
let broker: KafkaBroker;

async function startBroker(settings: object = {}): Promise<KafkaBroker> {
  const config = kafkaConfigSchema.parse({ kind: 'kafka', brokers: [address], metadataMaxAgeMs: 300, ...settings });
  const started = new KafkaBroker({ log: silentLogger, clock: systemClock }, config);
  await started.start();
  return started;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafka-topics-'));
  server = await startKafka(folder);
  address = server.env.TEST_KAFKA_BROKERS as string;
  admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, retry: { retries: 12 } }).admin();
  await admin.connect();
  broker = await startBroker();
}, 120_000);
afterAll(async () => {
  await broker.stop();
  await admin.disconnect();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

const signal = new AbortController().signal;
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({ key: `k${from + index}`, value: String(from + index) }));
const texts = (from: number, to: number): string[] => numbers(from, to).map(({ value }) => value);
const byNumber = (a: string, b: string): number => Number(a) - Number(b);

async function freshTopic(partitions = 1): Promise<string> {
  const topic = `topics-${randomUUID()}`;
  await broker.ensureTopics([{ name: topic, partitions }]);
  return topic;
}

async function createAgain(topic: string, partitions: number): Promise<void> {
  await admin.deleteTopics({ topics: [topic] });
  const giveUpAt = Date.now() + 30_000;
  for (;;) {
    // Its deletion takes a while.
    const isCreated = await admin
      .createTopics({ waitForLeaders: false, topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] })
      .catch(() => false);
    if (isCreated) break;
    if (Date.now() > giveUpAt) throw new Error(`${topic} was not created again`);
    await sleep(100);
  }
  // A loaded broker does not know it at once.
  const count = (): Promise<number> =>
    broker.listPartitions(topic).then(
      ({ length }) => length,
      () => 0,
    );
  while ((await count()) !== partitions && Date.now() < giveUpAt) await sleep(100);
  await sleep(500);
}

async function deleteBefore(topic: string, offset: string): Promise<void> {
  const own = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
  await own.connect();
  // It knows leaders of topics only that it was asked about.
  await own.fetchTopicOffsets(topic);
  await own.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] });
  await own.disconnect();
}

async function valuesOf(of: KafkaBroker, topic: string): Promise<string[]> {
  const values: string[] = [];
  for (const partition of await of.listPartitions(topic)) {
    const reader = await of.openPartition(topic, partition, { startAt: 'earliest' });
    while (reader.lagRecords() > 0n) {
      values.push(
        ...(await reader.poll({ maxRecords: 500, maxWaitMs: 300, signal })).map(({ value }) => value.toString()),
      );
    }
    await reader.close();
  }
  return values.sort(byNumber);
}

interface Job {
  readonly seen: Collected<string>[];
  readonly metrics: ReturnType<typeof createMetricsRegistry>;
  readonly settings: BrokerSourceSettings<string>;
}

function jobOver(topic: string, more: Partial<BrokerSourceSettings<string>> = {}): Job {
  const metrics = createMetricsRegistry({ process: false });
  const settings: BrokerSourceSettings<string> = {
    ...{ topics: [topic], group: `group-${topic}`, startAt: 'earliest', outOfOrderMs: 0, idleAfterMs: 1_000 },
    ...{ discoverEveryMs: 200, maxWaitMs: 100, metrics: createSourceMetrics(metrics) },
    decode: ({ value, timestampMs }) => ({ element: value.toString(), eventTimeMs: timestampMs }),
    ...more,
  };
  return { seen: [], metrics, settings };
}

const running = new Set<PipelineHandle>();
afterEach(async () => {
  for (const handle of running) await handle.cancel();
  running.clear();
});

function run(job: Job): PipelineHandle {
  const handle = runEmbedded(graphOf(job));
  running.add(handle);
  return handle;
}

const graphOf = ({ settings, seen }: Job) =>
  createPipeline((root) =>
    collectInto(root.apply(read('numbers', new BrokerSource(broker, settings), 'Numbers')), seen),
  );

async function until(what: string, isSo: () => boolean, withinMs = 30_000): Promise<void> {
  const giveUpAt = Date.now() + withinMs;
  while (!isSo()) {
    if (Date.now() > giveUpAt) throw new Error(`${what} did not come within ${withinMs} ms`);
    await sleep(20);
  }
}

test('a topic that is created again under a job is read from its start', async () => {
  const topic = await freshTopic(2);
  const job = jobOver(topic);
  const handle = run(job);
  await broker.producer.send(topic, numbers(0, 100));
  await until('the first hundred', () => job.seen.length === 100);
  await createAgain(topic, 2);
  // As many as there were, and more: by offsets alone none of the first hundred would be seen.
  const own = await startBroker();
  await own.producer.send(topic, numbers(100, 250));
  await own.stop();
  await until('all of the new topic', () => job.seen.length >= 250, 60_000);
  await handle.cancel();
  expect(job.seen.map(({ value }) => value).sort(byNumber)).toEqual(texts(0, 250));
  expect(await job.metrics.metrics()).toMatch(/source_topics_recreated_total\{topic="topics-[^"]*"\} 2/);
}, 120_000);

test('a position in a topic that was created again while nothing ran is the beginning of the new one', async () => {
  const topic = await freshTopic();
  await broker.producer.send(topic, numbers(0, 62));
  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  await pollUntil(reader, 62);
  const position = reader.position();
  await broker.commit('stopped', topic, new Map([['0', position]]));
  await reader.close();
  await createAgain(topic, 1);
  const own = await startBroker();
  await own.producer.send(topic, numbers(62, 162));
  const again = await own.openPartition(topic, '0', { resumeAfter: position });
  expect((await pollUntil(again, 100)).map(({ value }) => value.toString())).toEqual(texts(62, 162));
  expect(again.recreations?.()).toBe(1);
  await own.stop();
}, 120_000);

test.each([
  ['fewer', 4, 1],
  ['as many', 2, 2],
  ['more', 1, 4],
])(
  'a producer survives a topic created again with %s partitions',
  async (_, before, after) => {
    const topic = await freshTopic(before);
    await broker.producer.send(topic, numbers(0, 40));
    await createAgain(topic, after);
    const sends: Promise<void>[] = [];
    for (let round = 0; round < 20; round += 1) {
      sends.push(broker.producer.send(topic, numbers(40 + round * 10, 50 + round * 10)));
      await sleep(20);
    }
    await Promise.all(sends);
    await sleep(500);
    await broker.producer.send(topic, numbers(240, 300));
    expect(await valuesOf(broker, topic)).toEqual(texts(40, 300));
    const reader = await startBroker();
    expect(await reader.listPartitions(topic)).toHaveLength(after);
    await reader.stop();
  },
  120_000,
);

test('partitions that are added are found by producers and by jobs', async () => {
  const topic = await freshTopic(1);
  const job = jobOver(topic);
  const handle = run(job);
  await broker.producer.send(topic, numbers(0, 10));
  await admin.createPartitions({ topicPartitions: [{ topic, count: 6 }] });
  const giveUpAt = Date.now() + 20_000;
  const used = async (): Promise<number> => {
    let filled = 0;
    for (const partition of await broker.listPartitions(topic)) {
      // Its leader may not be elected yet.
      const reader = await broker.openPartition(topic, partition, { startAt: 'earliest' }).catch(() => undefined);
      if (reader !== undefined && reader.lagRecords() > 0n) filled += 1;
      await reader?.close();
    }
    return filled;
  };
  let sent = 10;
  while ((await used()) < 6 && Date.now() < giveUpAt) {
    await broker.producer.send(topic, numbers(sent, sent + 50));
    sent += 50;
    await sleep(200);
  }
  expect(await used()).toBe(6);
  await until('all of them', () => job.seen.length >= sent);
  await handle.cancel();
  expect(job.seen.map(({ value }) => value).sort(byNumber)).toEqual(texts(0, sent));
}, 90_000);

test.each(['earliest', 'latest', 'fail'] as const)(
  'retention has passed a stopped job: %s',
  async (offsetOutOfRange) => {
    const topic = await freshTopic(1);
    await broker.producer.send(topic, numbers(0, 50));
    const first = await broker.openPartition(topic, '0', { startAt: 'earliest' });
    await first.poll({ maxRecords: 10, maxWaitMs: 5_000, signal });
    await broker.commit(`group-${topic}`, topic, new Map([['0', first.position()]]));
    await first.close();
    await deleteBefore(topic, '30');
    const job = jobOver(topic, { startAt: 'committed', bounded: true, offsetOutOfRange });
    const running = runToEnd((root) =>
      collectInto(root.apply(read('numbers', new BrokerSource(broker, job.settings), 'Numbers')), job.seen),
    );
    if (offsetOutOfRange === 'fail') {
      const message = expect.stringMatching(
        /does not hold offset 10; it holds 30 up to 50.*pipeline\.offsetOutOfRange/,
      );
      await expect(running).rejects.toMatchObject({ cause: { code: 'CONNECTOR_OFFSET_OUT_OF_RANGE', message } });
      return;
    }
    await running;
    const expected = offsetOutOfRange === 'earliest' ? texts(30, 50) : [];
    expect(job.seen.map(({ value }) => value)).toEqual(expected);
    const shown = await job.metrics.metrics();
    const lost = offsetOutOfRange === 'earliest' ? 20 : 40;
    expect(shown).toMatch(new RegExp(`source_records_lost_total\\{topic="${topic}"\\} ${lost}`));
    expect(shown).toMatch(new RegExp(`source_gaps_total\\{topic="${topic}"\\} 1`));
  },
  60_000,
);

test('a batch damaged on the server’s disk is named, and set aside where that is the policy', async () => {
  const topic = await freshTopic(1);
  for (let batch = 0; batch < 3; batch += 1) await broker.producer.send(topic, numbers(batch * 10, batch * 10 + 10));
  const log = join(folder, 'logs', `${topic}-0`);
  const [segment] = (await readdir(log)).filter((name) => name.endsWith('.log'));
  const file = await open(join(log, segment as string), 'r+');
  const { size } = await file.stat();
  // A byte of a record in the middle batch.
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, Math.floor(size / 2));
  await file.write(Buffer.from([(byte[0] as number) ^ 0x10]), 0, 1, Math.floor(size / 2));
  await file.close();

  const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
  expect((await pollUntil(reader, 10)).map(({ value }) => value.toString())).toEqual(texts(0, 10));
  for (let time = 0; time < 2; time += 1) {
    await expect(reader.poll({ maxRecords: 10, maxWaitMs: 2_000, signal })).rejects.toMatchObject({
      code: 'CONNECTOR_UNREADABLE_BATCH',
      retryable: false,
      topic,
      partition: '0',
      offset: 10n,
      lastOffset: 19n,
      reason: 'its checksum is wrong',
    });
  }
  expect(reader.position()).toMatch(/^9@/);
  await reader.close();

  const failing = jobOver(topic, { bounded: true });
  await expect(
    runToEnd((root) =>
      collectInto(root.apply(read('numbers', new BrokerSource(broker, failing.settings), 'Numbers')), failing.seen),
    ),
  ).rejects.toMatchObject({ cause: { code: 'CONNECTOR_UNREADABLE_BATCH' } });
  const aside: UnreadableBatchError[] = [];
  const job = jobOver(topic, {
    bounded: true,
    unreadable: (error) => {
      aside.push(error);
      return `set aside ${error.offset} to ${error.lastOffset}`;
    },
  });
  await runToEnd((root) =>
    collectInto(root.apply(read('numbers', new BrokerSource(broker, job.settings), 'Numbers')), job.seen),
  );
  const values = job.seen.map(({ value }) => value);
  expect(values).toEqual([...texts(0, 10), 'set aside 10 to 19', ...texts(20, 30)]);
  expect(aside[0]?.batch.readBigInt64BE(0)).toBe(10n);
}, 60_000);

test('two hundred partitions share a handful of connections', async () => {
  const topic = await freshTopic(200);
  const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  const own = await startBroker();
  const before = sockets();
  await own.producer.send(topic, numbers(0, 2_000));
  const readers = await Promise.all(
    Array.from({ length: 200 }, (_, partition) => own.openPartition(topic, String(partition), { startAt: 'earliest' })),
  );
  const seen: string[] = [];
  const giveUpAt = Date.now() + 60_000;
  while (seen.length < 2_000 && Date.now() < giveUpAt) {
    const polled = await Promise.all(readers.map((one) => one.poll({ maxRecords: 100, maxWaitMs: 200, signal })));
    seen.push(...polled.flat().map(({ value }) => value.toString()));
  }
  expect(seen.sort(byNumber)).toEqual(texts(0, 2_000));
  expect(sockets() - before).toBeLessThanOrEqual(4);
  // Of a partition among two hundred that are quiet, a record is read soon after it is sent.
  const sentMs = performance.now();
  const [arrival] = await Promise.all([
    Promise.race(
      readers.map(async (one) => ({ records: await pollUntil(one, 1, 3_000), ms: performance.now() - sentMs })),
    ),
    own.producer.send(topic, [{ key: 'k0', value: 'late' }]),
  ]);
  expect(arrival.records.map(({ value }) => value.toString())).toEqual(['late']);
  expect(arrival.ms).toBeLessThan(1_500);
  await own.stop();
}, 120_000);
