import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DynamoDb } from '#connectors/dynamodb/dynamodb';
import { featureTable, predictionTable } from '#connectors/dynamodb/tables';
import { assetPath } from '#kernel/project_root';
import { serviceAddress } from '../integration/service_address.ts';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

// The serverless path on local events: a stream's trigger, features in DynamoDB, the endpoint, predictions in DynamoDB.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'serverless-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const prefix = `path-${Date.now()}`;
const endpoint = serviceAddress('TEST_DYNAMODB_ENDPOINT');
const env = {
  ...{ FEATURE_STORE_BACKEND: 'dynamodb', DYNAMODB_ENDPOINT: endpoint, DYNAMODB_TABLE_PREFIX: prefix },
  ...{ AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'eu-central-1' },
};

async function headwater(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(folder, args, env);
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' });
  return stdout;
}

/** The fixture with events of now. */
function writeStreamEvent(): string {
  const event = JSON.parse(readFileSync(assetPath('test/data/kinesis-event.json'), 'utf8')) as {
    readonly Records: { readonly kinesis: { data: string } }[];
  };
  for (const { kinesis } of event.Records) {
    const text = Buffer.from(kinesis.data, 'base64').toString('utf8');
    const now = text.replace('2023-11-14T22:13:20.000Z', new Date().toISOString());
    kinesis.data = Buffer.from(now).toString('base64');
  }
  const file = join(folder, 'kinesis.json');
  writeFileSync(file, JSON.stringify(event));
  return file;
}

test('an event of a stream becomes features and a prediction, both in DynamoDB', async () => {
  expect(JSON.parse(await headwater('online-stores', 'create', '--json'))).toEqual([
    { table: `${prefix}-features`, created: true },
    { table: `${prefix}-predictions`, created: true },
  ]);
  expect(await headwater('online-stores', 'create')).toMatch(/features: exists, not changed[\s\S]*predictions: exists/);

  const file = writeStreamEvent();
  // The third record is no event: it is among the dead letters, and not delivered again.
  expect(JSON.parse(await headwater('lambda', 'invoke', 'trigger', '--event', file))).toEqual({
    batchItemFailures: [],
  });
  expect(await headwater('dlq', 'list')).toMatch(/1 dead letter/);

  const client = new DynamoDb({
    ...{ region: 'eu-central-1', endpoint, requestTimeoutMs: 5_000, tablePrefix: prefix },
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const [features, predictions] = [featureTable(prefix), predictionTable(prefix)];
  // Windows are state that outlives a function: the pipeline is a process.
  const pipeline = await PlatformProcess.start(join(folder, 'data'), { ...env, ROLES: 'pipeline' });
  const rowKey = { pk: { S: 'row:fraud@1:account:acct_77' } };
  const until = Date.now() + 60_000;
  while (!/20\.5.*31\.25|51\.75/.test((await client.get(features.name, rowKey))?.row?.S ?? '') && Date.now() < until) {
    await sleep(200);
  }
  await pipeline.terminate();

  const proxy = JSON.parse(readFileSync(assetPath('test/data/apigw_v2.json'), 'utf8')) as Record<string, unknown>;
  const request = join(folder, 'predict.json');
  const body = JSON.stringify({ model_name: 'fraud_detector', entity_id: 'acct_77' });
  writeFileSync(request, JSON.stringify({ ...proxy, body }));
  const answer = JSON.parse(await headwater('lambda', 'invoke', 'predict', '--event', request)) as {
    readonly statusCode: number;
    readonly body: string;
  };
  expect([answer.statusCode, answer.body]).toEqual([200, expect.stringMatching(/"prediction":"\w+"/)]);

  const results = [];
  for await (const item of client.query(predictions.name, predictions.index, 'account:acct_77')) results.push(item);
  expect(results).toHaveLength(1);
  const [result] = results;
  expect(result?.prediction?.S).toBe((JSON.parse(answer.body) as { prediction: string }).prediction);
  expect(JSON.parse(result?.features?.S ?? '{}')).toMatchObject({ count_1h: 2, sum_amount_1h: 51.75 });

  expect(JSON.parse(await headwater('entities', 'erase', 'account:acct_77', '--yes'))).toMatchObject({
    ...{ erased: true, 'prediction table': 1, 'online store': expect.any(Number) },
  });
  expect(await client.get(features.name, rowKey)).toBeUndefined();
  client.close();
}, 300_000);
