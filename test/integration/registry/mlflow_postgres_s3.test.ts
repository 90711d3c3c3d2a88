import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { artifactFiles } from '#cli/parts/open_registry';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { MlflowRegistry } from '#registry/mlflow/mlflow_registry';
import type { RunningServer } from '#scripts/services/managed_process';
import { startMlflow } from '#scripts/services/servers';
import { describeRegistry } from '../../conformance/registry/registry_contract.ts';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { serviceAddress } from '../service_address.ts';

// MLflow with PostgreSQL behind it and artifacts in S3 that it does not hand out itself: they are read and written where they lie.

const DATABASE = `mlflow_${Date.now()}`;
const BUCKET = `models-${Date.now()}`;
const folder = mkdtempSync(join(tmpdir(), 'mlflow-s3-'));
const credentials = () => ({
  AWS_ENDPOINT_URL_S3: serviceAddress('TEST_S3_ENDPOINT'),
  MLFLOW_S3_ENDPOINT_URL: serviceAddress('TEST_S3_ENDPOINT'),
  AWS_ACCESS_KEY_ID: serviceAddress('TEST_S3_ACCESS_KEY'),
  AWS_SECRET_ACCESS_KEY: serviceAddress('TEST_S3_SECRET_KEY'),
  AWS_REGION: 'us-east-1',
});
let server: RunningServer;
let s3: S3Client;

beforeAll(async () => {
  // The SDK's own chain reads them from here.
  Object.assign(process.env, credentials());
  const url = serviceAddress('TEST_POSTGRES_URL');
  const postgres = new Client({ connectionString: url });
  await postgres.connect();
  await postgres.query(`CREATE DATABASE ${DATABASE}`);
  await postgres.end();
  s3 = new S3Client({ endpoint: serviceAddress('TEST_S3_ENDPOINT'), region: 'us-east-1', forcePathStyle: true });
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const { username, host } = new URL(url);
  server = await startMlflow(folder, {
    backendStore: `postgresql+psycopg2://${username}@${host}/${DATABASE}`,
    artifacts: ['--no-serve-artifacts', '--default-artifact-root', `s3://${BUCKET}/mlflow`],
    env: credentials(),
  });
}, 240_000);
afterAll(async () => {
  await server?.stop();
  s3?.destroy();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

const open = () =>
  new MlflowRegistry(
    mlflowConfigSchema.parse({
      ...{ kind: 'mlflow', experimentName: 'in-s3', timeoutMs: 30_000 },
      trackingUri: server.env.TEST_MLFLOW_URL,
    }),
    artifactFiles(),
  );

describeRegistry('MLflow on PostgreSQL and S3', open);

const PYTHON = `
import sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
print(mlflow.onnx.load_model(f"models:/{sys.argv[2]}@champion").graph.name)
`;

test('what was registered here lies in the bucket, and Python loads it from there', async () => {
  const registry = open();
  const name = `s3-${Date.now()}`;
  const { version } = await registry.register({ name, package: tinyModel(0.5), metrics: { auc: 0.9 }, params: {} });
  await registry.transition(name, version, 'Production');
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: 'mlflow/' }));
  expect(Contents.map(({ Key = '' }) => Key.split('/').at(-1))).toEqual(
    expect.arrayContaining(['MLmodel', 'model.onnx', 'headwater.json']),
  );
  const args = ['-W', 'ignore', '-c', PYTHON, server.env.TEST_MLFLOW_URL as string, name];
  const output = execFileSync(serviceAddress('TEST_MLFLOW_PYTHON'), args, {
    ...{ encoding: 'utf8', timeout: 120_000, env: { ...process.env, ...credentials() } },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  expect(output.trim().split('\n').at(-1)).toBe('mlp');
}, 150_000);

test('without access to where artifacts lie, this is said', async () => {
  const blind = new MlflowRegistry(
    mlflowConfigSchema.parse({ kind: 'mlflow', experimentName: 'in-s3', trackingUri: server.env.TEST_MLFLOW_URL }),
  );
  await expect(
    blind.register({ name: `blind-${Date.now()}`, package: tinyModel(1), metrics: {}, params: {} }),
  ).rejects.toMatchObject({ message: expect.stringContaining(`its artifacts lie at s3://${BUCKET}/mlflow`) });
}, 60_000);
