import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { silentLogger } from '#monitoring/log';
import { SnapshotStore } from '#pipelines/runner/snapshot_store';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapshots-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('old snapshots are removed by two at a time: the newest stays, and neither fails', async () => {
  const store = new SnapshotStore(folder, silentLogger);
  for (let round = 0; round < 20; round += 1) {
    for (let sequence = 1; sequence <= 30; sequence += 1) {
      await writeFile(join(folder, `snapshot-${String(sequence).padStart(12, '0')}.bin`), '');
    }
    await Promise.all([store.discardOlder(), store.discardOlder(), store.discardOlder()]);
    expect(await readdir(folder)).toEqual(['snapshot-000000000030.bin']);
  }
});
