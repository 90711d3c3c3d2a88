import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { PartitionLog } from '#connectors/disk_log/partition_log';
import { createFileSystems } from '#connectors/files/file_systems';
import { fraudView } from '#examples/fraud/features/fraud';
import { DAY_MS, HOUR_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { gapsOf } from '#pipelines/archive/archive_coverage';
import { type ArchiveList, readList } from '#pipelines/archive/archive_list';
import { archivePlace } from '#pipelines/archive/archive_place';
import { ArchiveReader } from '#pipelines/archive/archive_reader';
import type { ArchivedEvent } from '#pipelines/archive/archived_event';
import { EventArchive } from '#pipelines/archive/event_archive';
import { byForm } from '../../../support/jest/forms.ts';

// The archive of raw events on a real log on disk: each event once, exactly as it was, whatever happens to the process that writes.

const TOPIC = 'raw-events';
const A1 = { key: 'account:a1', joinKeys: { account_id: 'a1' } };
const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
let directory: string;
let broker: DiskLog;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'archive-'));
  const config = { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 } as const;
  broker = new DiskLog({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  await broker.ensureTopics([{ name: TOPIC, partitions: 2 }]);
});
afterEach(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

const folder = (): string => join(directory, 'archive');
const place = () => archivePlace(folder(), createFileSystems({}));

function archive(keepMs = 400 * DAY_MS): EventArchive {
  return new EventArchive(
    {
      ...{ broker, log: silentLogger, clock: systemClock, metrics: createMetricsRegistry({ process: false }) },
      ...{ sources: fraudView.sources, fileSystems: createFileSystems({}) },
    },
    { topic: TOPIC, directory: folder(), flushEveryMs: 60_000, keepMs },
  );
}

const transaction = (id: string, account: string, at: number, more = ''): string =>
  `{"event_id":"${id}", "user_id":"${account}","event_type":"transaction","timestamp":"${new Date(at).toISOString()}","account_id":"${account}","amount":1.50,"currency":"EUR","merchant_id":"m","merchant_category":"grocery","country":"DE"${more}}`;

const send = (values: readonly string[], key?: string): Promise<void> =>
  broker.producer.send(
    TOPIC,
    values.map((value) => ({ value, key })),
  );

async function readAll(types: readonly string[] = ['transaction']): Promise<readonly ArchivedEvent[]> {
  const reader = new ArchiveReader(place(), types);
  const events: ArchivedEvent[] = [];
  for (let event = await reader.peek(); event !== undefined; event = await reader.peek()) {
    events.push(event);
    reader.take();
  }
  return events;
}

/** Everything that the topic holds, by partition: the slow oracle. */
async function topicPayloads(): Promise<readonly string[]> {
  const payloads: string[] = [];
  for (const partition of await broker.listPartitions(TOPIC)) {
    const reader = await broker.openPartition(TOPIC, partition, { startAt: 'earliest' });
    const signal = new AbortController().signal;
    for (;;) {
      const records = await reader.poll({ maxRecords: 1_000, maxWaitMs: 0, signal });
      if (records.length === 0) break;
      payloads.push(...records.map(({ value }) => value.toString()));
    }
    await reader.close();
  }
  return payloads;
}

test('payloads are kept to the byte, with fields and types that no schema knows; what the pipeline refuses is not', async () => {
  const foreign = `{"event_type":"order/paid=1","timestamp":"${new Date(NOW).toISOString()}","event_id":"f","n":12345678901234567890.0}`;
  const exact = transaction(
    'e1',
    'a',
    NOW - 3 * DAY_MS,
    ',"received_at":"2026-01-01T00:00:00.000Z","source":"gateway"',
  );
  await send([exact, foreign, '{"not json', transaction('bad', 'a', NOW, ',"amount2":{"x":1}')]);
  const running = archive();
  await running.start();
  await running.catchUp(20_000);
  expect((await readAll()).map(({ payload }) => payload)).toEqual([exact]);
  expect((await readAll(['order/paid=1'])).map(({ payload }) => payload)).toEqual([foreign]);
  await running.stop();
  const names = await place().names();
  const date = new Date(NOW - 3 * DAY_MS).toISOString().slice(0, 10);
  expect(names.map((name) => name.replace(/[^/]*$/, ''))).toEqual([
    `event_type=order%2Fpaid%3D1/date=${new Date(NOW).toISOString().slice(0, 10)}/`,
    `event_type=transaction/date=${date}/`,
  ]);
});

test('each event is in one file, in its order, whenever the writer is ended, joins files or begins again', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), count: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constantFrom('crash' as const, 'stop' as const, 'orphan' as const) }),
    },
  );
  let id = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 10 }), async (steps) => {
      rmSync(folder(), { recursive: true, force: true });
      let running = archive();
      await running.start();
      for (const next of steps) {
        if (next.kind === 'send') {
          const values = Array.from({ length: next.count }, () => {
            id += 1;
            return transaction(`e${id}`, `a${id % 7}`, NOW - (id % 3) * DAY_MS);
          });
          for (const [at, value] of values.entries()) await send([value], `a${at % 5}`);
        } else if (next.kind === 'flush') await running.catchUp(20_000);
        else {
          if (next.kind === 'stop') await running.drain();
          await running.stop();
          // What a crash between a file and the list leaves.
          if (next.kind === 'orphan' && (await place().names()).length > 0) {
            const [name] = (await place().names()) as [string];
            writeFileSync(join(folder(), name.replace(/-\d+\.parquet$/, '-99999999999999999999.parquet')), 'torn');
          }
          running = archive();
          await running.start();
        }
      }
      await running.catchUp(20_000);
      await running.stop();
      const events = await readAll();
      expect(events.map(({ payload }) => payload).sort()).toEqual([...(await topicPayloads())].sort());
      for (const partition of ['0', '1']) {
        const offsets = events.filter((event) => event.partition === partition).map(({ offset }) => offset);
        expect(offsets).toEqual([...offsets].sort((a, b) => (a < b ? -1 : 1)));
      }
      const listed = (await readList(place()))?.files.map(({ name }) => name).sort();
      expect(await place().names()).toEqual(listed);
    }),
    { numRuns: byForm({ short: 3, long: 6 }) },
  );
}, 240_000);

test('a file that is torn or has a changed bit is named when it is read, and so is a damaged list', async () => {
  await send(Array.from({ length: 50 }, (_, index) => transaction(`e${index}`, 'a', NOW)));
  const running = archive();
  await running.start();
  await running.catchUp(20_000);
  await running.stop();
  const [name] = (await place().names()) as [string];
  const file = join(folder(), name);
  const bytes = readFileSync(file);
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), fc.boolean(), async (at, isTorn) => {
      const damaged = isTorn ? bytes.subarray(0, at) : Buffer.from(bytes);
      if (!isTorn) damaged[at] = (damaged[at] as number) ^ 1;
      writeFileSync(file, damaged);
      await expect(readAll()).rejects.toMatchObject({
        code: 'ARCHIVE_DAMAGED_FILE',
        message: expect.stringContaining(file),
      });
    }),
    { numRuns: byForm({ short: 15, long: 40 }) },
  );
  writeFileSync(file, bytes);
  expect(await readAll()).toHaveLength(50);
  const list = join(folder(), '_archive.json');
  writeFileSync(list, readFileSync(list, 'utf8').replace('"transaction"', '"transactiom"'));
  await expect(readAll()).rejects.toMatchObject({
    code: 'STORAGE_DAMAGED_FILE',
    message: expect.stringContaining(list),
  });
  rmSync(list);
  await expect(archive().start()).rejects.toMatchObject({ code: 'ARCHIVE_LIST_MISSING' });
});

test('small files are joined, old days go, and an entity is erased from all files and from no other', async () => {
  const running = archive(10 * DAY_MS);
  await running.start();
  for (let round = 0; round < 4; round += 1) {
    await send(
      Array.from({ length: 10 }, (_, index) =>
        transaction(`r${round}e${index}`, `a${index % 3}`, NOW - (index % 2) * DAY_MS),
      ),
      'k',
    );
    await send([transaction(`old${round}`, 'a1', NOW - 30 * DAY_MS)], 'k');
    await running.catchUp(20_000);
  }
  const before = (await readList(place()))?.files.length as number;
  await running.maintain();
  const files = (await readList(place()))?.files ?? [];
  expect(files.length).toBeLessThan(before);
  expect(files.some(({ date }) => date < new Date(NOW - 10 * DAY_MS).toISOString().slice(0, 10))).toBe(false);
  expect(await readAll()).toHaveLength(40);
  expect(await running.eraseEntity(A1, true)).toEqual({ events: 12 });
  expect(await readAll()).toHaveLength(40);
  expect(await running.eraseEntity(A1, false)).toEqual({ events: 12 });
  const left = await readAll();
  expect(left).toHaveLength(28);
  expect(left.some(({ payload }) => payload.includes('"account_id":"a1"'))).toBe(false);
  await running.stop();
  expect(await place().names()).toEqual((await readList(place()))?.files.map(({ name }) => name).sort());
}, 60_000);

test('the list says where reading began: what the topic had deleted by then is not in the archive', async () => {
  const small = { segmentBytes: 400, log: silentLogger };
  await broker.stop();
  const log = join(directory, 'log');
  broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: log, fsync: 'never', ...small },
  );
  await broker.start();
  for (let at = 0; at < 20; at += 1) await send([transaction(`e${at}`, 'a', NOW)], 'a');
  const [[partition = ''] = []] = [...(await positionsOf())].filter(([, records]) => records > 0);
  await broker.stop();
  const kept = new PartitionLog(join(log, TOPIC, partition), partition, { ...small, syncEachWrite: false });
  await kept.open();
  await kept.retain(Date.now() + DAY_MS);
  const { startOffset } = kept;
  await kept.close();
  expect(startOffset).toBeGreaterThan(0n);
  await broker.start();
  for (let restart = 0; restart < 2; restart += 1) {
    const running = archive();
    await running.start();
    await running.catchUp(20_000);
    await running.stop();
    // Later records change nothing of where it began.
    await send([transaction(`late${restart}`, 'a', NOW)], 'a');
  }
  const list = await readList(place());
  expect(list?.partitions[partition]?.first?.offset).toBe(String(startOffset));
  expect(list?.partitions[partition]?.first?.at).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  expect(gapsOf(list as ArchiveList)).toHaveLength(1);
});

test('days that are removed are known to be', async () => {
  await send([transaction('old', 'a', NOW - 5 * DAY_MS), transaction('new', 'a', NOW)]);
  const running = archive(2 * DAY_MS);
  await running.start();
  await running.catchUp(20_000);
  await running.maintain();
  await running.stop();
  expect((await readAll()).map(({ eventId }) => eventId)).toEqual(['new']);
  expect((await readList(place()))?.removedUntil).toBe(new Date(Date.now() - 2 * DAY_MS).toISOString().slice(0, 10));
});

async function positionsOf(): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const partition of await broker.listPartitions(TOPIC)) {
    const reader = await broker.openPartition(TOPIC, partition, { startAt: 'earliest' });
    found.set(partition, Number(reader.lagRecords()));
    await reader.close();
  }
  return found;
}
