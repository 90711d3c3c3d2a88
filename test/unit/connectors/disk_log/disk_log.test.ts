import { appendFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { DamagedFileError } from '#storage/errors';
import { repairLog } from '#storage/log_repair';
import { flipped, imageOf, layOut, temporaryFolder } from '../../../support/servers/disk_folder.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryFolder('disk-log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const signal = new AbortController().signal;

async function open(segmentBytes = 500): Promise<DiskLog> {
  const log = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory, fsync: 'never', segmentBytes },
  );
  await log.start();
  await log.ensureTopics([{ name: 't', partitions: 1 }]);
  return log;
}

async function readAll(log: DiskLog): Promise<string[]> {
  const reader = await log.openPartition('t', '0', { startAt: 'earliest' });
  const values: string[] = [];
  for (;;) {
    const records = await reader.poll({ maxRecords: 7, maxWaitMs: 0, signal });
    if (records.length === 0) return values;
    values.push(...records.map((record) => record.value.toString()));
  }
}

const lastSegment = (): string => {
  const folder = join(directory, 't', '0');
  return join(
    folder,
    readdirSync(folder)
      .filter((name) => name.endsWith('.records'))
      .sort()
      .at(-1) as string,
  );
};

test('what a kill leaves at the tail is cut off, and acknowledged records come back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 }),
      fc.uint8Array({ maxLength: 19 }),
      async (batches, beginning) => {
        layOut(directory, new Map());
        const written: string[] = [];
        for (const batch of batches) {
          const log = await open();
          await log.producer.send(
            't',
            batch.map((value) => ({ value })),
          );
          written.push(...batch);
          const killed = imageOf(directory);
          await log.stop();
          layOut(directory, killed);
          // The process that held it is gone.
          rmSync(join(directory, '.lock'), { recursive: true });
          // The beginning of a record that was not acknowledged.
          appendFileSync(lastSegment(), beginning);
        }
        const log = await open();
        expect(await readAll(log)).toEqual(written);
        await log.stop();
      },
    ),
    { numRuns: 40 },
  );
});

test('a record that was acknowledged and is cut short is an error with file and byte, until the log is repaired', async () => {
  const first = await open();
  await first.producer.send('t', [{ value: 'one' }, { value: 'two' }]);
  await first.stop();
  truncateSync(lastSegment(), statSync(lastSegment()).size - 1);
  await expect(open()).rejects.toThrow(`${lastSegment()} is damaged at byte`);
  const report = await repairLog(join(directory, 't', '0'));
  expect(report.lost).toEqual([{ from: 1, to: 1 }]);
  const second = await open();
  await second.producer.send('t', [{ value: 'three' }]);
  expect(await readAll(second)).toEqual(['one', 'three']);
  const reader = await second.openPartition('t', '0', { resumeAfter: '1' });
  expect(reader.lagRecords()).toBe(1n);
  const [record] = await reader.poll({ maxRecords: 1, maxWaitMs: 0, signal });
  expect(record?.value.toString()).toBe('three');
  expect(record?.offset).toBeGreaterThan(1n);
  await second.stop();
});

test('a topic without its description, a partition without its files, a damaged position: errors that name the file', async () => {
  const log = await open();
  await log.producer.send('t', [{ value: 'one' }]);
  await log.commit('group', 't', new Map([['0', '0']]));
  await log.stop();
  const image = imageOf(directory);
  const topic = image.get('t/topic.json') as Buffer;
  for (let bit = 0; bit < topic.length * 8; bit += 5) {
    layOut(directory, image, new Map([['t/topic.json', flipped(topic, bit)]]));
    await expect(open()).rejects.toThrow('topic.json is damaged');
  }
  layOut(directory, image, new Map([['t/topic.json', undefined]]));
  await expect(open()).rejects.toThrow('topic.json is damaged at byte 0: it is missing');
  layOut(directory, new Map([...image].filter(([name]) => !name.startsWith('t/0/'))));
  await expect(open()).rejects.toThrow(join(directory, 't', '0'));
  const group = image.get('t/group-group.json') as Buffer;
  for (let bit = 0; bit < group.length * 8; bit += 5) {
    layOut(directory, image, new Map([['t/group-group.json', flipped(group, bit)]]));
    const opened = await open();
    await expect(opened.committed('group', 't')).rejects.toThrow('group-group.json is damaged');
    await opened.stop();
  }
});

test('a log of version 0.1 is read whole, goes on in the new form, and a damaged one is an error', async () => {
  const before = imageOf('test/data/before_0.2/log');
  layOut(directory, before);
  const reading = async (log: DiskLog): Promise<string[]> => {
    const found: string[] = [];
    for (const partition of ['0', '1']) {
      const reader = await log.openPartition('raw-events', partition, { startAt: 'earliest' });
      for (;;) {
        const records = await reader.poll({ maxRecords: 1_000, maxWaitMs: 0, signal });
        if (records.length === 0) break;
        for (const { key, value, headers, offset, isTombstone } of records) {
          const text = isTombstone ? 'gone' : value.toString();
          found.push(`${partition}/${offset} ${key} ${text} ${JSON.stringify(headers)}`);
        }
      }
    }
    return found;
  };
  const create = () =>
    new DiskLog(
      { log: silentLogger, clock: systemClock },
      { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 500 },
    );
  const log = create();
  await log.start();
  const found = await reading(log);
  const events = found.map((line) => Number(/"e(\d+)"/.exec(line)?.[1] ?? -1)).filter((each) => each >= 0);
  expect(found).toHaveLength(24);
  expect(events.sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, at) => at).filter((at) => at % 7 !== 6));
  expect(found.filter((line) => line.includes(' gone '))).toHaveLength(3);
  expect(found.find((line) => line.includes('"e0"'))).toContain('{"traceparent":"t0"}');
  expect(await log.committed('features', 'raw-events')).toEqual(
    new Map([
      ['0', '3'],
      ['1', '5'],
    ]),
  );
  await log.producer.send('raw-events', [{ key: 'u1', value: 'new' }]);
  await log.stop();
  const again = create();
  await again.start();
  expect((await reading(again)).filter((line) => !line.includes(' new '))).toEqual(found);
  await again.stop();
  for (const [name, bytes] of before) {
    if (!name.endsWith('.log')) continue;
    for (let bit = 0; bit < bytes.length * 8; bit += 37) {
      layOut(directory, before, new Map([[name, flipped(bytes, bit)]]));
      const damaged = create();
      // A damaged last record of the last segment looks as if it had been cut short: there is no mark in that form.
      const outcome = await damaged.start().then(
        () => reading(damaged),
        (error: unknown) => (error instanceof DamagedFileError ? undefined : Promise.reject(error)),
      );
      if (outcome !== undefined) expect(found.length - outcome.length).toBeLessThanOrEqual(1);
      await damaged.stop();
    }
  }
});

test('two processes cannot open one log; a lock whose process is gone is taken over', async () => {
  writeFileSync(join(directory, 'lock'), '1');
  await expect(open()).rejects.toThrow(`${directory} is in use by process 1 of an earlier version`);
  writeFileSync(join(directory, 'lock'), '2147483646');
  const log = await open();
  await expect(open()).rejects.toThrow(`${directory} is in use by process ${process.pid} on `);
  await log.stop();
});

test('a reader far behind reads segments from disk, one that keeps up reads memory, with the same result', async () => {
  const log = await open(20_000);
  const values = Array.from({ length: 3_000 }, (_, index) => `${index}`.repeat(200));
  await log.producer.send(
    't',
    values.map((value) => ({ value })),
  );
  expect(await readAll(log)).toEqual(values);
  const reader = await log.openPartition('t', '0', { resumeAfter: '1234' });
  const [record] = await reader.poll({ maxRecords: 1, maxWaitMs: 0, signal });
  expect(record?.value.toString()).toBe(values[1235]);
  await log.stop();
});

test('an append wakes a waiting poll, long before its wait ends', async () => {
  const log = await open();
  const reader = await log.openPartition('t', '0', { startAt: 'latest' });
  const polling = reader.poll({ maxRecords: 10, maxWaitMs: 600_000, signal });
  await log.producer.send('t', [{ value: 'x' }]);
  expect(await polling).toHaveLength(1);
  await log.stop();
});

test('erased records are in no file, and readers pass over them, also while others are written and read, and after a restart', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('gone', 'stays', 'other'), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 0, max: 60 }),
      async (names, before) => {
        layOut(directory, new Map());
        let log = await open();
        const bodyOf = (name: string, at: number): string => JSON.stringify({ user_id: `${name}-zq`, at });
        const sent = names.map((name, at) => ({ key: `${name}-zq`, value: bodyOf(name, at) }));
        await log.producer.send('t', sent.slice(0, before));
        const gone = { key: 'user:gone-zq', joinKeys: { user_id: 'gone-zq' } };
        const reader = await log.openPartition('t', '0', { startAt: 'earliest' });
        const [first, second] = await Promise.all([
          log.eraseRecords('t', gone),
          log.eraseRecords('t', { key: '', joinKeys: { user_id: 'other-zq' } }),
          log.producer.send('t', sent.slice(before)),
          reader.poll({ maxRecords: 5, maxWaitMs: 0, signal }),
        ]);
        const rest = await log.eraseRecords('t', gone);
        expect(first + rest).toBe(names.filter((name) => name === 'gone').length);
        expect(second).toBeLessThanOrEqual(names.filter((name) => name === 'other').length);
        await log.eraseRecords('t', { key: '', joinKeys: { user_id: 'other-zq' } });
        const kept = sent.filter(({ key }) => key === 'stays-zq').map(({ value }) => value);
        expect(await readAll(log)).toEqual(kept);
        await log.stop();
        for (const bytes of imageOf(directory).values()) {
          expect([bytes.includes('gone-zq'), bytes.includes('other-zq')]).toEqual([false, false]);
        }
        log = await open();
        expect(await readAll(log)).toEqual(kept);
        const again = await log.openPartition('t', '0', { startAt: 'earliest' });
        while ((await again.poll({ maxRecords: 3, maxWaitMs: 0, signal })).length > 0);
        expect(again.lagRecords()).toBe(0n);
        await log.producer.send('t', [{ value: 'next' }]);
        expect(await readAll(log)).toEqual([...kept, 'next']);
        await log.stop();
      },
    ),
    { numRuns: 30 },
  );
}, 60_000);
