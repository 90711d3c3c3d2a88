import { randomUUID } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, expect, test } from '@jest/globals';
import { openDuckDb } from '#connectors/files/duckdb/duckdb';
import { pathIn, readWhole } from '#connectors/files/file_system';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { assetPath } from '#kernel/project_root';
import { serviceAddress } from '../integration/service_address.ts';
import { commandEnvironment, runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

// Predictions of every entity, by schedule, in a bucket: rows of the files are what the metric counts.

const folder = mkdtempSync(join(tmpdir(), 'scheduled-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bucket = `predictions-${randomUUID()}`;
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const files = new S3Files(s3ConfigSchema.parse({ endpoint, credentials }));

/** The example fraud, whose predictions go into the bucket. */
function projectInBucket(): string {
  const project = join(folder, 'fraud');
  cpSync(assetPath('examples/fraud'), project, { recursive: true });
  const settings = join(project, 'configs/default.yaml');
  const predictions = `s3://${bucket}/predictions`;
  writeFileSync(settings, readFileSync(settings, 'utf8').replace(/predictions: .*/, `predictions: ${predictions}`));
  return project;
}

/** Copies the objects below a prefix into a folder, as DuckDB reads them without a network. */
async function copied(prefix: string): Promise<string> {
  const target = join(folder, 'copied');
  for (const path of await files.glob(`${prefix}/**/*.jsonl`)) {
    const file = join(target, path.slice(prefix.length));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, await readWhole(files, path));
  }
  return target;
}

test('a schedule writes predictions of every entity below the date; the metric counts the rows of the files', async () => {
  const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  const env = {
    ...{ HEADWATER_PROJECT: projectInBucket(), AWS_ENDPOINT_URL_S3: endpoint, AWS_REGION: 'us-east-1' },
    ...{ AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
  };
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runCommand(folder, args, env);
    expect([code, args, code === 0 ? '' : stderr]).toEqual([0, args, '']);
    return stdout;
  };
  const payments = generateTransactions({ seed: 11, events: 1_200, accounts: 80, days: 4, endMs: Date.now() }).filter(
    ({ arrival, timestampMs }) => arrival !== 'invalid' && timestampMs <= Date.now(),
  );
  const events = join(folder, 'payments.jsonl');
  writeFileSync(events, payments.map(({ body }) => `${body}\n`).join(''));
  await run('features', 'backfill', '--view', 'fraud@1', '--in', events);

  const platform = await PlatformProcess.start(commandEnvironment(folder).DATA_DIRECTORY, env);
  try {
    const runs = [];
    for (let each = 0; each < 2; each += 1) {
      const started = JSON.parse(await run('schedules', 'trigger', 'review', '--json')) as { readonly id: string };
      runs.push(started.id);
    }
    let ended: readonly { readonly id: string; readonly status: string }[] = [];
    for (let tries = 0; tries < 600; tries += 1) {
      ended = JSON.parse(await run('workflows', 'list', '--json')) as typeof ended;
      if (runs.every((id) => ended.some((each) => each.id === id && !['queued', 'running'].includes(each.status))))
        break;
      await sleep(200);
    }
    expect(runs.map((id) => ended.find((each) => each.id === id)?.status)).toEqual(['succeeded', 'succeeded']);

    const exposed = await Promise.all(
      Object.values(platform.urls).map(async (url) => (await fetch(`${url}/metrics`)).text()),
    );
    const counted = exposed
      .flatMap((text) => [
        ...text.matchAll(/^workflow_written_rows_total\{[^}]*predictions\/fraud_detector[^}]*\} (\d+)$/gm),
      ])
      .map(([, value]) => Number(value));
    const accounts = new Set(payments.map(({ accountId }) => accountId)).size;
    expect(counted).toContain(2 * accounts);

    const local = await copied(`s3://${bucket}/predictions`);
    const duckdb = await openDuckDb('a test');
    try {
      const rows = await duckdb.connection.runAndReadAll(
        `SELECT model, CAST(date AS VARCHAR) AS date, count(DISTINCT run) AS runs, count(*) AS rows, count(DISTINCT entity_key) AS entities
         FROM read_json_auto('${pathIn(local, '**/*.jsonl')}', hive_partitioning = true) GROUP BY ALL`,
      );
      expect(rows.getRowObjectsJson()).toEqual([
        {
          ...{ model: 'fraud_detector', date: new Date().toISOString().slice(0, 10), runs: '2' },
          ...{ rows: String(2 * accounts), entities: String(accounts) },
        },
      ]);
    } finally {
      duckdb.close();
    }
  } finally {
    await platform.terminate();
  }
}, 240_000);
