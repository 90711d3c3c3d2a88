import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SchemaSerde } from '#connectors/schemas/schema_registry';
import { askGuest } from '../support/guests/python_guests.ts';
import { FakeSchemaRegistry } from '../support/servers/schema_registry.ts';

// fastavro writes what the platform reads, and reads what the platform writes, in the schema registry's wire format.

const [MICROS, PRICE] = [
  { type: 'long', logicalType: 'timestamp-micros' },
  { type: 'bytes', logicalType: 'decimal', precision: 38, scale: 6 },
];
const SCHEMA = {
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'small', type: 'int' },
    { name: 'amount', type: PRICE },
    { name: 'fixed', type: { type: 'fixed', name: 'Money', size: 9, logicalType: 'decimal', precision: 20, scale: 2 } },
    { name: 'at', type: MICROS },
    { name: 'day', type: { type: 'int', logicalType: 'date' } },
    { name: 'uuid', type: { type: 'string', logicalType: 'uuid' } },
    { name: 'text', type: 'string' },
    { name: 'flag', type: 'boolean' },
    { name: 'ratio', type: 'double' },
    { name: 'raw', type: 'bytes' },
    { name: 'status', type: { type: 'enum', name: 'Status', symbols: ['OPEN', 'PAID', 'SENT'] } },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'parent', type: ['null', 'long'], default: null },
    { name: 'refund', type: ['null', PRICE], default: null },
    { name: 'seen', type: ['null', MICROS], default: null },
    { name: 'choice', type: ['null', 'long', 'string', 'boolean'], default: null },
    { name: 'counts', type: { type: 'map', values: 'long' } },
    {
      name: 'lines',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Line',
          fields: [
            { name: 'sku', type: 'string' },
            { name: 'quantity', type: 'long' },
            { name: 'discount', type: ['null', PRICE], default: null },
          ],
        },
      },
    },
    {
      name: 'payment',
      type: [
        { type: 'record', name: 'Card', fields: [{ name: 'last4', type: 'string' }] },
        {
          type: 'record',
          name: 'Transfer',
          fields: [
            { name: 'iban', type: 'string' },
            { name: 'when', type: MICROS },
          ],
        },
      ],
    },
    { name: 'next', type: ['null', 'Line'], default: null },
  ],
};

let registry: FakeSchemaRegistry;
let serde: SchemaSerde;
let id: number;
beforeAll(async () => {
  registry = await FakeSchemaRegistry.start();
  serde = new SchemaSerde({ url: registry.url });
  id = await serde.register('orders-value', { type: 'avro', schema: SCHEMA });
});
afterAll(() => registry.stop());

/** One value, as the guest gets it and as the platform has it. */
interface Both {
  readonly guest: unknown;
  readonly own: unknown;
}
const both = (guest: unknown, own: unknown): Both => ({ guest, own });
const same = (value: unknown): Both => both(value, value);
const MOST_EXACT = BigInt(Number.MAX_SAFE_INTEGER);
const exact = (value: bigint): number | bigint => (value >= -MOST_EXACT && value <= MOST_EXACT ? Number(value) : value);

const long = fc
  .oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, MOST_EXACT, 0n),
  )
  .map((value) => both({ $long: String(value) }, exact(value)));
const int = fc.integer().map((value) => both({ $long: String(value) }, value));
/** All digits of a decimal of a scale. */
function digits(unscaled: bigint, scale: number): string {
  const text = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  return `${unscaled < 0n ? '-' : ''}${text.slice(0, -scale)}.${text.slice(-scale)}`;
}
const decimal = (precision: number, scale: number): fc.Arbitrary<Both> =>
  fc.bigInt({ min: -(10n ** BigInt(precision)) + 1n, max: 10n ** BigInt(precision) - 1n }).map((unscaled) => {
    const text = digits(unscaled, scale);
    return both({ $decimal: text }, text);
  });
/** Years 1 to 9999: what Python has. */
const micros = fc
  .bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n })
  .map((value) => both({ $micros: String(value) }, exact(value)));
const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map(same);
const nullable = (value: fc.Arbitrary<Both>): fc.Arbitrary<Both> => fc.oneof(fc.constant(same(null)), value);

/** A record of parts. */
const record = (parts: Readonly<Record<string, fc.Arbitrary<Both>>>): fc.Arbitrary<Both> =>
  fc.record(parts as Record<string, fc.Arbitrary<Both>>).map((fields) => each(fields));
const each = (fields: Readonly<Record<string, Both>>): Both => {
  const side = (which: keyof Both): object =>
    Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value[which]]));
  return both(side('guest'), side('own'));
};
/** Which record of a union it is. */
const branch = (name: string, value: fc.Arbitrary<Both>): fc.Arbitrary<Both> =>
  value.map(({ guest, own }) => both({ $branch: [name, guest] }, { [name]: own }));

const line = record({ sku: text, quantity: long, discount: nullable(decimal(38, 6)) });
const order = record({
  id: long,
  small: int,
  amount: decimal(38, 6),
  fixed: decimal(20, 2),
  at: micros,
  day: fc.integer({ min: -719_162, max: 2_932_896 }).map((days) => both({ $date: days }, days)),
  uuid: fc.uuid().map((value) => both({ $uuid: value }, value)),
  text,
  flag: fc.boolean().map(same),
  ratio: fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((value) => !Object.is(value, -0))
    .map(same),
  raw: fc.uint8Array({ maxLength: 20 }).map((bytes) => {
    const buffer = Buffer.from(bytes);
    return both({ $bytes: buffer.toString('base64') }, buffer);
  }),
  status: fc.constantFrom('OPEN', 'PAID', 'SENT').map(same),
  note: nullable(text),
  parent: nullable(long),
  refund: nullable(decimal(38, 6)),
  seen: nullable(micros),
  choice: nullable(fc.oneof(long, text, fc.boolean().map(same))),
  counts: fc
    .dictionary(
      fc.string({ unit: 'grapheme', maxLength: 8 }).filter((name) => !name.startsWith('$') && name !== '__proto__'),
      long,
      { maxKeys: 4 },
    )
    .map(each),
  lines: fc.array(line, { maxLength: 4 }).map((lines) =>
    both(
      lines.map(({ guest }) => guest),
      lines.map(({ own }) => own),
    ),
  ),
  payment: fc.oneof(
    branch('shop.Card', record({ last4: text })),
    branch('shop.Transfer', record({ iban: text, when: micros })),
  ),
  next: nullable(line),
});

const orders = (seed: number): readonly Both[] => fc.sample(order, { seed, numRuns: 300 });
/** Without the classes of the library that has read it. */
const plain = (value: unknown): unknown => {
  if (Buffer.isBuffer(value) || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
};

const SEED = 20_261_128;

test('what fastavro writes is read as it was: nested records, unions, decimals, microseconds, longs beyond 2^53', async () => {
  const values = orders(SEED);
  const { encoded } = await askGuest<{ readonly encoded: readonly string[] }>({
    ...{ do: 'avro.encode', schema: SCHEMA, id, values: values.map(({ guest }) => guest) },
  });
  for (const [index, bytes] of encoded.entries()) {
    expect(plain(await serde.decode(Buffer.from(bytes, 'base64')))).toEqual(values[index]?.own);
  }
  expect(encoded).toHaveLength(values.length);
}, 120_000);

test('what the platform writes fastavro reads as it was', async () => {
  const values = orders(SEED + 1);
  const encoded = await Promise.all(values.map(async ({ own }) => (await serde.encode(id, own)).toString('base64')));
  const { values: read } = await askGuest<{ readonly values: readonly unknown[] }>({
    ...{ do: 'avro.decode', schema: SCHEMA, id, encoded },
  });
  for (const [index, value] of read.entries()) expect(value).toEqual(values[index]?.guest);
  expect(read).toHaveLength(values.length);
}, 120_000);
