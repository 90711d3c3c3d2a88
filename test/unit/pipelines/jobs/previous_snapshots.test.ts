import { cpSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { fraudView } from '#examples/fraud/features/fraud';
import { assetPath } from '#kernel/project_root';
import { fromScratch, ofEvents, Platform, Rows } from '../../../support/platforms/streaming_platform.ts';

// A log and a snapshot that an earlier release has written (format 4, before key groups), with ten events that came after the snapshot.

const EVENTS = 130;
const AFTER_SNAPSHOT = 10;

test('a job resumes from a snapshot of the format before, with its state', async () => {
  const platform = new Platform(new Rows());
  try {
    cpSync(assetPath('test/data/snapshot_4'), platform.directory, { recursive: true });
    platform.sent = EVENTS;
    await platform.open();
    await platform.start([fraudView]);
    await platform.settle();
    const rows = ofEvents(platform.live.values());
    expect(Object.keys(rows).length).toBeGreaterThanOrEqual(AFTER_SNAPSHOT);
    // Not computed anew: what came before the snapshot is in its state.
    const { values } = await platform.metrics.events.get();
    expect(values.filter(({ labels }) => labels.outcome === 'computed').map(({ value }) => value)).toEqual([
      AFTER_SNAPSHOT,
    ]);
    const expected = ofEvents((await fromScratch(platform, [fraudView])).values());
    for (const [key, row] of Object.entries(rows)) expect([key, row]).toEqual([key, expected[key]]);
  } finally {
    await platform.close();
  }
}, 60_000);
