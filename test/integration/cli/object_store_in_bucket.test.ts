import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { VersionMetadata } from '#cli/object_store/object_store';
import { readWhole } from '#connectors/files/file_system';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { assetPath } from '#kernel/project_root';
import { sha256 } from '#registry/packages/package_files';
import { runCommand } from '../../support/platforms/command_line.ts';
import { serviceAddress } from '../service_address.ts';

// The layout of the object store, in a bucket, by the commands alone.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const folder = mkdtempSync(join(tmpdir(), 'bucket-store-'));
const bucket = `store-${randomUUID()}`;
const root = `s3://${bucket}/lake`;
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const files = new S3Files(s3ConfigSchema.parse({ endpoint, credentials }));
const env = {
  ...{ OBJECT_STORE_DIRECTORY: root, AWS_ENDPOINT_URL_S3: endpoint, AWS_REGION: 'us-east-1' },
  ...{ AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
};

beforeAll(async () => {
  const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await runCommand(folder, args, env);
  expect([args, code, code === 0 ? '' : stderr]).toEqual([args, 0, '']);
  return stdout;
};
const below = async (prefix: string): Promise<readonly string[]> =>
  (await files.glob(`${root}/${prefix}/**/*`)).map((path) => path.slice(root.length + 1));
const hashOf = async (path: string): Promise<string> => sha256(await readWhole(files, `${root}/${path}`));

test('a promotion puts the model into production, the one before into the archive, and its checksum into metadata', async () => {
  for (const version of ['1', '2']) {
    await run('models', 'register', 'fraud_detector', SHIPPED);
    await run('models', 'promote', 'fraud_detector', version, '--force', '--reason', 'better');
  }
  const of = (place: string, version: number) =>
    ['headwater.json', 'model.onnx'].map((name) => `${place}/model=fraud_detector/version=${version}/${name}`);
  expect(await below('production')).toEqual(of('production', 2));
  expect(await below('archive')).toEqual(of('archive', 1));
  const metadata = JSON.parse(
    (await readWhole(files, `${root}/metadata/model=fraud_detector/version=2.json`)).toString(),
  ) as VersionMetadata;
  expect(metadata).toMatchObject({ stage: 'Production', change: { action: 'promote', by: 'ann', reason: 'better' } });
  const [, onnx = ''] = of('production', 2);
  expect(metadata.files['model.onnx']?.sha256).toBe(await hashOf(onnx));

  await run('models', 'rollback', 'fraud_detector', '--reason', 'alarms');
  expect(await below('production')).toEqual(of('production', 1));
  expect(await below('archive')).toEqual(of('archive', 2));
  expect(await below('logs/kind=promotion')).toHaveLength(3);
  expect(await run('object-store', 'sync')).toBe('');
}, 120_000);

test('the crawler names tables, and a file whose column has another type', async () => {
  const put = (path: string, text: string) => files.write(`${root}/${path}`, Buffer.from(text));
  await put('raw/payment/date=2026-11-28/a.jsonl', '{"id":"a","amount":1.5}\n');
  expect(await run('catalog', 'crawl', 'raw')).toBe('change  raw/payment: new table\n');
  await put('raw/payment/date=2026-11-29/b.jsonl', '{"id":"b","amount":"1.5"}\n');
  const crawled = await runCommand(folder, ['catalog', 'crawl', 'raw', '--strict'], env);
  expect(crawled.code).toBe(1);
  expect(crawled.stdout).toContain(
    'drift  raw/payment: column amount was double, is double or string (raw/payment/date=2026-11-29/b.jsonl)',
  );
  expect(crawled.stdout).toContain('change  raw/payment: new date: 2026-11-29');
  expect(await run('catalog', 'list')).toBe(
    'raw/payment  2 files of jsonl, by date (2): id string, amount double or string\n',
  );
}, 60_000);
