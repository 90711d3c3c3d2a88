import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createFileSystems } from '#connectors/files/file_systems';
import { archivePlace } from '#pipelines/archive/archive_place';
import { type ArchivedEvent, writeEvents } from '#pipelines/archive/archived_event';
import { serviceAddress } from '../service_address.ts';

// Apache Arrow, from Python, reads the archive of raw events as a data set of types and dates.

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'archive-guest-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('Arrow reads types and dates from the folders, and times, offsets and payloads from the files', async () => {
  const place = archivePlace(directory, createFileSystems({}));
  const at = Date.UTC(2026, 10, 28, 12);
  const event = (index: number, eventType: string): ArchivedEvent => ({
    ...{ eventType, eventId: `e${index}`, eventTimeMs: at + index, receivedAtMs: index % 2 === 0 ? at : undefined },
    ...{ recordedAtMs: at, partition: '0', generation: 0, offset: BigInt(index), key: 'k', headers: undefined },
    payload: `{"n": 12345678901234567890, "text": "é${index}"}`,
  });
  for (const [date, eventType] of [
    ['2026-11-28', 'order/paid=1'],
    ['2026-11-27', 'click'],
  ] as const) {
    const events = Array.from({ length: 500 }, (_, index) => event(index, eventType));
    await writeEvents(place, { eventType, date, partition: '0', generation: 0, revision: 0 }, events);
  }
  const script = `import json, pyarrow.dataset as ds
t = ds.dataset(${JSON.stringify(directory)}, format="parquet", partitioning="hive").to_table()
paid = t.filter((ds.field("event_type") == "order/paid=1") & (ds.field("offset") == 499))
print(json.dumps({"rows": t.num_rows, "types": sorted(set(t["event_type"].to_pylist())), "dates": sorted(set(str(d) for d in t["date"].to_pylist())), "payload": paid["payload"].to_pylist(), "at": str(paid["event_time"].to_pylist()[0]), "nulls": t["received_at"].null_count}))`;
  const { stdout } = await promisify(execFile)(serviceAddress('TEST_MLFLOW_PYTHON'), ['-c', script]);
  expect(JSON.parse(stdout)).toEqual({
    rows: 1_000,
    types: ['click', 'order/paid=1'],
    dates: ['2026-11-27', '2026-11-28'],
    payload: ['{"n": 12345678901234567890, "text": "é499"}'],
    at: expect.stringMatching(/^2026-11-28 12:00:00\.499/),
    nulls: 500,
  });
}, 60_000);
