import { createRequire } from 'node:module';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from '#connectors/kafka/protocol/crc32c';
import { murmur2, RecordBatchBuilder } from '#connectors/kafka/protocol/record_batch';

// kafkajs reads and hashes what is written here: an implementation of somebody else's is the oracle.
const require = createRequire(import.meta.url);
const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<{
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly lastOffsetDelta: number;
  readonly maxTimestamp: string;
  readonly records: readonly {
    readonly offset: string;
    readonly timestamp: string;
    readonly key: Buffer | null;
    readonly value: Buffer | null;
    readonly headers: Readonly<Record<string, Buffer>>;
  }[];
}>;
const theirCrc = require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: { buffer: Buffer } | Buffer) => number;
const theirMurmur = require('kafkajs/src/producer/partitioners/default/murmur2') as (key: string) => number;

/** kafkajs, the oracle, keeps headers in a plain object: names that every object has confuse it. */
const headerName = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 10 }).filter((name) => !(name in {}));

const record = fc.record(
  {
    key: fc.string({ unit: 'grapheme', maxLength: 30 }),
    value: fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.constant(null),
    ),
    headers: fc.dictionary(headerName, fc.string({ maxLength: 40 }), {
      maxKeys: 4,
    }),
    timestampMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  },
  { requiredKeys: ['value'] },
);

test('what is written is read back by another implementation', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 40 }), fc.nat(), async (records, baseSequence) => {
      const builder = new RecordBatchBuilder(16);
      const nowMs = 1_700_000_000_000;
      for (const one of records) builder.add(one, nowMs);
      const origin = { producerId: 77n, producerEpoch: 3, baseSequence };
      const bytes = builder.finish(origin);
      expect(bytes.readUInt32BE(17)).toBe(theirCrc(Buffer.from(bytes.subarray(21))));
      const read = await decodeBatch(new Decoder(Buffer.from(bytes)));
      expect(read).toMatchObject({
        producerEpoch: 3,
        firstSequence: baseSequence,
        lastOffsetDelta: records.length - 1,
      });
      expect(String(read.producerId)).toBe('77');
      const times = records.map(({ timestampMs }) => timestampMs ?? nowMs);
      expect(String(read.maxTimestamp)).toBe(String(Math.max(...times)));
      expect(
        read.records.map(({ key, value, headers, timestamp }) => ({
          key: key?.toString('utf8'),
          value: value?.toString('hex'),
          headers: Object.entries(headers).map(([name, text]) => [name, text.toString('utf8')]),
          timestamp: String(timestamp),
        })),
      ).toEqual(
        records.map(({ key, value, headers }, index) => ({
          key,
          value: value === null ? undefined : Buffer.from(value as string).toString('hex'),
          headers: Object.entries(headers ?? {}),
          timestamp: String(times[index]),
        })),
      );
      // A repetition has the same bytes.
      expect(builder.finish(origin).equals(bytes)).toBe(true);
    }),
  );
});

test('keys go where Kafka’s own clients put them', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (key) => {
      expect(murmur2(Buffer.from(key, 'utf8'))).toBe(theirMurmur(key));
    }),
  );
});

// Source: Apache Kafka 4.1.2, clients, UtilsTest.testMurmur2.
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('murmur2 of %s is that of the Java client', (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
});

test('CRC-32C of the check string', () => {
  // Source: RFC 3720, appendix B.4, and the usual check value.
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
});
