import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ContractCase } from '#kernel/contract';
import { type Broker, headersOf, keyBytesOf, type LogRecord, type SourcePartition } from '../connector.ts';
import { ATTEMPTS_HEADER, type DeadLetter, DeadLetterQueue, earlierAttempts } from '../dead_letters/dead_letters.ts';

const signal = new AbortController().signal;

/** Polls until there are so many records, or the time is over. */
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

/** What a broker can do that keeps a log by partition, as Kafka does. */
export const LOG_TRAITS: BrokerTraits = {
  headers: true,
  tombstones: true,
  bytes: true,
  producerTimes: true,
  offsets: true,
};

/** A trait that a broker does not have is not tested. */
const notOfIt = (_name: string, _check: unknown, _timeoutMs?: number): void => {};

/** To start a client and create a topic, ms. */
const CONNECT_MS = 60_000;

/**
 * Returns the cases of what every broker does, whatever is behind it.
 *
 * @param create - returns a started client of the same broker each time; each case stops its own
 */
export function brokerContract(
  create: () => Promise<Broker>,
  traits: BrokerTraits = LOG_TRAITS,
): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const test = (name: string, check: (broker: Broker, topic: string) => Promise<void>, timeoutMs = 30_000): void => {
    const run = async (): Promise<void> => {
      const broker = await create();
      try {
        const topic = `contract-${randomUUID()}`;
        await broker.ensureTopics([{ name: topic, partitions: 2 }]);
        await check(broker, topic);
      } finally {
        await broker.stop();
      }
    };
    cases.push({ name, timeoutMs: timeoutMs + CONNECT_MS, run });
  };
  const ifOffsets = traits.offsets ? test : notOfIt;
  test('creating a topic again changes nothing', async (broker, topic) => {
    const before = await broker.listPartitions(topic);
    await broker.ensureTopics([{ name: topic, partitions: 7 }]);
    assert.deepEqual(await broker.listPartitions(topic), before);
    if (traits.offsets) assert.deepEqual(before, ['0', '1']);
  });

  test('records of one key stay in order in one partition, with key, headers and time', async (broker) => {
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
    assert.equal(total, 100);
    for (const records of byKey.values()) {
      assert.equal(new Set(records.map((record) => record.partition)).size, 1);
      const numbers = records.map((record) => Number(record.value.toString()));
      assert.deepEqual(
        numbers,
        [...numbers].sort((a, b) => a - b),
      );
    }
    const first = byKey.get('k0')?.[0];
    assert.deepEqual(first?.headers, traits.headers ? { batch: '0' } : {});
    if (traits.producerTimes) assert.equal(first?.timestampMs, 1_700_000_000_000);
    else assert.ok(Math.abs((first?.timestampMs ?? 0) - Date.now()) < 60_000);
  }, 30_000);

  test('a reader resumes after any position, and its lag falls to nothing', async (broker) => {
    const own = await freshTopic(broker, 1);
    await broker.producer.send(
      own,
      Array.from({ length: 10 }, (_, index) => ({ key: 'k', value: `v${index}` })),
    );
    const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
    // Known from the start: what reads up to now ends there.
    assert.equal(reader.endOffset?.() ?? 10n, 10n);
    const first: LogRecord[] = [];
    while (first.length < 4) {
      first.push(...(await reader.poll({ maxRecords: 4 - first.length, maxWaitMs: 2_000, signal })));
    }
    assert.deepEqual(texts(first), ['v0', 'v1', 'v2', 'v3']);
    const position = reader.position();
    await reader.close();
    const second = await broker.openPartition(own, await only(broker, own), { resumeAfter: position });
    assert.deepEqual(texts(await pollUntil(second, 6)).sort(), ['v4', 'v5', 'v6', 'v7', 'v8', 'v9']);
    if (traits.offsets) assert.equal(second.lagRecords(), 0n);
    await second.close();
  }, 30_000);

  test('latest sees only what comes after, soon after it is sent', async (broker) => {
    const own = await freshTopic(broker, 1);
    await broker.producer.send(own, [{ value: 'before' }]);
    const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'latest' });
    const polling = reader.poll({ maxRecords: 10, maxWaitMs: 5_000, signal });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const sentMs = performance.now();
    await broker.producer.send(own, [{ value: 'after' }]);
    assert.deepEqual(texts(await polling), ['after']);
    assert.ok(performance.now() - sentMs < 2_000);
    await reader.close();
  }, 30_000);

  test('an empty poll waits no longer than its limit, and moves nothing', async (broker) => {
    const own = await freshTopic(broker, 1);
    const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
    const startedMs = performance.now();
    const before = reader.position();
    assert.deepEqual(await reader.poll({ maxRecords: 10, maxWaitMs: 100, signal }), []);
    assert.ok(performance.now() - startedMs < 3_000);
    assert.equal(reader.position(), before);
    if (traits.offsets) assert.match(before, /^-1(@|$)/);
    await reader.close();
  }, 30_000);

  test('a record of 900 kB, an empty one and every byte come back as they went', async (broker) => {
    const own = await freshTopic(broker, 1);
    const large = Buffer.alloc(900_000, 'x');
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await broker.producer.send(own, [{ value: large }, { value: Buffer.alloc(0) }, { value: bytes, key: 'é€' }]);
    const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
    const records = await pollUntil(reader, 3);
    // Without keys, no order is promised.
    const ofLength = (length: number): LogRecord | undefined => records.find(({ value }) => value.length === length);
    assert.equal(ofLength(large.length)?.value.equals(large), true);
    assert.ok(ofLength(0) !== undefined);
    assert.equal(ofLength(bytes.length)?.value.equals(bytes), true);
    assert.equal(ofLength(bytes.length)?.key, 'é€');
    await reader.close();
  }, 30_000);

  test('concurrent sends all arrive', async (broker) => {
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
    assert.deepEqual(
      seen.map(Number).sort((a, b) => a - b),
      Array.from({ length: 200 }, (_, index) => index),
    );
  }, 30_000);

  ifOffsets(
    'committing a group twice is fine',
    async (broker, topic) => {
      await broker.commit('contract', topic, new Map([['0', '-1']]));
      await broker.commit('contract', topic, new Map([['0', '-1']]));
    },
    30_000,
  );

  ifOffsets(
    'what a group has committed can be read again; an unknown group has nothing',
    async (broker) => {
      const own = await freshTopic(broker, 2);
      await broker.producer.send(own, [{ key: 'a', value: '1' }]);
      await broker.commit('readers', own, new Map([['1', '-1']]));
      await broker.commit('readers', own, new Map([['0', '-1']]));
      assert.deepEqual(await broker.committed(`unused-${randomUUID()}`, own), new Map());
      assert.deepEqual(
        new Map([...(await broker.committed('readers', own))].sort()),
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
    async (broker) => {
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
      assert.deepEqual(await from(at + 1_500, 3), ['v2', 'v3', 'v4']);
      assert.equal((await from(0, 5)).length, 5);
      assert.deepEqual(await from(at + 60_000, 0), []);
    },
    30_000,
  );

  (traits.tombstones ? test : notOfIt)(
    'a tombstone differs from an empty record',
    async (broker) => {
      const own = await freshTopic(broker, 1);
      await broker.producer.send(own, [
        { key: 'k', value: '' },
        { key: 'k', value: null },
      ]);
      const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
      const records = await pollUntil(reader, 2);
      assert.deepEqual(
        records.map(({ isTombstone, value }) => [isTombstone, value.length]),
        [
          [false, 0],
          [true, 0],
        ],
      );
      await reader.close();
    },
    30_000,
  );

  (traits.bytes ? test : notOfIt)(
    'keys and headers are bytes: binary, empty, null and repeated',
    async (broker) => {
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
      assert.deepEqual(
        shown,
        [
          [binary.toString('hex'), hex('{"a":1}'), headerList.map(([n, v]) => [n, v?.toString('hex') ?? null])],
          [hex('text'), hex('no object'), [['h', hex('text')]]],
          [binary.toString('hex'), binary.toString('hex'), [['only', binary.toString('hex')]]],
          [undefined, hex('{}'), [['h', hex('{"headwater_headers":[]}')]]],
          [hex('x'), hex('{"a":1,"headwater_headers":[["h","eA=="]]}'), []],
        ].sort(),
      );
      const first = records.find(({ value }) => value.toString() === '{"a":1}');
      assert.equal(first?.headers.h, binary.toString('utf8'));
    },
    30_000,
  );

  test('a time that is none is refused before anything is sent; a fraction of a millisecond is not', async (broker) => {
    const own = await freshTopic(broker, 1);
    for (const timestampMs of [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e17]) {
      await rejectsWith(
        broker.producer.send(own, [{ value: 'fine' }, { value: 'bad', timestampMs }]),
        'CONNECTOR_RECORD_REFUSED',
        String(timestampMs),
      );
    }
    await broker.producer.send(own, [{ value: 'fraction', timestampMs: 1_700_000_000_000.75 }]);
    const reader = await broker.openPartition(own, await only(broker, own), { startAt: 'earliest' });
    const records = await pollUntil(reader, 1);
    assert.deepEqual(texts(records), ['fraction']);
    if (traits.producerTimes) assert.equal(records[0]?.timestampMs, 1_700_000_000_000);
    await reader.close();
  }, 30_000);

  test('dead letters are replayed once, where they came from, and no more than so often', async (broker) => {
    const [raw, other, dead] = [await freshTopic(broker, 1), await freshTopic(broker, 1), await freshTopic(broker, 2)];
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
    assert.deepEqual(await replaying, { replayed: 22, passed: 0, exhausted: 1, unusable: 2 });
    assert.deepEqual(written, ['of a sink']);
    assert.ok(refused > 0);
    const sent = await recordsOf(broker, raw, 20);
    assert.deepEqual(texts(sent).sort(), Array.from({ length: 20 }, (_, index) => `plain ${index}`).sort());
    const [away] = await recordsOf(broker, other, 1);
    assert.equal(away?.key, 'user-7');
    assert.equal(away?.headers.trace, 'abc');
    assert.equal(away?.headers[ATTEMPTS_HEADER], '2');
    assert.equal(earlierAttempts(away as LogRecord), 2);
    // Only what came since is left; where records are acknowledged, so are those that cannot be replayed.
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await new DeadLetterQueue(broker, dead).replay(raw, { sinks })).replayed, refused);
    assert.equal((await queue.replay(raw, { sinks })).replayed, 0);
    assert.equal(texts(await recordsOf(broker, raw, 20 + refused)).length, 20 + refused);
  }, 90_000);

  test(
    'topics are listed',
    async (broker, topic) => {
      assert.ok((await broker.listTopics()).includes(topic));
    },
    30_000,
  );

  test(
    'an unknown topic, partition or offset is named',
    async (broker, topic) => {
      const unknown = 'CONNECTOR_UNKNOWN_TOPIC';
      await rejectsWith(broker.openPartition(topic, '9', { startAt: 'earliest' }), unknown);
      await rejectsWith(broker.listPartitions('there-is-no-such-topic'), unknown);
      await rejectsWith(broker.producer.send('there-is-no-such-topic', [{ value: 'x' }]), unknown);
      if (!traits.offsets) return;
      await rejectsWith(
        broker.openPartition(topic, '0', { resumeAfter: '12345' }),
        'CONNECTOR_OFFSET_OUT_OF_RANGE',
        '12346',
      );
    },
    30_000,
  );
  return cases;
}

async function freshTopic(broker: Broker, partitions: number): Promise<string> {
  const name = `contract-${randomUUID()}`;
  await broker.ensureTopics([{ name, partitions }]);
  return name;
}

/** The partition of a topic that has one. */
async function only(broker: Broker, topic: string): Promise<string> {
  const partitions = await broker.listPartitions(topic);
  assert.equal(partitions.length, 1);
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

/** Asserts that work is refused with a code, and a message that names something. */
async function rejectsWith(work: Promise<unknown>, code: string, named = ''): Promise<void> {
  await assert.rejects(work, (error: { readonly code?: string; readonly message?: string }) => {
    assert.equal(error.code, code);
    assert.ok(error.message?.includes(named), `"${error.message}" does not name ${named}`);
    return true;
  });
}
