import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFileSystems } from '#connectors/files/file_systems';
import { archivePlace } from '#pipelines/archive/archive_place';
import { type ArchivedEvent, readEvents, writeEvents } from '#pipelines/archive/archived_event';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archived-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Offsets of Kafka and of the embedded log, and sequence numbers of Kinesis. */
const offset = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 2n ** 63n, max: 2n ** 206n }),
  fc.constantFrom(0n, 2n ** 63n - 1n, 2n ** 63n),
);
const event: fc.Arbitrary<ArchivedEvent> = fc.record({
  ...{ eventType: fc.constant('payment'), partition: fc.constant('shardId-000000000000'), generation: fc.constant(0) },
  eventId: fc.string({ unit: 'grapheme', minLength: 1 }),
  eventTimeMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  receivedAtMs: fc.option(fc.integer({ min: 0, max: 4_000_000_000_000 }), { nil: undefined }),
  recordedAtMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  offset,
  key: fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
  headers: fc.option(fc.constant('[["h","v"]]'), { nil: undefined }),
  payload: fc.json(),
});

test('events of a file come back as they were, whatever their broker counts by', async () => {
  const place = archivePlace(folder, createFileSystems({}));
  const of = {
    eventType: 'payment',
    date: '2026-01-01',
    partition: 'shardId-000000000000',
    generation: 0,
    revision: 0,
  };
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 20 }), async (events) => {
      const file = await writeEvents(place, of, events);
      expect(await readEvents(place, file)).toEqual(events);
    }),
    { numRuns: 50 },
  );
}, 60_000);
