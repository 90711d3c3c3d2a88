import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { DAY_MS, HOUR_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { readList } from '#pipelines/archive/archive_list';
import { archivePlace } from '#pipelines/archive/archive_place';
import { ArchiveReader } from '#pipelines/archive/archive_reader';
import { BucketOwner } from '#pipelines/archive/bucket_owner';
import { EventArchive } from '#pipelines/archive/event_archive';
import { thisProcess } from '#storage/process_identity';
import { fraudView } from '../../../examples/fraud/features/fraud.ts';
import { serviceAddress } from '../service_address.ts';

// The archive of raw events in a bucket: each event once, whatever happens to the process that writes, and whoever else writes.

const TOPIC = 'raw-events';
const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
const OWNER = { beatMs: 100, staleMs: 600 };
const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const files = new S3Files(s3ConfigSchema.parse({ endpoint, credentials }));
const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true });
const bucket = `archive-${randomUUID()}`;

let prefix: string;
let directory: string;
let broker: DiskLog;
beforeAll(async () => void (await client.send(new CreateBucketCommand({ Bucket: bucket }))));
beforeEach(async () => {
  prefix = `s3://${bucket}/${randomUUID()}`;
  directory = mkdtempSync(join(tmpdir(), 'archive-bucket-'));
  const config = { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 } as const;
  broker = new DiskLog({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  await broker.ensureTopics([{ name: TOPIC, partitions: 2 }]);
});
afterEach(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

const place = () => archivePlace(prefix, () => files);
const archive = (keepMs = 400 * DAY_MS): EventArchive =>
  new EventArchive(
    {
      ...{ broker, log: silentLogger, clock: systemClock, metrics: createMetricsRegistry({ process: false }) },
      ...{ sources: fraudView.sources, fileSystems: () => files },
    },
    { topic: TOPIC, directory: prefix, flushEveryMs: 60_000, keepMs, owner: OWNER },
  );

let sequence = 0;
async function send(count: number): Promise<void> {
  for (let nth = 0; nth < count; nth += 1) {
    const id = `e${sequence++}`;
    const value = `{"event_id":"${id}","user_id":"u","event_type":"transaction","timestamp":"${new Date(NOW - (sequence % 3) * DAY_MS).toISOString()}","account_id":"a${sequence % 5}","amount":1.50,"currency":"EUR","merchant_id":"m","merchant_category":"grocery","country":"DE"}`;
    await broker.producer.send(TOPIC, [{ key: `a${sequence % 5}`, value }]);
  }
}

async function archived(): Promise<readonly string[]> {
  const reader = new ArchiveReader(place(), ['transaction']);
  const ids: string[] = [];
  for (let event = await reader.peek(); event !== undefined; event = await reader.peek()) {
    ids.push(event.eventId ?? '');
    reader.take();
  }
  return ids.sort();
}

async function inTopic(): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const partition of await broker.listPartitions(TOPIC)) {
    const reader = await broker.openPartition(TOPIC, partition, { startAt: 'earliest' });
    for (;;) {
      const records = await reader.poll({ maxRecords: 1_000, maxWaitMs: 0, signal: new AbortController().signal });
      if (records.length === 0) break;
      ids.push(...records.map(({ value }) => (JSON.parse(value.toString()) as { event_id: string }).event_id));
    }
    await reader.close();
  }
  return ids.sort();
}

const keyOf = (name: string): string => `${prefix.slice(`s3://${bucket}/`.length)}/${name}`;
const put = (name: string, body: string | Buffer) =>
  client.send(new PutObjectCommand({ Bucket: bucket, Key: keyOf(name), Body: body }));
/** As a process on another machine leaves it. */
const foreignOwner = () =>
  put(
    '_owner.json',
    JSON.stringify({
      ...{ ...thisProcess(), bootId: 'another', host: 'elsewhere', pid: 7, since: new Date().toISOString() },
      ...{ token: randomUUID(), beat: Math.random() },
    }),
  );

test('each event is in one object, whenever the writer ends, is lost, or leaves objects that no list names', async () => {
  const step = fc.constantFrom('send', 'send', 'flush', 'stop', 'lost', 'orphan');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 8 }), async (steps) => {
      prefix = `s3://${bucket}/${randomUUID()}`;
      let running = archive();
      await running.start();
      for (const next of steps) {
        if (next === 'send') await send(4);
        else if (next === 'flush') await running.catchUp(20_000);
        else {
          if (next === 'stop') await running.drain();
          await running.stop();
          if (next === 'lost') await foreignOwner();
          const [name] = await place().names();
          if (next === 'orphan' && name !== undefined)
            await put(name.replace(/-\d+\.parquet$/, '-99999999999999999999.parquet'), 'torn');
          running = archive();
          await running.start();
        }
      }
      await running.catchUp(20_000);
      await running.stop();
      expect(await archived()).toEqual(await inTopic());
      expect(await place().names()).toEqual((await readList(place()))?.files.map(({ name }) => name).sort());
    }),
    { numRuns: 5 },
  );
}, 300_000);

test('a second writer is refused by name while the first one works, and may begin when it has stopped', async () => {
  const first = archive();
  await first.start();
  await expect(archive().start()).rejects.toMatchObject({
    code: 'STORAGE_FOLDER_LOCKED',
    message: expect.stringContaining(`${prefix} is in use by process ${process.pid} on `),
  });
  // One that works on another machine renews its record.
  const elsewhere = `s3://${bucket}/${randomUUID()}`;
  prefix = elsewhere;
  await foreignOwner();
  const renewing = setInterval(() => void foreignOwner(), OWNER.beatMs);
  await expect(archive().start()).rejects.toMatchObject({
    message: expect.stringContaining('is in use by process 7 on elsewhere'),
  });
  clearInterval(renewing);
  const successor = archive();
  await successor.start();
  await successor.stop();
  await first.stop();
}, 60_000);

test('of many that begin at once, one owns the place', async () => {
  for (let round = 0; round < 5; round += 1) {
    const location = `s3://${bucket}/${randomUUID()}`;
    const tries = await Promise.allSettled(
      Array.from({ length: 6 }, () => BucketOwner.acquire(files, location, OWNER)),
    );
    const owners = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(owners).toHaveLength(1);
    await owners[0]?.release();
  }
}, 60_000);

test('a writer that was taken for gone commits nothing any more; what it had read is written by its successor, once', async () => {
  await send(10);
  const paused = archive();
  await paused.start();
  await paused.catchUp(20_000);
  await send(10);
  // It sleeps, its record is not renewed, and another process begins.
  const beforeTag = await place().readTagged('_owner.json');
  await files.writeIf(`${prefix}/_owner.json`, Buffer.from('{}'), beforeTag?.tag);
  await files.remove(`${prefix}/_owner.json`);
  const successor = archive();
  await successor.start();
  await expect(paused.flush()).rejects.toMatchObject({ code: 'STORAGE_LOCK_LOST' });
  await successor.catchUp(20_000);
  await send(5);
  await successor.catchUp(20_000);
  await paused.stop();
  await successor.stop();
  expect(await archived()).toEqual(await inTopic());
  expect(await archived()).toHaveLength(25);
}, 60_000);

test('an object with a changed byte, or without its end, is named when it is read', async () => {
  await send(40);
  const running = archive();
  await running.start();
  await running.catchUp(20_000);
  await running.stop();
  const [name = ''] = await place().names();
  const bytes = (await place().read(name)) as Buffer;
  for (const isTorn of [false, true]) {
    const damaged = isTorn ? bytes.subarray(0, bytes.length - 1) : Buffer.from(bytes);
    if (!isTorn) damaged[bytes.length >> 1] = (damaged[bytes.length >> 1] as number) ^ 1;
    await put(name, damaged);
    await expect(archived()).rejects.toMatchObject({
      code: 'ARCHIVE_DAMAGED_FILE',
      message: expect.stringContaining(`${prefix}/${name}`),
    });
  }
  await put(name, bytes);
  expect(await archived()).toHaveLength(40);
}, 60_000);

test('small objects are joined, old days go, and an entity is erased from all objects and from no other', async () => {
  const running = archive(1.5 * DAY_MS);
  await running.start();
  for (let round = 0; round < 4; round += 1) {
    await send(15);
    await running.catchUp(20_000);
  }
  const before = (await readList(place()))?.files.length as number;
  await running.maintain();
  const list = await readList(place());
  expect(list?.files.length).toBeLessThan(before);
  expect(list?.files.some(({ date }) => date < new Date(NOW - 1.5 * DAY_MS).toISOString().slice(0, 10))).toBe(false);
  const kept = (await archived()).length;
  const mention = { key: 'account:a1', joinKeys: { account_id: 'a1' } };
  const { events } = await running.eraseEntity(mention, true);
  expect(events).toBeGreaterThan(0);
  expect(await running.eraseEntity(mention, false)).toEqual({ events });
  expect(await archived()).toHaveLength(kept - events);
  await running.stop();
  expect(await place().names()).toEqual((await readList(place()))?.files.map(({ name }) => name).sort());
}, 60_000);
