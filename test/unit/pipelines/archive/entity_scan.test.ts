import { mkdtempSync, rmSync } from 'node:fs';
import { appendFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFileSystems } from '#connectors/files/file_systems';
import { type ArchivePlace, archivePlace } from '#pipelines/archive/archive_place';
import { readEvents, writeEvents } from '#pipelines/archive/archived_event';
import { EntityScan } from '#pipelines/archive/entity_scan';
import { ArchiveDamagedError } from '#pipelines/archive/errors';
import { archivedEvent } from '../../../support/definitions/archived_events.ts';

let folder: string;
let place: ArchivePlace;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "scan'd*"));
  place = archivePlace(folder, createFileSystems({}));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const of = { eventType: 'pay ment*', date: '2026-01-01', partition: 'p', generation: 0, revision: 0 };
const events = fc
  .array(archivedEvent({ eventType: of.eventType, partition: of.partition }), { minLength: 1, maxLength: 30 })
  .map((list) => list.sort((a, b) => (a.offset < b.offset ? -1 : 1)));
const ids = fc.array(fc.constantFrom('a1', "it's", 'x%_', 'é', '\u0000'), { maxLength: 2 });

test('DuckDB and a bucket give the events that hold the ids, as a plain loop finds them', async () => {
  await fc.assert(
    fc.asyncProperty(events, ids, async (list, wanted) => {
      const file = await writeEvents(place, of, list);
      const held = ((await readEvents(place, file)) ?? []).filter(
        ({ payload }) => wanted.every((id) => payload.includes(id)) || payload.includes('\\u'),
      );
      for (const where of [place, { ...place, folder: undefined }]) {
        const scan = new EntityScan(wanted);
        expect(await scan.read(where, file)).toEqual(held);
        await scan.close();
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);

test('a file that does not exist any more is no error; one that was changed is', async () => {
  const [list = []] = fc.sample(events, { numRuns: 1, seed: 7 });
  const file = await writeEvents(place, of, list);
  const scan = new EntityScan(['a1']);
  await appendFile(join(folder, file.name), 'x');
  await expect(scan.read(place, file)).rejects.toThrow(ArchiveDamagedError);
  await rm(join(folder, file.name));
  expect(await scan.read(place, file)).toBeUndefined();
  await scan.close();
});
