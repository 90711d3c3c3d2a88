import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { beforeAll, expect, test } from '@jest/globals';
import { encodeRows } from '#connectors/files/encode_rows';
import type { ReadRow, Row } from '#connectors/files/formats';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { DAY_MS, eventTime } from '#kernel/time';
import { writeFiles } from '#pipelines/io/file_sink';
import { FileSource, type FileSourceSettings } from '#pipelines/io/file_source';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, parDo, read, withTimestamps } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { FaultProxy } from '../../support/servers/fault_proxy.ts';
import { serviceAddress } from '../service_address.ts';

const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const config = s3ConfigSchema.parse({ endpoint: serviceAddress('TEST_S3_ENDPOINT'), credentials });
const files = new S3Files(config);
const fileSystems = () => files;
let bucket: string;

beforeAll(async () => {
  bucket = `headwater-${randomUUID()}`;
  const endpoint = serviceAddress('TEST_S3_ENDPOINT');
  const client = new S3Client({ region: config.region, endpoint, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }));
});

const rowsOf = (count: number): Row[] => Array.from({ length: count }, (_, n) => ({ n, text: `row ${n} é€` }));
const byN = (rows: readonly ReadRow[]): Row[] =>
  rows.flatMap((row) => (row.ok ? [row.row] : [])).sort((a, b) => Number(a.n) - Number(b.n));

async function readAll(patterns: readonly string[], settings: Partial<FileSourceSettings<ReadRow>> = {}) {
  const rows: ReadRow[] = [];
  const source = new FileSource<ReadRow>({ patterns, fileSystems, decode: (row) => ({ element: row }), ...settings });
  const plan = createPipeline((root) => {
    root
      .apply(read('files', source, 'Files'))
      .apply(parDo<ReadRow, never>({ process: (row) => void rows.push(row) }, { name: 'Take' }));
  });
  await runEmbedded(plan).finished;
  return rows;
}

async function bytesOf(path: string): Promise<Buffer> {
  const file = await files.open(path);
  return file.read(0, await file.size());
}

test('what was written is read back, also a version that has been replaced', async () => {
  const path = `s3://${bucket}/versions/a file, with ümläuts.bin`;
  const first = await files.write(path, Buffer.from([0, 1, 2, 255]));
  await files.write(path, Buffer.from('the second'));
  expect(await bytesOf(path)).toEqual(Buffer.from('the second'));
  expect(first).toMatch(/\?versionId=/);
  expect(await bytesOf(first)).toEqual(Buffer.from([0, 1, 2, 255]));
});

test('patterns find what a shell would, also past the thousand of a page', async () => {
  const names = Array.from({ length: 1_050 }, (_, n) => `page/${n % 2}/part-${String(n).padStart(4, '0')}.jsonl`);
  for (let from = 0; from < names.length; from += 50) {
    await Promise.all(
      names.slice(from, from + 50).map((name) => files.write(`s3://${bucket}/${name}`, Buffer.from('{}'))),
    );
  }
  expect(await files.glob(`s3://${bucket}/page/**/*.jsonl`)).toEqual(
    names.map((name) => `s3://${bucket}/${name}`).sort(),
  );
  expect(await files.glob(`s3://${bucket}/page/1/part-000?.jsonl`)).toEqual(
    [1, 3, 5, 7, 9].map((n) => `s3://${bucket}/page/1/part-000${n}.jsonl`),
  );
  expect(await files.glob(`s3://${bucket}/page/1/part-0001.jsonl`)).toHaveLength(1);
  expect(await files.glob(`s3://${bucket}/page/*.jsonl`)).toEqual([]);
}, 60_000);

test('each format is read from a bucket; JSON lines in parts, Parquet by row groups', async () => {
  const rows = rowsOf(60_000);
  const jsonl = encodeRows('jsonl', rows);
  await files.write(`s3://${bucket}/formats/a.jsonl`, jsonl);
  expect(byN(await readAll([`s3://${bucket}/formats/*.jsonl`], { partBytes: 300_001 }))).toEqual(rows);
  await files.write(`s3://${bucket}/formats/b.parquet`, encodeRows('parquet', rows));
  expect(byN(await readAll([`s3://${bucket}/formats/*.parquet`]))).toEqual(rows);
  await files.write(`s3://${bucket}/formats/c.jsonl.gz`, gzipSync(jsonl));
  expect(byN(await readAll([`s3://${bucket}/formats/*.gz`]))).toEqual(rows);
  await files.write(`s3://${bucket}/formats/empty.jsonl`, Buffer.alloc(0));
  expect(await readAll([`s3://${bucket}/formats/empty.jsonl`])).toEqual([]);
}, 60_000);

test('a pipeline writes its files into a bucket, by day', async () => {
  const rows = rowsOf(1_000);
  const start = Date.UTC(2026, 0, 1);
  const plan = createPipeline((root) => {
    const directory = `s3://${bucket}/features/`;
    root
      .apply(create(rows))
      .apply(withTimestamps(({ n }) => eventTime(start + Number(n) * (DAY_MS / 500))))
      .apply(
        writeFiles({ directory, format: 'parquet', windowSeconds: 86_400, shards: 2, fileSystems }, ({ n }) =>
          Number(n),
        ),
      );
  });
  await runEmbedded(plan).finished;
  const written = await files.glob(`s3://${bucket}/features/**`);
  expect(written.map((path) => path.replace(`s3://${bucket}/features/`, ''))).toEqual(
    ['01', '02'].flatMap((day) =>
      [0, 1].map((shard) => `year=2026/month=01/day=${day}/part-202601${day}T000000Z-${shard}-of-2-0.parquet`),
    ),
  );
  expect(byN(await readAll([`s3://${bucket}/features/**/*.parquet`]))).toEqual(rows);
}, 60_000);

test('what is wrong is said: no such object, no such bucket, wrong secret, no server', async () => {
  const missing = `s3://${bucket}/nothing.jsonl`;
  await expect(bytesOf(missing)).rejects.toMatchObject({
    code: 'CONNECTOR_UNREADABLE_FILE',
    message: expect.stringContaining(missing),
  });
  await expect(files.glob('s3://no-such-bucket-here/*')).rejects.toThrow(/no-such-bucket-here.*404 NoSuchBucket/);
  const stranger = new S3Files({ ...config, credentials: { ...credentials, secretAccessKey: 'wrong' } });
  await expect(stranger.glob(`s3://${bucket}/*`)).rejects.toThrow(/403 SignatureDoesNotMatch/);
  const nowhere = new S3Files({ ...config, endpoint: 'http://127.0.0.1:1' });
  await expect(nowhere.glob(`s3://${bucket}/*`)).rejects.toMatchObject({
    code: 'CONNECTOR_UNAVAILABLE',
    message: expect.stringContaining('127.0.0.1:1'),
  });
  await expect(files.open('s3://bucket-only')).rejects.toThrow(/s3:\/\/bucket\/key/);
}, 60_000);

test('connections that break while a file is read are made again', async () => {
  const rows = rowsOf(400_000);
  await files.write(`s3://${bucket}/storm/a.jsonl.gz`, gzipSync(encodeRows('jsonl', rows), { level: 0 }));
  const proxy = await FaultProxy.start(Number(new URL(serviceAddress('TEST_S3_ENDPOINT')).port));
  const shaky = new S3Files({ ...config, endpoint: `http://127.0.0.1:${proxy.port}` });
  let resets = 0;
  const storm = setInterval(() => {
    proxy.weather = { kind: 'reset' };
    proxy.weather = { kind: 'fine' };
    resets += 1;
  }, 100);
  const read = await readAll([`s3://${bucket}/storm/*`], { fileSystems: () => shaky });
  clearInterval(storm);
  await proxy.stop();
  expect(resets).toBeGreaterThan(0);
  expect(read).toHaveLength(rows.length);
  expect(byN(read).at(-1)).toEqual(rows.at(-1));
}, 60_000);
