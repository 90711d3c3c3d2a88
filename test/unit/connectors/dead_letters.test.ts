import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type DeadLetter, DeadLetterQueue, earlierAttempts } from '#connectors/dead_letters/dead_letters';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { RecordRefusedError } from '#connectors/errors';
import { createFileSystems } from '#connectors/files/file_systems';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { pollUntil } from '../../conformance/connectors/broker_contract.ts';

const TOPIC = 'dead-letter-queue';
const RAW = 'raw-events';

let directory: string;
let broker: DiskLog;
let queue: DeadLetterQueue;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dlq-'));
  const config = { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 1_000_000 } as const;
  broker = new DiskLog({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  await broker.ensureTopics([
    { name: TOPIC, partitions: 2 },
    { name: RAW, partitions: 1 },
  ]);
  queue = new DeadLetterQueue(broker, TOPIC);
});
afterEach(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

const letter = (id: string, changes: Partial<DeadLetter> = {}): DeadLetter => ({
  payload: JSON.stringify({ event_id: id, user_id: `user-${id}` }),
  reason: `amount: too small in ${id}`,
  stage: 'gateway.validate',
  attempt: 1,
  timestamp: '2026-11-20T10:00:00.000Z',
  ...changes,
});

const file = (...letters: DeadLetter[]): Promise<void> =>
  broker.producer.send(
    TOPIC,
    letters.map((one) => ({ value: JSON.stringify(one) })),
  );

async function rawEvents(count: number) {
  const reader = await broker.openPartition(RAW, '0', { startAt: 'earliest' });
  return pollUntil(reader, count, 500);
}

test('each letter is replayed once, to its user’s key, with how often it was refused', async () => {
  await file(letter('a'), letter('b', { attempt: 2 }));
  expect(await queue.replay(RAW)).toEqual({ replayed: 2, passed: 0, exhausted: 0, unusable: 0 });
  const records = await rawEvents(2);
  const found = records.map((record) => [record.key, earlierAttempts(record)]).sort();
  expect(found).toEqual([
    ['user-a', 1],
    ['user-b', 2],
  ]);
  expect(await queue.replay(RAW)).toEqual({ replayed: 0, passed: 0, exhausted: 0, unusable: 0 });
  await file(letter('c'));
  expect(await queue.replay(RAW)).toMatchObject({ replayed: 1 });
  expect(await rawEvents(3)).toHaveLength(3);
});

test('with a filter, what passes is replayed and nothing is committed', async () => {
  await file(
    letter('old', { timestamp: '2026-11-01T00:00:00.000Z' }),
    letter('late', { stage: 'pipeline.compute_features', reason: 'late: …' }),
    letter('small'),
  );
  expect(await queue.replay(RAW, { filter: { stage: 'pipeline.compute_features' } })).toMatchObject({
    replayed: 1,
    passed: 2,
  });
  expect(await queue.replay(RAW, { filter: { reason: 'small', sinceMs: Date.parse('2026-11-10') } })).toMatchObject({
    replayed: 1,
    passed: 2,
  });
  expect((await rawEvents(2)).map(({ key }) => key)).toEqual(['user-late', 'user-small']);
  expect(await queue.replay(RAW, { dryRun: true })).toMatchObject({ replayed: 3 });
  expect(await rawEvents(2)).toHaveLength(2);
});

test('what cannot be replayed is counted and left: cut payloads, and records that are no letters', async () => {
  await file(letter('cut', { isCut: true }));
  await broker.producer.send(TOPIC, [{ value: 'not json' }, { value: '{"payload":5}' }]);
  expect(await queue.replay(RAW)).toEqual({ replayed: 0, passed: 0, exhausted: 0, unusable: 3 });
});

test('a payload that lies in a file is replayed whole, with its record’s key; without the file it is left', async () => {
  const { payload } = letter('large');
  const path = join(directory, 'large.txt');
  writeFileSync(path, payload);
  const origin = { topic: RAW, partition: '0', offset: '7', key: 'its own key' };
  const cut = { payload: payload.slice(0, 5), isCut: true, origin };
  await file(letter('large', { ...cut, payloadAt: path }), letter('gone', { ...cut, payloadAt: `${path}.gone` }));
  const again = letter('row', { ...cut, stage: 'sink.known', payloadAt: path });
  await file(again);
  const sinks = new Map([
    [
      'sink.known',
      async (given: string) => {
        expect(given).toBe(payload);
        throw new RecordRefusedError('The store', 'rows', undefined, 'still wrong');
      },
    ],
  ]);
  const files = new DeadLetterQueue(broker, TOPIC, { group: 'with-files', fileSystems: createFileSystems() });
  expect(await files.replay(RAW, { sinks })).toMatchObject({ replayed: 2, unusable: 1 });
  const [record] = await rawEvents(1);
  expect([record?.key, record?.value.toString()]).toEqual(['its own key', payload]);
  const letters: (DeadLetter | undefined)[] = [];
  for await (const filed of queue.list({ stage: 'sink.known' })) letters.push(filed.letter);
  expect(letters).toContainEqual(
    expect.objectContaining({ ...again, reason: expect.any(String), attempt: 2, timestamp: expect.any(String) }),
  );
  // Another group has its own progress.
  expect(await queue.replay(RAW, { sinks })).toMatchObject({ replayed: 0, unusable: 4 });
});

test('a failing replay commits nothing of what it could not send', async () => {
  await file(letter('a'));
  await expect(queue.replay('there-is-no-such-topic')).rejects.toMatchObject({ code: 'CONNECTOR_UNKNOWN_TOPIC' });
  expect(await queue.replay(RAW)).toMatchObject({ replayed: 1 });
});

test('letters are listed where they lie', async () => {
  await file(letter('a'), letter('b', { stage: 'pipeline.decode' }));
  const places: string[] = [];
  for await (const { partition, offset, letter: found } of queue.list({ stage: 'pipeline.decode' })) {
    places.push(`${partition}/${offset} ${found?.stage}`);
  }
  expect(places).toHaveLength(1);
  expect(places[0]).toMatch(/^[01]\/0 pipeline\.decode$/);
});

test('letters of sinks go to their sink alone: without it they stay, and never become raw events', async () => {
  const stages = ['sink.offline_store', 'sink.drift_reports', 'prediction_log.prediction_store', 'serving.feedback'];
  await file(...stages.map((stage) => letter(stage, { stage })));
  expect(await queue.replay(RAW, { dryRun: true })).toMatchObject({ replayed: 0, unusable: stages.length });
  const taken: string[] = [];
  const sinks = new Map(stages.map((stage) => [stage, async () => void taken.push(stage)]));
  expect(await queue.replay(RAW, { sinks })).toMatchObject({ replayed: stages.length, unusable: 0 });
  expect(taken.sort()).toEqual([...stages].sort());
  expect(await rawEvents(0)).toEqual([]);
});
