import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { assetPath } from '#kernel/project_root';
import { type Overlay, parseOutputs, writeOverlay } from '#scripts/terraform/overlays';

const role = (name: string): string => `arn:aws:iam::111122223333:role/headwater-prod-${name}`;
const OVERLAY: Overlay = {
  region: 'eu-west-1',
  kafka_brokers: 'b-1.aws.test:9096,b-2.aws.test:9096',
  kafka_secret: 'AmazonMSK_headwater-prod',
  redis_host: 'redis.aws.test',
  redis_is_cluster: false,
  database_host: 'postgres.aws.test',
  domain: 'ml.test',
  reports_bucket: 'headwater-prod-reports-111122223333',
  on_call_topic: 'arn:aws:sns:eu-west-1:111122223333:headwater-prod-on-call',
  role_arns: {
    ...{ pipeline: role('pipeline'), features: role('features'), serving: role('serving'), monitor: role('monitor') },
    ...{ jobs: role('jobs'), alertmanager: role('alertmanager'), secrets: role('secrets'), mlflow: role('mlflow') },
  },
};
const outputs = (overlay: unknown): string => JSON.stringify({ overlay: { value: overlay, sensitive: false } });

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headwater-overlays-'));
});
afterEach(() => rm(folder, { recursive: true }));

const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');

test.each(['staging', 'production'])('%s has the addresses, hosts, region and roles of the outputs', async (name) => {
  await cp(assetPath(`k8s/overlays/${name}`), folder, { recursive: true });
  await writeOverlay(folder, parseOutputs(outputs(OVERLAY)));
  const config = parse(await read('config.yaml'));
  expect(config.data).toMatchObject({
    ENVIRONMENT: 'services,production',
    KAFKA_BROKERS: OVERLAY.kafka_brokers,
    KAFKA_SASL_MECHANISM: 'scram-sha-512',
    REDIS_HOST: 'redis.aws.test',
    REDIS_TLS: 'true',
    DATABASE_HOST: 'postgres.aws.test',
    MLFLOW_TRACKING_URI: 'https://mlflow.ml.test',
    REPORTS: 's3://headwater-prod-reports-111122223333',
    AWS_REGION: 'eu-west-1',
  });
  expect(await read('config.yaml')).toContain('# The ingress ends TLS');
  const ingress = parse(await read('ingress.yaml'));
  expect(ingress.spec.rules.map(({ host }: { host: string }) => host)).toEqual(ingress.spec.tls[0].hosts);
  expect(ingress.spec.tls[0].hosts).toEqual(['ingest.ml.test', 'features.ml.test', 'predict.ml.test']);
  const [store, account] = parseAllDocuments(await read('secret_store.yaml')).map((document) => document.toJS());
  expect(store.spec.provider.aws.region).toBe('eu-west-1');
  expect(account.metadata.annotations).toEqual({ 'eks.amazonaws.com/role-arn': role('secrets') });
  const accounts = parseAllDocuments(await read('aws.yaml')).map((document) => document.toJS());
  expect(accounts.map(({ metadata }) => [metadata.name, metadata.annotations['eks.amazonaws.com/role-arn']])).toEqual(
    ['pipeline', 'features', 'serving', 'monitor', 'jobs'].map((each) => [each, role(each)]),
  );
  expect(await read('kafka_secret.yaml')).toContain('key: AmazonMSK_headwater-prod');
  const { patches } = parse(await read('kustomization.yaml')) as { patches: { path?: string }[] };
  expect(patches.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['config.yaml', 'aws.yaml', 'kafka_secret.yaml']),
  );
});

test('written twice, an overlay is the same; a cluster of Redis has its setting', async () => {
  await cp(assetPath('k8s/overlays/production'), folder, { recursive: true });
  const names = await writeOverlay(folder, OVERLAY);
  const first = await Promise.all(names.map(read));
  await writeOverlay(folder, OVERLAY);
  expect(await Promise.all(names.map(read))).toEqual(first);
  await writeOverlay(folder, { ...OVERLAY, redis_is_cluster: true });
  const { data } = parse(await read('config.yaml'));
  expect(data.REDIS_CLUSTER).toBe('redis.aws.test:6379');
  expect(data).not.toHaveProperty('REDIS_HOST');
});

test.each([
  ['no overlay', {}, 'the outputs have no "overlay"'],
  ['a missing role', { ...OVERLAY, role_arns: { ...OVERLAY.role_arns, jobs: undefined } }, 'role_arns.jobs'],
  ['brokers without a port', { ...OVERLAY, kafka_brokers: 'b-1' }, 'must be host:port'],
])('%s is refused by name', (what, overlay, message) => {
  expect(() => parseOutputs(what === 'no overlay' ? '{}' : outputs(overlay))).toThrow(message);
});
