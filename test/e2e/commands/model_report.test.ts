import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { HOUR_MS } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { serviceAddress } from '../../integration/service_address.ts';
import { runCommand } from '../../support/platforms/command_line.ts';

const folder = mkdtempSync(join(tmpdir(), 'report-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const BUCKET = 'headwater-reports';
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const config = s3ConfigSchema.parse({ endpoint: serviceAddress('TEST_S3_ENDPOINT'), credentials });

beforeAll(async () => {
  const { region, endpoint } = config;
  const client = new S3Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    credentials,
    forcePathStyle: true,
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET })).catch(() => {});
  const sql = new PgliteExecutor(join(folder, 'data', 'offline'));
  const store = sqlOfflineDatabase({ sql, log: silentLogger }, 'pglite');
  await store.start();
  const column = {
    column: 'amount',
    kind: 'feature',
    psi: 0.31,
    nullShare: 0,
    outOfRangeShare: 0,
    drifted: true,
  } as const;
  const windows = [1, 2, 3].map((hours) => ({
    ...{
      model: 'fraud_detector',
      version: 1,
      windowStartMs: Date.UTC(2026, 0, 1) + hours * HOUR_MS,
      windowMs: HOUR_MS,
    },
    ...{ rows: 500, columns: [column], reportedAtMs: Date.now() },
  }));
  await store.drift.write(windows);
  await store.stop();
}, 60_000);

test('what is told on a schedule: a page of each model that is served, in a bucket', async () => {
  const env = {
    ...{ AWS_ENDPOINT_URL_S3: serviceAddress('TEST_S3_ENDPOINT'), AWS_REGION: config.region },
    ...{ AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
  };
  const out = `s3://${BUCKET}/{date}/{model}.html`;
  const { code, stdout } = await runCommand(folder, ['monitor', 'report', '--out', out], env);
  expect(code).toBe(0);
  const written = `s3://${BUCKET}/${new Date().toISOString().slice(0, 10)}/fraud_detector.html`;
  expect(stdout).toContain(`3 windows are in ${written}`);
  const file = await new S3Files(config).open(written);
  const page = (await file.read(0, await file.size())).toString();
  expect(page).toMatch(/fraud_detector 1 at work[\s\S]*<svg[\s\S]*amount/);
  await file.close();
  const unknown = await runCommand(folder, ['monitor', 'report', 'nobody'], env);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('no window of nobody was compared yet')]);
}, 120_000);

test('a report of the last days, in a bucket, with its pictures', async () => {
  const env = {
    ...{ AWS_ENDPOINT_URL_S3: serviceAddress('TEST_S3_ENDPOINT'), AWS_REGION: config.region },
    ...{ AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
  };
  const args = ['report', 'write', '--out', `s3://${BUCKET}/week/{date}`, '--days', '366'];
  const { code, stdout } = await runCommand(folder, args, env);
  const place = `s3://${BUCKET}/week/${new Date().toISOString().slice(0, 10)}`;
  expect([code, stdout]).toEqual([0, expect.stringContaining(`${place}/report.html`)]);
  const found = await new S3Files(config).glob(`${place}/*`);
  expect(found.map((path) => path.slice(place.length + 1)).sort()).toEqual(
    expect.arrayContaining(['chart_1.svg', 'chart_2.svg', 'report.html', 'report.md']),
  );
}, 60_000);
