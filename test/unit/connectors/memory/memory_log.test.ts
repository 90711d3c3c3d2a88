import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MemoryLog } from '#connectors/memory/memory_log';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'memory-log-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const signal = new AbortController().signal;

async function open(segmentBytes = 500): Promise<MemoryLog> {
  const log = new MemoryLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'memory', directory, fsync: 'never', segmentBytes },
  );
  await log.start();
  await log.ensureTopics([{ name: 't', partitions: 1 }]);
  return log;
}

async function readAll(log: MemoryLog): Promise<string[]> {
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
  return join(folder, readdirSync(folder).sort().at(-1) as string);
};

test('whatever a crash leaves at the tail, acknowledged records come back and nothing else does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 }),
      fc.uint8Array({ maxLength: 40 }),
      async (batches, garbage) => {
        rmSync(directory, { recursive: true, force: true });
        const written: string[] = [];
        for (const batch of batches) {
          const log = await open();
          await log.producer.send(
            't',
            batch.map((value) => ({ value })),
          );
          written.push(...batch);
          await log.stop();
          // Half of the next record, or bytes that are none.
          appendFileSync(lastSegment(), garbage);
        }
        const log = await open();
        expect(await readAll(log)).toEqual(written);
        await log.stop();
      },
    ),
    { numRuns: 40 },
  );
});

test('a record cut short is gone, and the next one takes its place', async () => {
  const first = await open();
  await first.producer.send('t', [{ value: 'one' }, { value: 'two' }]);
  await first.stop();
  truncateSync(lastSegment(), statSync(lastSegment()).size - 1);
  const second = await open();
  await second.producer.send('t', [{ value: 'three' }]);
  expect(await readAll(second)).toEqual(['one', 'three']);
  await second.stop();
});

test('two processes cannot open one log; a lock whose process is gone is taken over', async () => {
  writeFileSync(join(directory, 'lock'), '1');
  await expect(open()).rejects.toThrow(`the log in ${directory} is open in process 1`);
  writeFileSync(join(directory, 'lock'), '2147483646');
  const log = await open();
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

test('a waiting poll wakes within milliseconds of an append', async () => {
  const log = await open();
  const reader = await log.openPartition('t', '0', { startAt: 'latest' });
  const polling = reader.poll({ maxRecords: 10, maxWaitMs: 5_000, signal });
  const startedMs = performance.now();
  await log.producer.send('t', [{ value: 'x' }]);
  expect(await polling).toHaveLength(1);
  expect(performance.now() - startedMs).toBeLessThan(500);
  await log.stop();
});
