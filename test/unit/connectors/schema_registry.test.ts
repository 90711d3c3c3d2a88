import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { DeadLetter } from '#connectors/dead_letters';
import { SchemaSerde, type SchemaSource } from '#connectors/schema_registry';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { create } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { decodeWithSchema, type RawRecord } from '#pipelines/transforms/decode_with_schema';
import { FakeSchemaRegistry } from '../../support/schema_registry.ts';

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
