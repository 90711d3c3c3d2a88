import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DynamoDb } from '#connectors/dynamodb/dynamodb';
import { featureTable, predictionTable } from '#connectors/dynamodb/tables';
import { fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { DynamoDbOnlineStore } from '#feature_store/online/dynamodb/dynamodb_store';
import { DAY_MS, eventTime, processingTime, SECOND_MS } from '#kernel/time';
import { DynamoDbPredictions } from '#serving/prediction_store/dynamodb_predictions';
import {
  contractView,
  describeOnlineStore,
  foreverView,
} from '../../conformance/feature_store/online_store_contract.ts';
import { keyOf } from '../../support/entity_keys.ts';
import { serviceAddress } from '../service_address.ts';

// The online store and the table of predictions on DynamoDB, of moto.

const config = {
  ...{ region: 'eu-central-1', requestTimeoutMs: 20_000, tablePrefix: `test-${randomUUID().slice(0, 8)}` },
  ...{
    endpoint: serviceAddress('TEST_DYNAMODB_ENDPOINT'),
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  },
};
const client = new DynamoDb(config);
const table = featureTable(config.tablePrefix).name;
let nowMs = Date.now();

async function open(view = contractView): Promise<DynamoDbOnlineStore> {
  const store = new DynamoDbOnlineStore(
    { open: async () => new DynamoDb(config), clock: { now: () => processingTime(nowMs) }, views: [view, foreverView] },
    config,
  );
  await store.start();
  return store;
}

const rowOf = (id: string, at: number, value: number, text = ''): FeatureRow => ({
  ...{ view: 'contract', version: 1, entityKey: keyOf(id), eventTime: eventTime(at) },
  ...{ computedAt: processingTime(nowMs), values: { value, text, flag: true, missing: null } },
});

beforeAll(async () => {
  await client.createTable(featureTable(config.tablePrefix));
  await client.createTable(predictionTable(config.tablePrefix));
});
afterAll(() => client.close());

describeOnlineStore('DynamoDB', open);

describe('the online store on DynamoDB', () => {
  test('a table that is there is left as it is; without one, a start names the command', async () => {
    expect(await client.createTable(featureTable(config.tablePrefix))).toEqual({ name: table, isNew: false });
    const other = { ...config, tablePrefix: `none-${randomUUID()}` };
    const store = new DynamoDbOnlineStore(
      { open: async () => new DynamoDb(other), clock: { now: () => processingTime(nowMs) }, views: [contractView] },
      other,
    );
    await expect(store.start()).rejects.toThrow(/no table none-.*-features in eu-central-1.*online-stores create/);
    await store.stop();
  });

  test('of writers at once, the newest event time is kept', async () => {
    const [first, second] = [await open(), await open()];
    const run = randomUUID();
    const rows = Array.from({ length: 40 }, (_, at) => rowOf(run, nowMs - 1_000 + ((at * 7) % 40), at));
    await Promise.all(rows.map((row, at) => (at % 2 === 0 ? first : second).write([row])));
    expect((await first.read(contractView, [keyOf(run)]))[0]?.eventTime).toBe(nowMs - 961);
    expect(await second.write([rowOf(run, nowMs - 962, 0)])).toEqual({ written: 0, stale: 1 });
    await Promise.all([first.stop(), second.stop()]);
  });

  test('reads of more than 100 keys, twice the same among them, answer in order', async () => {
    const store = await open();
    const run = randomUUID();
    const rows = Array.from({ length: 350 }, (_, at) => rowOf(`${run}-${at}`, nowMs, at));
    expect(await store.write(rows)).toEqual({ written: 350, stale: 0 });
    const asked = [...rows, ...rows.slice(0, 60)].flatMap(({ entityKey }, at) =>
      at % 9 === 0 ? [keyOf(`${run}-none-${at}`), entityKey] : [entityKey],
    );
    const byKey = new Map<string, FeatureRow>(rows.map((row) => [row.entityKey, row]));
    expect(await store.read(contractView, asked)).toEqual(asked.map((key) => byKey.get(key)));
    await store.stop();
  });

  test('keys that an answer of 16 MB leaves unprocessed are requested again', async () => {
    const store = await open();
    const run = randomUUID();
    const rows = Array.from({ length: 50 }, (_, at) => rowOf(`${run}-${at}`, nowMs, at, 'x'.repeat(390_000)));
    await store.write(rows);
    const read = await store.read(
      contractView,
      rows.map(({ entityKey }) => entityKey),
    );
    expect(read.map((row) => row?.values.value)).toEqual(rows.map((_, at) => at));
    await store.stop();
  }, 60_000);

  test('a row that expires is not read, although DynamoDB has not deleted it yet', async () => {
    const store = await open();
    const run = randomUUID();
    await store.write([rowOf(run, nowMs, 1)]);
    const [item] = await client.getAll(table, [{ pk: { S: `row:contract@1:${keyOf(run)}` } }]);
    expect(Number(item?.expires_at?.N)).toBe(Math.ceil((nowMs + 30 * DAY_MS) / SECOND_MS) + 1);
    nowMs += 30 * DAY_MS;
    expect((await store.read(contractView, [keyOf(run)]))[0]?.values.value).toBe(1);
    nowMs += 1;
    expect(await store.read(contractView, [keyOf(run)])).toEqual([undefined]);
    await store.stop();
  });

  test('a row that DynamoDB cannot hold is refused by name, for good', async () => {
    const store = await open();
    await expect(store.write([rowOf('large', nowMs, 1, 'é'.repeat(210_000))])).rejects.toMatchObject({
      ...{ code: 'FEATURE_STORE_ONLINE', failure: 'record', fault: 'caller', retryable: false },
      message: expect.stringMatching(
        /the row of .*large in view contract@1: it has 42\d{4} bytes, and DynamoDB takes 409600/,
      ),
    });
    expect(await store.read(contractView, [keyOf('large')])).toEqual([undefined]);
    await store.stop();
  });

  test('values of other definitions are left out, those that have not changed are read', async () => {
    const changed = featureView({
      ...{ ...contractView, ttl: '30d' },
      features: { ...contractView.features, value: fromEvent('double', '', () => 2) },
    });
    const [writer, reader] = [await open(), await open(changed)];
    const run = randomUUID();
    await writer.write([rowOf(run, nowMs, 1, 'kept')]);
    expect((await reader.read(changed, [keyOf(run)]))[0]?.values).toEqual({ text: 'kept', flag: true });
    await Promise.all([writer.stop(), reader.stop()]);
  });

  test('its health is a write', async () => {
    const store = await open();
    await store.checkHealth();
    await store.stop();
    await expect(store.checkHealth()).rejects.toThrow(/could not take a write/);
  });
});

test('predictions are read by id and by entity, written once, and erased', async () => {
  const predictions = new DynamoDbPredictions(config, { ttlMs: DAY_MS });
  const [own, other] = [keyOf(randomUUID()), keyOf(randomUUID())];
  const rows = Array.from({ length: 60 }, (_, at) => ({
    ...{ predictionId: `${own}-${at}`, requestId: 'r', rowIndex: 0, modelName: 'fraud', modelVersion: 2 },
    ...{ entityKey: at % 2 === 0 ? own : other, features: { amount: at }, prediction: 'legitimate' },
    ...{ probabilities: { fraud: 0.1 }, predictedAtMs: nowMs + at },
  }));
  await predictions.write(rows);
  await predictions.write(rows);
  const read = [];
  for await (const each of predictions.read(own)) read.push(each);
  expect(read).toHaveLength(30);
  expect(read[0]).toMatchObject({
    ...{ prediction_id: `${own}-58`, model_name: 'fraud', model_version: 2, predicted_at: nowMs + 58 },
    ...{ features: '{"amount":58}', probabilities: '{"fraud":0.1}' },
    expires_at: Math.ceil((nowMs + 58 + DAY_MS) / SECOND_MS),
  });
  expect([await predictions.erase(own), await predictions.erase(own)]).toEqual([30, 0]);
  expect(await predictions.erase(other)).toBe(30);
  const large = { ...(rows[0] as (typeof rows)[number]), features: `{"a":"${'x'.repeat(410_000)}"}` };
  await expect(predictions.write([large])).rejects.toThrow(/DynamoDB cannot take the record with key .*-0.*409600/);
});
