import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import snappy from 'snappy';
import type { OutgoingRecord } from '#connectors/connector';
import { compressionOf } from '#connectors/kafka/protocol/codecs';
import { COMPRESSIONS, type Compression } from '#connectors/kafka/protocol/compressions';
import { crc32c } from '#connectors/kafka/protocol/crc32c';
import { RecordBatchBuilder } from '#connectors/kafka/protocol/record_batch';
import { readRecords } from '#connectors/kafka/protocol/record_reader';

const NOW_MS = 1_700_000_000_000;
const PRODUCER_ID_AT = 43;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const RECORDS_AT = 61;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

const record = fc.record(
  {
    key: fc.string({ unit: 'grapheme', maxLength: 20 }),
    value: fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.constant(null),
    ),
    headers: fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), fc.string({ unit: 'grapheme', maxLength: 20 }), {
      maxKeys: 3,
    }),
    timestampMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  },
  { requiredKeys: ['value'] },
);
type AnyRecord = typeof record extends fc.Arbitrary<infer T> ? T : never;

interface BatchOptions {
  readonly producerId?: bigint;
  readonly attributes?: number;
}

/** With the checksum of what it holds. */
function sealed(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32c(bytes.subarray(ATTRIBUTES_AT)), CRC_AT);
  return bytes;
}

/** A batch as a broker keeps it: with its first offset. */
function batchOf(records: readonly AnyRecord[], baseOffset: number, options: BatchOptions = {}): Buffer {
  const builder = new RecordBatchBuilder(16);
  for (const one of records) builder.add(one, NOW_MS);
  const bytes = Buffer.from(
    builder.finish({ producerId: options.producerId ?? 1n, producerEpoch: 0, baseSequence: 0 }),
  );
  bytes.writeBigInt64BE(BigInt(baseOffset), 0);
  bytes.writeInt16BE(options.attributes ?? 0, ATTRIBUTES_AT);
  bytes.writeBigInt64BE(options.producerId ?? 1n, PRODUCER_ID_AT);
  return sealed(bytes);
}

const seenOf = ({ records }: Awaited<ReturnType<typeof readRecords>>) =>
  records.map(({ key, value, isTombstone, headers, timestampMs, offset }) => ({
    key,
    value: isTombstone === true ? null : value.toString('hex'),
    headers: { ...headers },
    timestampMs,
    offset: Number(offset),
  }));

test('what is written is read, from any offset on, and what is cut off is left for the next fetch', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(record, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat(),
      async (batches, fromSeed, cutSeed) => {
        let next = 100;
        const encoded = batches.map((records) => {
          const bytes = batchOf(records, next);
          const range = { bytes, first: next, end: next + records.length, records };
          next = range.end;
          return range;
        });
        const whole = Buffer.concat(encoded.map(({ bytes }) => bytes));
        const cut = cutSeed % (whole.length + 1);
        const from = 100 + (fromSeed % (next - 100));
        let at = 0;
        const complete = encoded.filter(({ bytes }) => {
          at += bytes.length;
          return at <= cut;
        });
        const read = await readRecords(whole.subarray(0, cut), '3', BigInt(from), []);
        expect(read.nextOffset).toBe(complete.length === 0 ? undefined : BigInt(complete.at(-1)?.end ?? 0));
        const expected = complete.flatMap(({ first, records }) =>
          records.map(({ key, value, headers, timestampMs }, index) => ({
            key,
            value: value === null ? null : value.toString('hex'),
            headers: { ...headers },
            timestampMs: timestampMs ?? NOW_MS,
            offset: first + index,
          })),
        );
        expect(seenOf(read)).toEqual(expected.filter(({ offset }) => offset >= from));
      },
    ),
  );
});

test('a header may have any name, also one that every object has', async () => {
  const headers = Object.fromEntries([
    ['__proto__', 'a'],
    ['valueOf', 'b'],
  ]);
  const { records } = await readRecords(batchOf([{ value: Buffer.from('x'), headers }], 0), '0', 0n, []);
  expect(Object.entries(records[0]?.headers ?? {})).toEqual([
    ['__proto__', 'a'],
    ['valueOf', 'b'],
  ]);
});

test('records of aborted transactions are left out, and those of the same producer’s next one are not', async () => {
  const text = (value: string): AnyRecord => ({ value: Buffer.from(value) });
  /** Type 0 aborts, 1 commits: the key of a control record, after its version. */
  const marker = (type: number): AnyRecord => ({
    key: `\u0000\u0000\u0000${String.fromCharCode(type)}`,
    value: Buffer.alloc(0),
  });
  const transactional = { attributes: TRANSACTIONAL };
  const bytes = Buffer.concat([
    batchOf([text('a1'), text('a2')], 0, { ...transactional, producerId: 5n }),
    batchOf([text('plain')], 2),
    batchOf([text('b1')], 3, { ...transactional, producerId: 6n }),
    batchOf([marker(0)], 4, { attributes: TRANSACTIONAL | CONTROL, producerId: 5n }),
    batchOf([text('a3')], 5, { ...transactional, producerId: 5n }),
    batchOf([marker(1)], 6, { attributes: TRANSACTIONAL | CONTROL, producerId: 6n }),
    batchOf([marker(1)], 7, { attributes: TRANSACTIONAL | CONTROL, producerId: 5n }),
  ]);
  const read = await readRecords(bytes, '0', 0n, [{ producerId: 5n, firstOffset: 0n }]);
  expect(read.records.map(({ value }) => value.toString())).toEqual(['plain', 'b1', 'a3']);
  expect(read.nextOffset).toBe(8n);
});

test.each([
  ['a format of before Kafka 0.11', (bytes: Buffer) => bytes.fill(1, 16, 17), /record format 1, of before Kafka 0\.11/],
  ['a format of the future', (bytes: Buffer) => bytes.fill(3, 16, 17), /record format is 3, and 2 is the newest/],
  ['another compression than it says', (bytes: Buffer) => sealed(bytes.fill(2, 22, 23)), /its records are not snappy/],
  [
    'a compression that does not exist',
    (bytes: Buffer) => sealed(bytes.fill(6, 22, 23)),
    /compression 6 is not one of/,
  ],
  ['a flipped bit', (bytes: Buffer) => bytes.fill(bytes[70] === 1 ? 2 : 1, 70, 71), /its checksum is wrong/],
  [
    'records that end too early',
    (bytes: Buffer) => sealed(bytes.fill(0xff, 57, 61).fill(0x7f, 57, 58)),
    /end too early/,
  ],
  ['a length of nothing', (bytes: Buffer) => bytes.fill(0, 8, 12), /its length is 0/],
])('reading stops before a batch with %s, and names it', async (_, damage, reason) => {
  const good = batchOf([{ value: Buffer.from('before') }, { value: Buffer.from('also') }], 5);
  const bad = Buffer.from(batchOf([{ value: Buffer.from('damaged, that is') }], 7));
  damage(bad);
  const after = batchOf([{ value: Buffer.from('after') }], 8);
  const read = await readRecords(Buffer.concat([good, bad, after]), '0', 0n, []);
  expect(read.records.map(({ value }) => value.toString())).toEqual(['before', 'also']);
  expect(read.nextOffset).toBe(7n);
  expect(read.unreadable).toMatchObject({ offset: 7n, lastOffset: 7n, reason: expect.stringMatching(reason) });
});

const anyHeader = fc.tuple(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.option(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    { nil: null },
  ),
);
const binaryRecord = fc.record({
  keyBytes: fc.option(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined },
  ),
  value: fc.option(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    { nil: null },
  ),
  headerList: fc.array(anyHeader, { maxLength: 4 }),
  timestampMs: fc.double({ min: 0, max: 4_000_000_000_000, noNaN: true }),
});

const hexOf = (bytes: Buffer | null | undefined): string | undefined => bytes?.toString('hex');

async function packed(records: readonly OutgoingRecord[], compression: Compression): Promise<Buffer> {
  const builder = new RecordBatchBuilder(16);
  for (const one of records) builder.add(one, NOW_MS);
  return Buffer.from(
    builder.finish({ producerId: 1n, producerEpoch: 0, baseSequence: 0 }, await compressionOf(compression)),
  );
}

test.each(COMPRESSIONS)(
  'binary and null keys, repeated headers and fractions of a millisecond come back, %s',
  async (name) => {
    await fc.assert(
      fc.asyncProperty(fc.array(binaryRecord, { minLength: 1, maxLength: 20 }), async (records) => {
        const read = await readRecords(await packed(records, name), '0', 0n, []);
        expect(read.unreadable).toBeUndefined();
        expect(
          read.records.map(({ keyBytes, value, isTombstone, headerList, timestampMs }) => ({
            key: hexOf(keyBytes),
            value: isTombstone === true ? undefined : hexOf(value),
            headers: headerList?.map(([header, bytes]) => [header, hexOf(bytes)]),
            timestampMs,
          })),
        ).toEqual(
          records.map(({ keyBytes, value, headerList, timestampMs }) => ({
            key: hexOf(keyBytes),
            value: hexOf(value),
            headers: headerList.map(([header, bytes]) => [header, hexOf(bytes)]),
            timestampMs: Math.floor(timestampMs),
          })),
        );
      }),
      { numRuns: 40 },
    );
  },
);

test.each(COMPRESSIONS)('any damage is named, and reads no other records than were written, %s', async (name) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(binaryRecord, { minLength: 1, maxLength: 10 }),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (records, changes, isSealed) => {
        const bytes = await packed(records, name);
        const written = await readRecords(bytes, '0', 0n, []);
        for (const [at, byte] of changes) bytes[RECORDS_AT + (at % Math.max(1, bytes.length - RECORDS_AT))] = byte;
        // With a right checksum the structure is what is checked: it may still be that of records.
        const read = await readRecords(isSealed ? sealed(bytes) : bytes, '0', 0n, []);
        if (isSealed) {
          for (const { keyBytes, value, headerList } of read.records)
            expect([keyBytes, value, headerList]).toHaveLength(3);
        } else if (read.unreadable === undefined) {
          expect(seenOf(read)).toEqual(seenOf(written));
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('snappy is read as the Java client writes it, in blocks behind a header', async () => {
  const plain = Buffer.from(batchOf([{ value: Buffer.from('x'.repeat(100)) }], 0));
  const body = plain.subarray(RECORDS_AT);
  const blocks = [body.subarray(0, 50), body.subarray(50)].flatMap((part) => {
    const block = snappy.compressSync(part);
    const length = Buffer.alloc(4);
    length.writeInt32BE(block.length);
    return [length, block];
  });
  const header = Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0, 0, 0, 0, 1, 0, 0, 0, 1]);
  const bytes = Buffer.concat([plain.subarray(0, RECORDS_AT), header, ...blocks]);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt16BE(2, ATTRIBUTES_AT);
  const { records } = await readRecords(sealed(bytes), '0', 0n, []);
  expect(records.map(({ value }) => value.length)).toEqual([100]);
});
