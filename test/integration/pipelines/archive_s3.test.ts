import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { FileSystemOf } from '#connectors/files/file_systems';
import { S3Files, s3ConfigSchema } from '#connectors/files/s3_files';
import { MemoryLog } from '#connectors/memory/memory_log';
import { fraudView } from '#feature_store/views/fraud';
import { DAY_MS, HOUR_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { readList } from '#pipelines/archive/archive_list';
import { archivePlace } from '#pipelines/archive/archive_place';
import { ArchiveReader } from '#pipelines/archive/archive_reader';
import { EventArchive } from '#pipelines/archive/event_archive';
import { FaultProxy } from '../../support/fault_proxy.ts';
import { serviceAddress } from '../service_address.ts';

// The archive in a bucket: one writer at a time, each event once, also when a writer is cut off, taken for gone, and comes back.

const TOPIC = 'raw-events';
const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
const LEASE = { beatMs: 100, staleMs: 1_500 };
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const filesAt =
  (url: string): FileSystemOf =>
  () =>
    new S3Files(s3ConfigSchema.parse({ endpoint: url, credentials: { ...credentials }, requestTimeoutMs: 1_000 }));

let folder: string;
let broker: MemoryLog;
let directory: string;
let id = 0;
const running: EventArchive[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'archive-s3-'));
  const config = { kind: 'memory', directory: join(folder, 'log'), fsync: 'never', segmentBytes: 1e8 } as const;
  broker = new MemoryLog({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  await broker.ensureTopics([{ name: TOPIC, partitions: 2 }]);
  const bucket = `archive-${randomUUID()}`;
  const client = new S3Client({ region: 'us-east-1', endpoint, credentials: { ...credentials }, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  directory = `s3://${bucket}/events`;
});
afterEach(async () => {
  for (const archive of running.splice(0)) await archive.stop();
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

function archive(fileSystems = filesAt(endpoint)): EventArchive {
  const made = new EventArchive(
    {
      ...{ broker, log: silentLogger, clock: systemClock, metrics: createMetricsRegistry({ process: false }) },
      ...{ sources: [fraudView.source], fileSystems },
    },
    { topic: TOPIC, directory, flushEveryMs: 200, keepMs: 400 * DAY_MS, lease: LEASE },
  );
  running.push(made);
  return made;
}

async function send(count: number): Promise<void> {
  const records = Array.from({ length: count }, () => {
    id += 1;
    const time = new Date(NOW - (id % 3) * DAY_MS).toISOString();
    const value = `{"event_id":"e${id}","user_id":"a${id % 5}","event_type":"transaction","timestamp":"${time}","account_id":"a${id % 5}","amount":1.50,"currency":"EUR","merchant_id":"m","merchant_category":"grocery","country":"DE"}`;
    return { key: `a${id % 5}`, value };
  });
  await broker.producer.send(TOPIC, records);
}

async function archivedIds(): Promise<readonly string[]> {
  const reader = new ArchiveReader(archivePlace(directory, filesAt(endpoint)), ['transaction']);
  const ids: string[] = [];
  for (let event = await reader.peek(); event !== undefined; event = await reader.peek()) {
    ids.push(String((JSON.parse(event.payload) as { event_id: string }).event_id));
    reader.take();
  }
  return ids.sort();
}

const sent = (from: number): readonly string[] =>
  Array.from({ length: id - from }, (_, at) => `e${from + at + 1}`).sort();

test('a second writer is refused while the first one runs, and named; when that one has stopped it begins at once', async () => {
  const from = id;
  await send(20);
  const first = archive();
  await first.start();
  await first.catchUp(20_000);
  await expect(archive().start()).rejects.toThrow(
    new RegExp(`the archive in ${directory} is written by process ${process.pid} on`),
  );
  await send(10);
  await first.catchUp(20_000);
  await first.stop();
  const next = archive();
  const startedMs = performance.now();
  await next.start();
  expect(performance.now() - startedMs).toBeLessThan(LEASE.staleMs);
  await send(10);
  await next.catchUp(20_000);
  expect(await archivedIds()).toEqual(sent(from));
  const place = archivePlace(directory, filesAt(endpoint));
  expect(await place.names()).toEqual((await readList(place))?.files.map(({ name }) => name).sort());
}, 60_000);

test('of writers that begin at once, one gets the archive', async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => archive().start()));
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
}, 60_000);

test('a writer that was cut off and taken for gone commits nothing when it comes back: each event is in one file', async () => {
  const from = id;
  const proxy = await FaultProxy.start(Number(new URL(endpoint).port));
  try {
    await send(20);
    const first = archive(filesAt(`http://127.0.0.1:${proxy.port}`));
    await first.start();
    await first.catchUp(20_000);
    proxy.weather = { kind: 'reset' };
    await send(20);
    const second = archive();
    await second.start();
    await second.catchUp(20_000);
    proxy.weather = { kind: 'fine' };
    await send(20);
    await first.flush().catch(() => {});
    await second.catchUp(20_000);
    expect(await archivedIds()).toEqual(sent(from));
    await second.stop();
    // The first one takes over again by itself.
    await send(5);
    for (const endMs = Date.now() + 40_000; Date.now() < endMs; ) {
      if ((await archivedIds()).length === id - from) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(await archivedIds()).toEqual(sent(from));
  } finally {
    await proxy.stop();
  }
}, 120_000);
