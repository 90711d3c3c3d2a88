import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { SchemaSerde, type SchemaSource } from '#connectors/schemas/schema_registry';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { create } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { decodeWithSchema, type RawRecord } from '#pipelines/transforms/decode_with_schema';
import { FakeSchemaRegistry } from '../../support/servers/schema_registry.ts';

let registry: FakeSchemaRegistry;
let serde: SchemaSerde;
beforeEach(async () => {
  registry = await FakeSchemaRegistry.start();
  serde = new SchemaSerde({ url: registry.url });
});
afterEach(() => registry.stop());

const AVRO: SchemaSource = {
  type: 'avro',
  schema: {
    type: 'record',
    name: 'Click',
    namespace: 'shop',
    fields: [
      { name: 'user', type: 'string' },
      { name: 'count', type: 'int' },
    ],
  },
};
const PROTOBUF: SchemaSource = {
  type: 'protobuf',
  schema: 'syntax = "proto3"; package shop; message Click { string user = 1; int32 count = 2; }',
};
const JSON_SCHEMA: SchemaSource = {
  type: 'json',
  schema: JSON.stringify({
    type: 'object',
    properties: { user: { type: 'string' }, count: { type: 'integer' } },
    required: ['user', 'count'],
  }),
};

test.each([AVRO, PROTOBUF, JSON_SCHEMA])('$type comes back as it went, its schema fetched once', async (source) => {
  const id = await serde.register(`clicks-${source.type}`, source);
  const bytes = await serde.encode(id, { user: 'alice', count: 3 });
  expect([bytes[0], bytes.readInt32BE(1)]).toEqual([0, id]);
  const reader = new SchemaSerde({ url: registry.url });
  const before = registry.lookups;
  for (let time = 0; time < 5; time += 1) {
    expect({ ...((await reader.decode(bytes)) as object) }).toEqual({ user: 'alice', count: 3 });
  }
  expect(registry.lookups).toBe(before + 1);
  await expect(serde.encode(id, { user: 5, count: 'x' })).rejects.toMatchObject({
    code: 'CONNECTOR_UNDECODABLE_RECORD',
  });
});

test('poison of every kind becomes a dead letter, and the others go on', async () => {
  const id = await serde.register('clicks', AVRO);
  const good = await serde.encode(id, { user: 'alice', count: 3 });
  const unknown = Buffer.from(good);
  unknown.writeInt32BE(77, 1);
  const poison: readonly (readonly [Buffer, RegExp])[] = [
    [Buffer.alloc(0), /begin with a zero byte and a schema's id, but with nothing/],
    [Buffer.from('{"user":"json"}'), /but with 7b2275736572223a/],
    [Buffer.from([0, 0]), /but with 0000/],
    [unknown, /schema 77 is not in the registry/],
    [good.subarray(0, good.length - 1), /do not fit schema 1/],
    [Buffer.concat([good.subarray(0, 5), Buffer.alloc(40, 0xff)]), /do not fit schema 1/],
  ];
  const clicks: Collected<unknown>[] = [];
  const letters: Collected<DeadLetter>[] = [];
  const records: RawRecord[] = [good, ...poison.map(([bytes]) => bytes), good].map((value) => ({ key: 'k', value }));
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  await runToEnd((root) => {
    const { main, undecodable } = root.apply(create(records)).apply(decodeWithSchema(serde, deps));
    collectInto(main, clicks, 'Clicks');
    collectInto(undecodable, letters, 'Letters');
  });
  expect(clicks).toHaveLength(2);
  const reasons = letters.map(({ value }) => value.reason);
  for (const [bytes, reason] of poison) {
    expect(reasons.some((one) => reason.test(one))).toBe(true);
    expect(letters.map(({ value }) => value.payload)).toContain(bytes.toString('base64'));
  }
  expect(letters).toHaveLength(poison.length);
});

test('while the registry is away decoding waits', async () => {
  const id = await serde.register('clicks', AVRO);
  const value = await serde.encode(id, { user: 'alice', count: 3 });
  const clicks: Collected<unknown>[] = [];
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  registry.isAway = true;
  setTimeout(() => {
    registry.isAway = false;
  }, 1_500);
  await runToEnd((root) => {
    const records: RawRecord[] = [{ key: 'k', value }];
    const reader = new SchemaSerde({ url: registry.url });
    collectInto(root.apply(create(records)).apply(decodeWithSchema(reader, deps)).main, clicks);
  });
  expect(clicks).toHaveLength(1);
}, 30_000);

const EVENT: SchemaSource = {
  type: 'avro',
  schema: {
    type: 'record',
    name: 'Event',
    fields: [
      { name: 'id', type: 'long' },
      { name: 'amount', type: { type: 'bytes', logicalType: 'decimal', precision: 38, scale: 4 } },
      { name: 'fee', type: { type: 'fixed', name: 'Fee', size: 9, logicalType: 'decimal', precision: 20, scale: 2 } },
      { name: 'maybe', type: ['null', 'long'] },
    ],
  },
};

test('Avro longs and decimals lose nothing', async () => {
  const id = await serde.register('events', EVENT);
  const digits = fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n });
  const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const asDecimal = (value: bigint, scale: number): string => {
    const text = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
    return `${value < 0n ? '-' : ''}${text.slice(0, -scale)}.${text.slice(-scale)}`;
  };
  await fc.assert(
    fc.asyncProperty(long, digits, fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), async (one, amount, fee) => {
      const event = { id: one, amount: asDecimal(amount, 4), fee: asDecimal(fee, 2), maybe: one };
      const decoded = (await serde.decode(await serde.encode(id, event))) as Record<string, unknown>;
      expect({ ...decoded, id: BigInt(decoded.id as number), maybe: BigInt(decoded.maybe as number) }).toEqual(event);
      expect(typeof decoded.id).toBe(
        one > BigInt(Number.MAX_SAFE_INTEGER) || one < -BigInt(Number.MAX_SAFE_INTEGER) ? 'bigint' : 'number',
      );
    }),
  );
  for (const amount of ['1.23456', 'much', '', '1e5']) {
    await expect(serde.encode(id, { id: 1, amount, fee: '0', maybe: null })).rejects.toMatchObject({
      code: 'CONNECTOR_UNDECODABLE_RECORD',
    });
  }
});

const NESTED: SchemaSource = {
  type: 'protobuf',
  schema: `syntax = "proto3"; package shop;
    message First { string name = 1; }
    message Outer { message Inner { int64 count = 1; message Deep { bool yes = 1; } } message Other { int32 n = 1; } string of = 1; }`,
};

test('Protobuf records say which message of the file they are, also a nested one', async () => {
  const id = await serde.register('messages', NESTED);
  const cases = [
    [undefined, { name: 'x' }, [0]],
    ['First', { name: 'x' }, [0]],
    ['Outer', { of: 'y' }, [2, 2]],
    ['Outer.Inner', { count: '9007199254740993' }, [4, 2, 0]],
    ['Outer.Other', { n: 0 }, [4, 2, 2]],
    ['Outer.Inner.Deep', { yes: true }, [6, 2, 0, 0]],
  ] as const;
  for (const [message, value, prefix] of cases) {
    const bytes = await serde.encode(id, value, message);
    expect([...bytes.subarray(5, 5 + prefix.length)]).toEqual([...prefix]);
    expect(await serde.decode(bytes)).toEqual(value);
  }
  const beyond = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), Buffer.from([4, 2, 8]), Buffer.from([8, 1])]);
  await expect(serde.decode(beyond)).rejects.toMatchObject({ message: expect.stringMatching(/no message 1\.4/) });
});

test.each([
  [
    '2020-12',
    'https://json-schema.org/draft/2020-12/schema',
    { prefixItems: [{ type: 'string' }, { type: 'integer' }], items: false },
  ],
  [
    '2019-09',
    'https://json-schema.org/draft/2019-09/schema',
    { items: [{ type: 'string' }, { type: 'integer' }], additionalItems: false },
  ],
  [
    'draft 7',
    'http://json-schema.org/draft-07/schema#',
    { items: [{ type: 'string' }, { type: 'integer' }], additionalItems: false },
  ],
])('JSON Schema %s', async (name, $schema, rest) => {
  const id = await serde.register(`pairs-${name}`, {
    type: 'json',
    schema: JSON.stringify({ $schema, type: 'array', ...rest }),
  });
  expect(await serde.decode(await serde.encode(id, ['a', 1]))).toEqual(['a', 1]);
  const wrong = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), Buffer.from('["a",1,2]')]);
  await expect(serde.decode(wrong)).rejects.toMatchObject({ code: 'CONNECTOR_UNDECODABLE_RECORD' });
});

test.each([
  [
    'an Avro type that does not exist',
    { type: 'avro', schema: { type: 'record', name: 'R', fields: [{ name: 'f', type: 'Unknown' }] } },
  ],
  ['no Protobuf', { type: 'protobuf', schema: 'message {' }],
  ['no JSON', { type: 'json', schema: '{' }],
  ['a keyword of the wrong type', { type: 'json', schema: '{"type":"nothing"}' }],
] as readonly (readonly [string, SchemaSource])[])('a schema that is %s is no outage', async (_, source) => {
  const id = await serde.register('unusable', source);
  const record = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), Buffer.from('x')]);
  const unusable = {
    code: 'CONNECTOR_UNDECODABLE_RECORD',
    retryable: false,
    message: expect.stringMatching(/schema 1 cannot be used/),
  };
  await expect(serde.decode(record)).rejects.toMatchObject(unusable);
  await expect(serde.decode(record)).rejects.toMatchObject(unusable);
});
