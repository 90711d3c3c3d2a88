import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readWhole } from '#connectors/files/file_system';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { assetPath } from '#kernel/project_root';
import { type CommandOutcome, runCommand } from '../../support/platforms/command_line.ts';
import { serviceAddress } from '../service_address.ts';

// Backups in a bucket, by the commands alone: what is written, verified, damaged, expired and restored.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const folder = mkdtempSync(join(tmpdir(), 'bucket-backup-'));
const bucket = `backup-${randomUUID()}`;
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const files = new S3Files(s3ConfigSchema.parse({ endpoint, credentials }));
const env = {
  ...{ BACKUP_DIRECTORY: `s3://${bucket}/production`, BACKUP_SECRET: 'a secret of tests that is long enough' },
  ...{ AWS_ENDPOINT_URL_S3: endpoint, AWS_REGION: 'us-east-1' },
  ...{ AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
};

const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<CommandOutcome> =>
  runCommand(folder, args, { ...env, ...more });
const succeed = async (args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string> => {
  const { code, stdout, stderr } = await run(args, more);
  expect([args, code, code === 0 ? '' : stderr]).toEqual([args, 0, '']);
  return stdout;
};
const objects = (): Promise<readonly string[]> => files.glob(`s3://${bucket}/production/**/*`);
const modelFile = (): Buffer => readFileSync(join(folder, 'exported/model.onnx'));

beforeAll(async () => {
  const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  await succeed(['models', 'register', 'fraud_detector', SHIPPED]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Written {
  readonly id: string;
  readonly writtenBytes: number;
}

test('a backup in a bucket is verified, written once, and restored byte for byte', async () => {
  const first = JSON.parse(await succeed(['backup', 'create', '--json'])) as Written;
  const second = JSON.parse(await succeed(['backup', 'create', '--json'])) as Written;
  expect(second.writtenBytes).toBeLessThan(first.writtenBytes / 2);
  expect(await succeed(['backup', 'verify', first.id])).toContain(first.id);
  expect(JSON.parse(await succeed(['backup', 'list', '--json']))).toMatchObject([{ id: first.id }, { id: second.id }]);

  rmSync(join(folder, 'data'), { recursive: true });
  await succeed(['restore']);
  await succeed(['models', 'export', 'fraud_detector', '1', '--out', join(folder, 'exported')]);
  expect(modelFile().equals(readFileSync(join(SHIPPED, 'model.onnx')))).toBe(true);
}, 180_000);

test('with another secret nothing is read', async () => {
  const { code, stderr } = await run(['backup', 'verify'], { BACKUP_SECRET: 'another secret that is long enough' });
  expect(code).not.toBe(0);
  expect(stderr).not.toBe('');
}, 60_000);

test('what has expired is removed from the bucket, and the newest backup stays whole', async () => {
  const before = await objects();
  await succeed(['backup', 'create'], { BACKUP_KEEP: '1ms' });
  expect((await objects()).length).toBeLessThan(before.length);
  expect(JSON.parse(await succeed(['backup', 'list', '--json']))).toHaveLength(1);
  await succeed(['backup', 'verify']);
}, 120_000);

test('an object that was changed or removed in the bucket is named, and nothing is restored from it', async () => {
  const sized = await Promise.all(
    (await objects()).map(async (path) => ({ path, bytes: (await readWhole(files, path)).length })),
  );
  const { path } = sized.reduce((a, b) => (a.bytes > b.bytes ? a : b));
  const named = [1, expect.stringContaining(path.split('/').at(-1) as string)];
  const verified = async () =>
    run(['backup', 'verify']).then(({ code, stdout, stderr }) => [code, `${stdout}${stderr}`]);
  await files.write(path, Buffer.alloc(1_000, 7));
  expect(await verified()).toEqual(named);
  await files.remove(path);
  expect(await verified()).toEqual(named);
  rmSync(join(folder, 'data'), { recursive: true });
  expect((await run(['restore'])).code).not.toBe(0);
}, 180_000);
