import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Kafka } from 'kafkajs';
import { IdempotentProducer } from '#connectors/kafka/idempotent_producer';
import { murmur2 } from '#connectors/kafka/protocol/record_batch';
import { readRecords } from '#connectors/kafka/protocol/record_reader';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { type DescribedPartition, metadataAnswer, produceAnswer } from '../../../support/servers/kafka_answers.ts';
import { turns, until } from '../../../support/turns.ts';

// A cluster with a bad network before it. What a leader does with a batch is Kafka's: ProducerAppendInfo and ProducerStateEntry of storage 4.1.2.

const TOPIC = 'events';
const PARTITIONS = 3;
const LEADERS = ['1', '2'];
const REMEMBERED_BATCHES = 5;
const [NOT_LEADER, NOT_ENOUGH_REPLICAS_AFTER_APPEND, OUT_OF_ORDER, INVALID_EPOCH] = [6, 20, 45, 47] as const;

/** What happens to a produce request. */
type Fate =
  | { readonly kind: 'answered' | 'lost' | 'unanswered' | 'too few replicas' }
  /** A copy of it arrives after so many other requests. */
  | { readonly kind: 'late' | 'twice'; readonly by: number }
  /** The leader has moved. */
  | { readonly kind: 'moved'; readonly partition: number };
/** What the cluster says of the topic. */
type Lookup = 'whole' | 'without ids' | 'without a leader' | 'lost';

interface ProducerState {
  readonly epoch: number;
  readonly batches: readonly { readonly first: number; readonly last: number }[];
}

class FakePartition {
  readonly log: string[] = [];
  readonly producers = new Map<bigint, ProducerState>();
  leader = LEADERS[0] as string;

  /** @returns the error code */
  async append(batch: Buffer): Promise<number> {
    const [producerId, epoch] = [batch.readBigInt64BE(43), batch.readInt16BE(51)];
    const [first, count] = [batch.readInt32BE(53), batch.readInt32BE(57)];
    const last = first + count - 1;
    const known = this.producers.get(producerId);
    if (known !== undefined) {
      if (epoch < known.epoch) return INVALID_EPOCH;
      if (epoch === known.epoch && known.batches.some((one) => one.first === first && one.last === last)) return 0;
      const next = epoch === known.epoch ? (known.batches.at(-1)?.last ?? -1) + 1 : 0;
      if (first !== next) return OUT_OF_ORDER;
    }
    const before = known?.epoch === epoch ? known.batches : [];
    this.producers.set(producerId, { epoch, batches: [...before, { first, last }].slice(-REMEMBERED_BATCHES) });
    const { records } = await readRecords(batch, '0', 0n, []);
    this.log.push(...records.map(({ value }) => value.toString()));
    return 0;
  }
}

class FakeKafka {
  partitions = Array.from({ length: PARTITIONS }, () => new FakePartition());
  readonly #fates: Fate[];
  readonly #lookups: Lookup[];
  readonly #late: { after: number; readonly arrive: () => Promise<unknown> }[] = [];
  identities = 0;
  firstEpoch = 0;
  /** Every produce request is lost. */
  isAway = false;
  /** Leaders whose requests are lost, and leaders whose answers are. */
  readonly swallowed = new Set<string>();
  readonly unanswered = new Set<string>();
  #topicId = '1'.repeat(32);

  constructor(fates: readonly Fate[], lookups: readonly Lookup[]) {
    this.#fates = [...fates];
    this.#lookups = [...lookups];
  }

  client(): Kafka {
    const nodeOf = (nodeId: string) => new FakeNode(this, nodeId);
    const cluster = {
      connect: async () => {},
      disconnect: async () => {},
      findBroker: async ({ nodeId }: { nodeId: string }) => nodeOf(nodeId),
      brokerPool: { findConnectedBroker: async () => nodeOf('1') },
    };
    return { [Symbol('private:Kafka:createCluster')]: () => cluster } as unknown as Kafka;
  }

  async produce(node: string, batches: ReadonlyMap<number, Buffer>): Promise<ReadonlyMap<number, number>> {
    const fate: Fate = this.#fates.shift() ?? {
      kind: this.isAway || this.swallowed.has(node) ? 'lost' : this.unanswered.has(node) ? 'unanswered' : 'answered',
    };
    const append = async (): Promise<ReadonlyMap<number, number>> => {
      const codes = new Map<number, number>();
      for (const [number, batch] of batches) {
        const partition = this.partitions[number] as FakePartition;
        codes.set(number, partition.leader === node ? await partition.append(batch) : NOT_LEADER);
      }
      return codes;
    };
    for (const late of this.#late.splice(0)) {
      late.after -= 1;
      if (late.after > 0) this.#late.push(late);
      else await late.arrive();
    }
    switch (fate.kind) {
      case 'lost':
        throw timedOut();
      case 'late':
        this.#late.push({ after: fate.by, arrive: append });
        throw timedOut();
      case 'unanswered':
        await append();
        throw timedOut();
      case 'twice':
        this.#late.push({ after: fate.by, arrive: append });
        return append();
      case 'too few replicas': {
        const codes = await append();
        return new Map([...codes].map(([number]) => [number, NOT_ENOUGH_REPLICAS_AFTER_APPEND]));
      }
      case 'moved': {
        const partition = this.partitions[fate.partition] as FakePartition;
        partition.leader = LEADERS.find((leader) => leader !== partition.leader) as string;
        return append();
      }
      default:
        return append();
    }
  }

  recreate(): void {
    this.#topicId = '2'.repeat(32);
    this.partitions = this.partitions.map(() => new FakePartition());
  }

  /** What is still on its way. */
  async arriveAll(): Promise<void> {
    for (const { arrive } of this.#late.splice(0)) await arrive();
  }

  describe(): readonly DescribedPartition[] {
    const lookup = this.#lookups.shift() ?? 'whole';
    if (lookup === 'lost') throw timedOut();
    return this.partitions.map(({ leader }) => ({
      id: lookup === 'without ids' ? undefined : this.#topicId,
      leader: lookup === 'without a leader' ? undefined : leader,
    }));
  }
}

const timedOut = (): Error => Object.assign(new Error('Request timed out'), { name: 'KafkaJSRequestTimeoutError' });

/** One connection, as far as the producer looks at it. */
class FakeNode {
  readonly #kafka: FakeKafka;
  readonly #nodeId: string;
  readonly versions = { 0: { minVersion: 0, maxVersion: 7 }, 3: { minVersion: 0, maxVersion: 10 } };

  constructor(kafka: FakeKafka, nodeId: string) {
    this.#kafka = kafka;
    this.#nodeId = nodeId;
  }

  async connect(): Promise<void> {}

  async initProducerId(): Promise<{ producerId: string; producerEpoch: number }> {
    this.#kafka.identities += 1;
    return { producerId: String(this.#kafka.identities), producerEpoch: this.#kafka.firstEpoch };
  }

  async [Symbol('private:Broker:sendRequest')]({
    request,
    response,
  }: {
    readonly request: { readonly apiName: string; encode(): Promise<{ readonly buffer: Buffer }> };
    readonly response: { decode(bytes: Buffer): Promise<unknown> };
  }): Promise<unknown> {
    const { buffer } = await request.encode();
    if (request.apiName === 'Metadata') return response.decode(metadataAnswer(TOPIC, this.#kafka.describe()));
    return response.decode(produceAnswer(TOPIC, await this.#kafka.produce(this.#nodeId, batchesIn(buffer))));
  }
}

/** Of a produce request, version 7, with one topic. */
function batchesIn(request: Buffer): ReadonlyMap<number, Buffer> {
  const batches = new Map<number, Buffer>();
  const countAt = 14 + request.readInt16BE(12);
  let at = countAt + 4;
  for (let left = request.readInt32BE(countAt); left > 0; left -= 1) {
    const length = request.readInt32BE(at + 4);
    batches.set(request.readInt32BE(at), Buffer.from(request.subarray(at + 8, at + 8 + length)));
    at += 8 + length;
  }
  return batches;
}

function producerOf(kafka: FakeKafka, deliveryTimeoutMs = 60_000): IdempotentProducer {
  // As long as a turn of the event loop: what is sent meanwhile is sent meanwhile.
  const deps = { clock: systemClock, log: silentLogger, pause: () => turns() };
  return new IdempotentProducer(kafka.client(), deps, {
    ...{ connectionTimeoutMs: 1_000, requestTimeoutMs: 1_000, deliveryTimeoutMs, compression: 'none' },
    ...{ batchBytes: 400, maxRecordBytes: 10_000, metadataMaxAgeMs: 60_000 },
  });
}

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Fate>({ kind: 'answered' }) },
  fc.constantFrom<Fate>({ kind: 'lost' }, { kind: 'unanswered' }, { kind: 'too few replicas' }),
  fc.record({ kind: fc.constantFrom('late', 'twice'), by: fc.integer({ min: 1, max: 8 }) }),
  fc.record({ kind: fc.constant('moved'), partition: fc.nat(PARTITIONS - 1) }),
);
const lookup = fc.constantFrom<Lookup>('whole', 'without ids', 'without a leader', 'lost');
/** Records of one send, and whether the next one waits for it. */
const sends = fc.array(fc.record({ count: fc.integer({ min: 1, max: 12 }), isAwaited: fc.boolean() }), {
  minLength: 1,
  maxLength: 12,
});

test('requests and answers that are lost, late or repeated: each record is in its partition once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fate, { maxLength: 40 }),
      fc.array(lookup, { maxLength: 20 }),
      sends,
      async (fates, lookups, plan) => {
        // The first lookup tells where to send at all.
        const kafka = new FakeKafka(fates, ['whole', ...lookups]);
        const producer = producerOf(kafka);
        let value = 0;
        const sending: Promise<void>[] = [];
        for (const { count, isAwaited } of plan) {
          const records = Array.from({ length: count }, () => {
            value += 1;
            return { key: `k${value % 7}`, value: String(value) };
          });
          sending.push(producer.send(TOPIC, records));
          if (isAwaited) await sending.at(-1);
        }
        await Promise.all(sending);
        await kafka.arriveAll();
        const logs = kafka.partitions.map(({ log }) => log.map(Number));
        for (const log of logs) expect(log).toEqual([...log].sort((a, b) => a - b));
        expect(logs.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: value }, (_, index) => index + 1));
      },
    ),
    { numRuns: 400 },
  );
}, 60_000);

test('a cluster that once leaves out the id of a topic has not created it again: what is unanswered keeps its number', async () => {
  const kafka = new FakeKafka([{ kind: 'unanswered' }], ['whole', 'without ids']);
  const producer = producerOf(kafka);
  await producer.send(TOPIC, [{ key: 'a', value: '1' }]);
  expect(kafka.partitions.flatMap(({ log }) => log)).toEqual(['1']);
  expect(kafka.identities).toBe(1);
});

test('a late copy of a batch that was given up is refused once its partition has a newer one', async () => {
  const kafka = new FakeKafka([{ kind: 'answered' }, { kind: 'late', by: 1_000_000 }], []);
  const producer = producerOf(kafka, 50);
  await producer.send(TOPIC, [{ key: 'a', value: '1' }]);
  kafka.isAway = true;
  await expect(producer.send(TOPIC, [{ key: 'a', value: 'given up' }])).rejects.toThrow('timed out');
  kafka.isAway = false;
  await producer.send(TOPIC, [{ key: 'a', value: '2' }]);
  await kafka.arriveAll();
  await producer.send(TOPIC, [{ key: 'a', value: '3' }]);
  expect(kafka.partitions.flatMap(({ log }) => log)).toEqual(['1', '2', '3']);
  expect(kafka.identities).toBe(1);
});

test('what is unanswered in one partition keeps its number while another begins anew', async () => {
  // Each partition has a leader of its own, so that they fail apart.
  const kafka = new FakeKafka([], []);
  const [first, second] = kafka.partitions as [FakePartition, FakePartition];
  second.leader = LEADERS[1] as string;
  const producer = producerOf(kafka, 300);
  const [inFirst, inSecond] = [0, 1].map((number) => keyIn(number));
  await Promise.all([inFirst, inSecond].map((key) => producer.send(TOPIC, [{ key, value: '1' }])));
  kafka.swallowed.add(first.leader);
  await expect(producer.send(TOPIC, [{ key: inFirst, value: 'given up' }])).rejects.toThrow('timed out');
  // Taken in, but unanswered until the first partition has begun anew.
  kafka.unanswered.add(second.leader);
  const repeated = producer.send(TOPIC, [{ key: inSecond, value: '2' }]);
  await until(() => second.log.includes('2'));
  kafka.swallowed.clear();
  await producer.send(TOPIC, [{ key: inFirst, value: '3' }]);
  kafka.unanswered.clear();
  await repeated;
  await producer.send(TOPIC, [{ key: inSecond, value: '4' }]);
  expect([first.log, second.log]).toEqual([
    ['1', '3'],
    ['1', '2', '4'],
  ]);
});

/** A key that goes to a partition. */
function keyIn(partition: number): string {
  for (let number = 0; ; number += 1) {
    const key = `k${number}`;
    if ((murmur2(Buffer.from(key)) & 0x7fffffff) % PARTITIONS === partition) return key;
  }
}

test('a topic that was created again gets what follows, and what is unanswered once', async () => {
  const kafka = new FakeKafka([{ kind: 'answered' }, { kind: 'unanswered' }], []);
  const producer = producerOf(kafka);
  await producer.send(TOPIC, [{ key: 'a', value: '1' }]);
  kafka.recreate();
  await producer.send(TOPIC, [{ key: 'a', value: '2' }]);
  await producer.send(TOPIC, [{ key: 'a', value: '3' }]);
  expect(kafka.partitions.flatMap(({ log }) => log)).toEqual(['2', '3']);
});

test('epochs end: the producer gets another id', async () => {
  const kafka = new FakeKafka([], []);
  kafka.firstEpoch = 32_767;
  const producer = producerOf(kafka, 20);
  await producer.send(TOPIC, [{ key: 'a', value: '1' }]);
  kafka.isAway = true;
  await expect(producer.send(TOPIC, [{ key: 'a', value: 'given up' }])).rejects.toThrow('timed out');
  kafka.isAway = false;
  await producer.send(TOPIC, [{ key: 'a', value: '2' }]);
  expect(kafka.partitions.flatMap(({ log }) => log)).toEqual(['1', '2']);
  expect(kafka.identities).toBe(2);
});

test('the broker does not know where the numbers are: the batch is sent under the next epoch', async () => {
  const kafka = new FakeKafka([], []);
  const producer = producerOf(kafka);
  await producer.send(TOPIC, [{ key: 'a', value: '1' }]);
  for (const { producers } of kafka.partitions) {
    for (const [id, { epoch }] of producers) producers.set(id, { epoch, batches: [{ first: 70, last: 79 }] });
  }
  await producer.send(TOPIC, [{ key: 'a', value: '2' }]);
  expect(kafka.partitions.flatMap(({ log }) => log)).toEqual(['1', '2']);
  expect(kafka.identities).toBe(1);
});

test('another producer has taken the id: the batch is sent under another one', async () => {
  const kafka = new FakeKafka([], []);
  const producer = producerOf(kafka);
  await producer.send(TOPIC, [{ key: 'a', value: '1' }]);
  for (const { producers } of kafka.partitions) {
    for (const [id, { epoch, batches }] of producers) producers.set(id, { epoch: epoch + 5, batches });
  }
  await producer.send(TOPIC, [{ key: 'a', value: '2' }]);
  expect(kafka.partitions.flatMap(({ log }) => log)).toEqual(['1', '2']);
  expect(kafka.identities).toBe(2);
});
