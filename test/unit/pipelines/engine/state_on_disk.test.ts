import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, windowInto } from '#pipelines/model/transforms';
import { afterCount, afterProcessingTime, afterWatermark, repeatedly } from '#pipelines/model/windows/triggers';
import { fixedWindows, sessions, slidingWindows } from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import type { StateOptions } from '#pipelines/runner/state_options';
import { testStream } from '#pipelines/testing/test_stream';
import { countAndSum, type Event } from '../../../../bench/workloads/engine_workload.ts';

// Groups, accumulators and tiles of more keys than the heap may hold put out what they do in the heap, also after a crash.

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'state-on-disk-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const KEYS = 200;
const EVENTS = 1_600;
const PIECE = 100;
/** Four keys of a queue, and a few dozen groups, fit in the heap. */
const DISK: StateOptions = { kind: 'disk', cacheBytes: 6_400 };

/** Keys of several types; one in ten events is late. */
const eventAt = (index: number): Event => ({
  key: (index * 7_919) % KEYS,
  amount: index % 100,
  at: index * 10 - (index % 10 === 3 ? 4_000 : (index % 7) * 30),
});
const keyOf = ({ key }: Event): unknown => (key % 3 === 0 ? key : key % 3 === 1 ? `k${key}` : ['t', key]);

function events(): (root: PipelineRoot) => PCollection<Event> {
  const stream = testStream<Event>();
  for (let from = 0; from < EVENTS; from += PIECE) {
    const piece = Array.from({ length: PIECE }, (_, index) => eventAt(from + index));
    stream.add(...piece.map((event) => [event, event.at] as const));
    stream.advanceWatermarkTo((from + PIECE) * 10 - 2_000);
    stream.advanceProcessingTime(50);
  }
  return stream.toInfinity();
}

type Keyed = PCollection<KV<unknown, Event>>;
type Build = (events: PCollection<Event>) => PCollection<KV<unknown, unknown>>;
const keyed = (collection: PCollection<Event>): Keyed => collection.apply(keyBy(keyOf));

const GRAPHS: Readonly<Record<string, Build>> = {
  'combine in fixed windows': (all) =>
    keyed(all.apply(windowInto<Event>({ windowFn: fixedWindows(1) }))).apply(combinePerKey(countAndSum)),
  'combine in sliding windows, by tiles': (all) =>
    keyed(all.apply(windowInto<Event>({ windowFn: slidingWindows(4, 0.5) }))).apply(combinePerKey(countAndSum)),
  'groups in fixed windows with lateness and early panes': (all) =>
    keyed(
      all.apply(
        windowInto<Event>({
          ...{ windowFn: fixedWindows(2), allowedLatenessMs: 3_000, accumulation: 'accumulating' },
          trigger: afterWatermark({ early: afterCount(3), late: afterCount(1) }),
        }),
      ),
    ).apply(groupByKey()),
  'groups in sessions with lateness': (all) =>
    keyed(
      all.apply(
        windowInto<Event>({
          ...{ windowFn: sessions(2.5), allowedLatenessMs: 5_000, accumulation: 'discarding' },
          trigger: afterWatermark({ late: afterCount(1) }),
        }),
      ),
    ).apply(groupByKey()),
  'panes by processing time': (all) =>
    keyed(
      all.apply(
        windowInto<Event>({
          ...{ windowFn: fixedWindows(20), accumulation: 'discarding' },
          trigger: repeatedly(afterProcessingTime(0.2)),
        }),
      ),
    ).apply(groupByKey()),
};

async function outputs(build: Build, state: StateOptions, crashesAfter?: number): Promise<string[]> {
  const seen: string[] = [];
  const calls = { left: crashesAfter ?? Number.POSITIVE_INFINITY };
  const plan = createPipeline((root) => {
    const read = root.apply(events()).apply(
      parDo<Event, Event>(
        {
          process(event, context) {
            calls.left -= 1;
            if (calls.left === -1) throw new Error('crash');
            context.output(event);
          },
        },
        { name: 'Crash' },
      ),
    );
    build(read).apply(
      parDo<KV<unknown, unknown>, never>(
        {
          process(output, { timestamp, window, pane }) {
            seen.push(JSON.stringify([output, timestamp, window.maxTimestamp(), pane]));
          },
        },
        { name: 'Outputs' },
      ),
    );
  });
  const crashes = crashesAfter !== undefined;
  await runEmbedded(plan, {
    state,
    ...(crashes ? { snapshots: { directory, intervalMs: 0 }, maxRetries: 1 } : {}),
  }).finished;
  return (crashes ? [...new Set(seen)] : seen).sort();
}

test.each(Object.entries(GRAPHS))('%s', async (_, build) => {
  const wanted = await outputs(build, { kind: 'heap' });
  expect(wanted.length).toBeGreaterThan(100);
  expect(await outputs(build, DISK)).toEqual(wanted);
  expect(await outputs(build, DISK, 900)).toEqual([...new Set(wanted)]);
});
