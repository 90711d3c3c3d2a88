import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { HOUR_MS } from '#kernel/time';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { ProjectCopy } from '../../support/platforms/project_copy.ts';
import { until } from '../../support/servers/redis_servers.ts';
import { serviceAddress } from '../service_address.ts';

// `headwater apply` on another machine than the pipeline's, with Kafka, Redis, PostgreSQL and the archive in a bucket: the pipeline takes the state over from there.

const run = `apply_${randomBytes(4).toString('hex')}`;
const bucket = run.replace('_', '-');
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const s3 = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true });
const redis = new URL(serviceAddress('TEST_REDIS_URL'));
const postgres = new URL(serviceAddress('TEST_POSTGRES_URL'));
let folder: string;
let project: ProjectCopy;
let platform: PlatformProcess | undefined;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'apply-on-servers-'));
  mkdirSync(join(folder, 'project'));
  project = new ProjectCopy(join(folder, 'project'));
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
});
afterAll(async () => {
  await platform?.kill();
  rmSync(folder, { recursive: true, force: true });
});

const env = () => ({
  ...project.env,
  ...{ ENVIRONMENT: 'services', NAMESPACE: run, ARCHIVE_ENABLED: 'true', ARCHIVE_DIRECTORY: `s3://${bucket}/archive` },
  ...{ KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'), REDIS_HOST: redis.hostname, REDIS_PORT: redis.port },
  ...{ DATABASE_HOST: postgres.hostname, DATABASE_PORT: postgres.port, DATABASE_NAME: 'postgres' },
  ...{ DATABASE_USER: postgres.username, AWS_ENDPOINT_URL_S3: endpoint, AWS_REGION: 'us-east-1' },
  ...{ AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
});
const start = () => PlatformProcess.start(join(folder, 'pipeline'), { ...env(), ROLES: 'gateway,pipeline,features' });
/** As on a machine of its own: with a data directory of its own. */
const elsewhere = (...args: readonly string[]) =>
  runCommand(folder, args, { ...env(), DATA_DIRECTORY: join(folder, 'elsewhere') });

const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
async function ingest(nth: number, country: string): Promise<void> {
  const answer = await fetch(`${platform?.urls.gateway}/ingest`, {
    method: 'POST',
    body: JSON.stringify({
      ...{ event_id: `e${nth}`, user_id: 'a1', event_type: 'transaction', account_id: 'a1', amount: 1 },
      ...{ currency: 'EUR', merchant_id: 'm1', merchant_category: 'grocery', country },
      timestamp: new Date(now - 48 * HOUR_MS + nth * HOUR_MS).toISOString(),
    }),
  });
  expect(answer.status).toBe(202);
}

async function becomes(feature: string, expected: number): Promise<void> {
  let last: unknown;
  await until(async () => {
    const answer = await fetch(`${platform?.urls.features}/features/a1/${feature}?entity=account`);
    last = answer.ok ? ((await answer.json()) as { value: unknown }).value : answer.status;
    return last === expected;
  }, 60_000).catch(() => {
    throw new Error(`${feature} is ${JSON.stringify(last)}, not ${expected}\n${platform?.output.slice(-2_000)}`);
  });
}

test('state of a back-fill elsewhere comes to the pipeline by the bucket, at once or at its next start', async () => {
  platform = await start();
  for (const [nth, country] of ['DE', 'FR', 'IT', 'DE', 'ES'].entries()) await ingest(nth, country);
  await becomes('count_7d', 5);
  await until(async () => {
    const { Contents = [] } = await s3.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: 'archive/event_type=' }),
    );
    return Contents.length > 0;
  }, 60_000);
  project.edit('examples/fraud/features/fraud.ts', {
    "...count().over('1h', '6h', '24h', '7d'),":
      "...count().over('1h', '6h', '24h', '7d'),\n    ...distinct('country', { as: 'countries' }).over('7d'),",
  });
  // The one that runs has other definitions: it takes the state over when it has started with these.
  const early = await elsewhere('apply', '--yes');
  expect([early.code, early.stderr]).toEqual([0, expect.any(String)]);
  expect(early.stdout).toMatch(/other definitions: restart it/);
  await platform.terminate();
  platform = await start();
  await becomes('countries_7d', 4);
  await ingest(5, 'PT');
  await becomes('countries_7d', 5);

  // A whole view anew, beside the platform that runs.
  const again = await elsewhere('features', 'backfill', '--view', 'fraud@1');
  expect([again.code, again.stdout]).toEqual([0, expect.stringMatching(/has taken over the state of 1 entities/)]);
  await ingest(6, 'AT');
  await becomes('countries_7d', 6);
  await becomes('count_7d', 7);
  const left = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'archive-hand-overs/' }));
  expect((left.Contents ?? []).map(({ Key }) => Key)).toEqual([]);

  // On the pipeline's own machine, the archive holds what came a moment ago.
  await ingest(7, 'CH');
  await becomes('count_7d', 8);
  project.edit('examples/fraud/features/fraud.ts', {
    "...count().over('1h', '6h', '24h', '7d'),":
      "...count().over('1h', '6h', '24h', '7d'),\n    ...distinct('currency', { as: 'currencies' }).over('7d'),",
  });
  const plan = await runCommand(folder, ['plan', '--json'], { ...env(), DATA_DIRECTORY: join(folder, 'pipeline') });
  expect((JSON.parse(plan.stdout) as { backfills: unknown[] }).backfills).toMatchObject([
    { possible: true, estimated_events: 8 },
  ]);
}, 400_000);
