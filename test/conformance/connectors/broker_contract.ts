import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Broker, headersOf, keyBytesOf, type LogRecord, type SourcePartition } from '#connectors/connector';
import { ATTEMPTS_HEADER, type DeadLetter, DeadLetterQueue, earlierAttempts } from '#connectors/dead_letters';

const signal = new AbortController().signal;

export async function pollUntil(reader: SourcePartition, count: number, deadlineMs = 20_000): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  const giveUpAt = Date.now() + deadlineMs;
  while (records.length < count && Date.now() < giveUpAt) {
    records.push(...(await reader.poll({ maxRecords: 100, maxWaitMs: 200, signal })));
  }
  return records;
}

const texts = (records: readonly LogRecord[]): string[] => records.map((record) => record.value.toString('utf8'));

/** What brokers may differ in. */
export interface BrokerTraits {
  /** Records have headers. */
  readonly headers: boolean;
  readonly tombstones: boolean;
  /** Keys and headers may be any bytes, and names of headers repeat. */
  readonly bytes: boolean;
  /** A record's time is what its producer says; otherwise when the broker took it in. */
  readonly producerTimes: boolean;
  /** Positions are offsets from 0 on, partitions are numbered, lag is counted, groups commit. */
  readonly offsets: boolean;
}

export const LOG_TRAITS: BrokerTraits = {
  headers: true,
  tombstones: true,
  bytes: true,
  producerTimes: true,
  offsets: true,
};

/** A trait that a broker does not have is not tested. */
const notOfIt = (_name: string, _test: () => Promise<void>, _timeoutMs: number): void => {};

/** What every broker must do, whatever is behind it. `create` makes a started client of the same broker each time. */
export function describeBroker(name: string, create: () => Promise<Broker>, traits = LOG_TRAITS): void {
  const ifOffsets = traits.offsets ? test : notOfIt;
  describe(`${name} keeps the contract of a broker`, () => {
    let broker: Broker;
    let topic: string;
    beforeAll(async () => {
      broker = await create();
      topic = `contract-${randomUUID()}`;
      await broker.ensureTopics([{ name: topic, partitions: 2 }]);
    }, 60_000);
    afterAll(() => broker.stop());

    test('creating a topic again changes nothing', async () => {
      const before = await broker.listPartitions(topic);
      await broker.ensureTopics([{ name: topic, partitions: 7 }]);
      expect(await broker.listPartitions(topic)).toEqual(before);
      if (traits.offsets) expect(before).toEqual(['0', '1']);
    });

    test('records of one key stay in order in one partition, with key, headers and time', async () => {
      const own = await freshTopic(broker, 3);
      for (let batch = 0; batch < 5; batch += 1) {
        await broker.producer.send(
          own,
          Array.from({ length: 20 }, (_, index) => ({
            key: `k${index % 4}`,
            value: `${batch * 20 + index}`,
            ...(traits.headers ? { headers: { batch: String(batch) } } : {}),
            timestampMs: 1_700_000_000_000 + index,
          })),
        );
      }
      const byKey = new Map<string, LogRecord[]>();
      let total = 0;
      for (const partition of await broker.listPartitions(own)) {
        const reader = await broker.openPartition(own, partition, { startAt: 'earliest' });
        const records = await pollUntil(reader, 100, 1_500);
        total += records.length;
        for (const record of records)
          byKey.set(record.key as string, [...(byKey.get(record.key as string) ?? []), record]);
        await reader.close();
      }
      expect(total).toBe(100);
      for (const records of byKey.values()) {
        expect(new Set(records.map((record) => record.partition)).size).toBe(1);
        const numbers = records.map((record) => Number(record.value.toString()));
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }
      const first = byKey.get('k0')?.[0];
      expect(first?.headers).toEqual(traits.headers ? { batch: '0' } : {});
      if (traits.producerTimes) expect(first?.timestampMs).toBe(1_700_000_000_000);
      else expect(Math.abs((first?.timestampMs ?? 0) - Date.now())).toBeLessThan(60_000);
    }, 30_000);

    test('a reader resumes after any position, and its lag falls to nothing', async () => {
      const own = await freshTopic(broker, 1);
      await broker.producer.send(
        own,
        Array.from({ length: 10 }, (_, index) => ({ key: 'k', value: `v${index}` })),
      );
      const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
      const first: LogRecord[] = [];
      while (first.length < 4) {
        first.push(...(await reader.poll({ maxRecords: 4 - first.length, maxWaitMs: 2_000, signal })));
      }
      expect(texts(first)).toEqual(['v0', 'v1', 'v2', 'v3']);
      const position = reader.position();
      await reader.close();
      const second = await broker.openPartition(own, await only(broker, own), { resumeAfter: position });
      expect(texts(await pollUntil(second, 6)).sort()).toEqual(['v4', 'v5', 'v6', 'v7', 'v8', 'v9']);
      if (traits.offsets) expect(second.lagRecords()).toBe(0n);
      await second.close();
    }, 30_000);

    test('latest sees only what comes after, soon after it is sent', async () => {
      const own = await freshTopic(broker, 1);
      await broker.producer.send(own, [{ value: 'before' }]);
      const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'latest' });
      const polling = reader.poll({ maxRecords: 10, maxWaitMs: 5_000, signal });
      await new Promise((resolve) => setTimeout(resolve, 50));
      const sentMs = performance.now();
      await broker.producer.send(own, [{ value: 'after' }]);
      expect(texts(await polling)).toEqual(['after']);
      expect(performance.now() - sentMs).toBeLessThan(2_000);
      await reader.close();
    }, 30_000);

    test('an empty poll waits no longer than it was told, and moves nothing', async () => {
      const own = await freshTopic(broker, 1);
      const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
      const startedMs = performance.now();
      const before = reader.position();
      expect(await reader.poll({ maxRecords: 10, maxWaitMs: 100, signal })).toEqual([]);
      expect(performance.now() - startedMs).toBeLessThan(3_000);
      expect(reader.position()).toBe(before);
      if (traits.offsets) expect(before).toMatch(/^-1(@|$)/);
      await reader.close();
    }, 30_000);

    test('a record of 900 kB, an empty one and every byte come back as they went', async () => {
      const own = await freshTopic(broker, 1);
      const large = Buffer.alloc(900_000, 'x');
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
      await broker.producer.send(own, [{ value: large }, { value: Buffer.alloc(0) }, { value: bytes, key: 'é€' }]);
      const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
      const records = await pollUntil(reader, 3);
      // Without keys, no order is promised.
      const ofLength = (length: number): LogRecord | undefined => records.find(({ value }) => value.length === length);
      expect(ofLength(large.length)?.value.equals(large)).toBe(true);
      expect(ofLength(0)).toBeDefined();
      expect(ofLength(bytes.length)?.value.equals(bytes)).toBe(true);
      expect(ofLength(bytes.length)?.key).toBe('é€');
      await reader.close();
    }, 30_000);

    test('concurrent sends all arrive', async () => {
      const own = await freshTopic(broker, 2);
      await Promise.all(
        Array.from({ length: 200 }, (_, index) => broker.producer.send(own, [{ key: `k${index}`, value: `${index}` }])),
      );
      const seen: string[] = [];
      for (const partition of await broker.listPartitions(own)) {
        const reader = await broker.openPartition(own, partition, { startAt: 'earliest' });
        seen.push(...texts(await pollUntil(reader, 200, 4_000)));
        await reader.close();
      }
      expect(seen.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, index) => index));
    }, 30_000);

    ifOffsets(
      'committing a group twice is fine',
      async () => {
        await broker.commit('contract', topic, new Map([['0', '-1']]));
        await broker.commit('contract', topic, new Map([['0', '-1']]));
      },
      30_000,
    );

    ifOffsets(
      'what a group has committed can be read again; an unknown group has nothing',
      async () => {
        const own = await freshTopic(broker, 2);
        await broker.producer.send(own, [{ key: 'a', value: '1' }]);
        await broker.commit('readers', own, new Map([['1', '-1']]));
        await broker.commit('readers', own, new Map([['0', '-1']]));
        expect(await broker.committed(`nobody-${randomUUID()}`, own)).toEqual(new Map());
        expect(new Map([...(await broker.committed('readers', own))].sort())).toEqual(
          new Map([
            ['0', '-1'],
            ['1', '-1'],
          ]),
        );
      },
      30_000,
    );

    (traits.producerTimes ? test : notOfIt)(
      'a reader can start at a time',
      async () => {
        const own = await freshTopic(broker, 1);
        const at = 1_700_000_000_000;
        const records = Array.from({ length: 5 }, (_, index) => ({
          value: `v${index}`,
          timestampMs: at + index * 1_000,
        }));
        await broker.producer.send(own, records);
        const from = async (timestampMs: number, count: number): Promise<string[]> => {
          const reader = await broker.openPartition(own, await only(broker, own), { startAt: { timestampMs } });
          const seen = texts(await pollUntil(reader, count, count === 0 ? 300 : 20_000));
          await reader.close();
          return seen;
        };
        expect(await from(at + 1_500, 3)).toEqual(['v2', 'v3', 'v4']);
        expect(await from(0, 5)).toHaveLength(5);
        expect(await from(at + 60_000, 0)).toEqual([]);
      },
      30_000,
    );

    (traits.tombstones ? test : notOfIt)(
      'a tombstone is told from an empty record',
      async () => {
        const own = await freshTopic(broker, 1);
        await broker.producer.send(own, [
          { key: 'k', value: '' },
          { key: 'k', value: null },
        ]);
        const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
        const records = await pollUntil(reader, 2);
        expect(records.map(({ isTombstone, value }) => [isTombstone, value.length])).toEqual([
          [false, 0],
          [true, 0],
        ]);
        await reader.close();
      },
      30_000,
    );

    (traits.bytes ? test : notOfIt)(
      'keys and headers are bytes: binary, empty, null and repeated',
      async () => {
        const own = await freshTopic(broker, 1);
        const binary = Buffer.from([0, 255, 128, 10, 0xc3]);
        const headerList = [
          ['h', Buffer.from('first')],
          ['h', binary],
          ['none', null],
          ['é', Buffer.alloc(0)],
        ] as const;
        await broker.producer.send(own, [
          { keyBytes: binary, value: '{"a":1}', headerList },
          { key: 'text', value: 'no object', headers: { h: 'text' } },
          { keyBytes: binary, value: binary, headerList: [['only', binary]] },
          { value: '{}', headers: { h: '{"headwater_headers":[]}' } },
          { key: 'x', value: '{"a":1,"headwater_headers":[["h","eA=="]]}' },
        ]);
        const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
        const records = await pollUntil(reader, 5);
        await reader.close();
        const shown = records
          .map((record) => [
            keyBytesOf(record)?.toString('hex'),
            record.value.toString('hex'),
            headersOf(record).map(([name, value]) => [name, value?.toString('hex') ?? null]),
          ])
          .sort();
        const hex = (text: string): string => Buffer.from(text).toString('hex');
        expect(shown).toEqual(
          [
            [binary.toString('hex'), hex('{"a":1}'), headerList.map(([n, v]) => [n, v?.toString('hex') ?? null])],
            [hex('text'), hex('no object'), [['h', hex('text')]]],
            [binary.toString('hex'), binary.toString('hex'), [['only', binary.toString('hex')]]],
            [undefined, hex('{}'), [['h', hex('{"headwater_headers":[]}')]]],
            [hex('x'), hex('{"a":1,"headwater_headers":[["h","eA=="]]}'), []],
          ].sort(),
        );
        const first = records.find(({ value }) => value.toString() === '{"a":1}');
        expect(first?.headers.h).toBe(binary.toString('utf8'));
      },
      30_000,
    );

    test('a time that is none is refused before anything is sent; a fraction of a millisecond is not', async () => {
      const own = await freshTopic(broker, 1);
      for (const timestampMs of [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e17]) {
        await expect(
          broker.producer.send(own, [{ value: 'fine' }, { value: 'bad', timestampMs }]),
        ).rejects.toMatchObject({
          code: 'CONNECTOR_RECORD_REFUSED',
          message: expect.stringContaining(String(timestampMs)),
        });
      }
      await broker.producer.send(own, [{ value: 'fraction', timestampMs: 1_700_000_000_000.75 }]);
      const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
      const records = await pollUntil(reader, 1);
      expect(texts(records)).toEqual(['fraction']);
      if (traits.producerTimes) expect(records[0]?.timestampMs).toBe(1_700_000_000_000);
      await reader.close();
    }, 30_000);

    test('dead letters are replayed once, where they came from, and no more than so often', async () => {
      const [raw, other, dead] = [
        await freshTopic(broker, 1),
        await freshTopic(broker, 1),
        await freshTopic(broker, 2),
      ];
      const queue = new DeadLetterQueue(broker, dead);
      const letter = (name: string, changes: Partial<DeadLetter> = {}): DeadLetter => ({
        ...{ payload: name, reason: 'refused', stage: 'pipeline.decode', attempt: 1 },
        timestamp: new Date().toISOString(),
        ...changes,
      });
      const file = (letters: readonly DeadLetter[]): Promise<void> =>
        broker.producer.send(
          dead,
          letters.map((one, index) => ({ key: String(index), value: JSON.stringify(one) })),
        );
      const origin = { topic: other, partition: '0', offset: '7', key: 'user-7' };
      const headers = [['trace', Buffer.from('abc').toString('base64')]] as const;
      await file([
        ...Array.from({ length: 20 }, (_, index) => letter(`plain ${index}`)),
        letter('away', { origin: { ...origin, headers }, attempt: 2 }),
        letter('hopeless', { attempt: 5 }),
        letter('row', { stage: 'sink.some_store' }),
        letter('of a sink', { stage: 'sink.known' }),
        letter('half', { isCut: true }),
      ]);
      // Its time is the broker's, which may be another machine's.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const written: string[] = [];
      const sinks = new Map([['sink.known', async (payload: string) => void written.push(payload)]]);
      // What is refused again while the replay runs: it must not chase its own tail.
      let refused = 0;
      const again = { send: broker.producer.send };
      const replaying = queue.replay(raw, {
        sinks,
        onProgress: () => {
          refused += 1;
          void again.send(dead, [{ value: JSON.stringify(letter('refused again', { attempt: 2 })) }]);
        },
      });
      expect(await replaying).toEqual({ replayed: 22, passed: 0, exhausted: 1, unusable: 2 });
      expect(written).toEqual(['of a sink']);
      expect(refused).toBeGreaterThan(0);
      const sent = await recordsOf(broker, raw, 20);
      expect(texts(sent).sort()).toEqual(Array.from({ length: 20 }, (_, index) => `plain ${index}`).sort());
      const [away] = await recordsOf(broker, other, 1);
      expect(away?.key).toBe('user-7');
      expect(away?.headers).toMatchObject({ trace: 'abc', [ATTEMPTS_HEADER]: '2' });
      expect(earlierAttempts(away as LogRecord)).toBe(2);
      // Only what came since is left; where records are acknowledged, so are those that cannot be replayed.
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await new DeadLetterQueue(broker, dead).replay(raw, { sinks })).toMatchObject({ replayed: refused });
      expect(await queue.replay(raw, { sinks })).toMatchObject({ replayed: 0 });
      expect(texts(await recordsOf(broker, raw, 20 + refused))).toHaveLength(20 + refused);
    }, 90_000);

    test('topics are listed', async () => {
      expect(await broker.listTopics()).toContain(topic);
    }, 30_000);

    test('an unknown topic, partition or offset is named', async () => {
      const unknown = { code: 'CONNECTOR_UNKNOWN_TOPIC' };
      await expect(broker.openPartition(topic, '9', { startAt: 'earliest' })).rejects.toMatchObject(unknown);
      await expect(broker.listPartitions('there-is-no-such-topic')).rejects.toMatchObject(unknown);
      await expect(broker.producer.send('there-is-no-such-topic', [{ value: 'x' }])).rejects.toMatchObject(unknown);
      if (!traits.offsets) return;
      await expect(broker.openPartition(topic, '0', { resumeAfter: '12345' })).rejects.toMatchObject({
        code: 'CONNECTOR_OFFSET_OUT_OF_RANGE',
        message: expect.stringContaining('12346'),
      });
    }, 30_000);
  });
}

async function freshTopic(broker: Broker, partitions: number): Promise<string> {
  const name = `contract-${randomUUID()}`;
  await broker.ensureTopics([{ name, partitions }]);
  return name;
}

/** The partition of a topic that has one. */
async function only(broker: Broker, topic: string): Promise<string> {
  const partitions = await broker.listPartitions(topic);
  expect(partitions).toHaveLength(1);
  return partitions[0] as string;
}

/** All records of a topic with one partition, of which there are at least so many. */
async function recordsOf(broker: Broker, topic: string, count: number): Promise<LogRecord[]> {
  const reader = await broker.openPartition(topic, await only(broker, topic), { startAt: 'earliest' });
  const records = await pollUntil(reader, count, 10_000);
  records.push(...(await reader.poll({ maxRecords: 100, maxWaitMs: 300, signal })));
  await reader.close();
  return records;
}
