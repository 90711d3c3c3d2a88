import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFileSystems } from '#connectors/files/file_systems';
import { archivePlace } from '#pipelines/archive/archive_place';
import { readEvents, writeEvents } from '#pipelines/archive/archived_event';
import { archivedEvent } from '../../../support/definitions/archived_events.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archived-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const event = archivedEvent({ eventType: 'payment', partition: 'shardId-000000000000' });

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
