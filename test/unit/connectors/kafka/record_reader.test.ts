import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RecordBatchBuilder } from '#connectors/kafka/record_batch';
import { readRecords } from '#connectors/kafka/record_reader';

const NOW_MS = 1_700_000_000_000;
const PRODUCER_ID_AT = 43;
const ATTRIBUTES_AT = 21;
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
  return bytes;
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

test('formats and compressions that cannot be read are named', async () => {
  const old = batchOf([{ value: Buffer.from('x') }], 0);
  old[16] = 1;
  await expect(readRecords(old, '0', 0n, [])).rejects.toThrow(/record format 1 of before Kafka 0\.11/);
  const snappy = batchOf([{ value: Buffer.from('x') }], 0, { attributes: 2 });
  await expect(readRecords(snappy, '0', 0n, [])).rejects.toThrow(/compressed with snappy cannot be read/);
});
