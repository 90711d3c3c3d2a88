import { deserialize, serialize } from 'node:v8';
import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { z } from 'zod';
import { count } from '#feature_store/definitions/aggregations';
import { featureView } from '#feature_store/definitions/feature_view';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { eventTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import { Executor, type RestoredTransform, type RestorePolicy } from '#pipelines/engine/executor';
import { shareOf } from '#pipelines/engine/state/key_share';
import type { StateChange } from '#pipelines/engine/state/state_schema';
import type { DecodedEvent } from '#pipelines/events/decode_events';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { parDo } from '#pipelines/model/transforms';
import { type Collected, collectInto } from '#pipelines/testing/collect';
import { testStream } from '#pipelines/testing/test_stream';
import { type ComputedRow, ComputeFeatures } from '#pipelines/transforms/compute_features';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';

// A snapshot of a release before entity keys: state is found under the key of now, what cannot be read is dropped and logged.

const view = featureView({
  ...{ name: 'readings', version: 1, entity: entity('sensor', ['sensor_id', 'metric']), ttl: '30d' },
  ...{ owner: 'o', description: 'd' },
  source: eventSource({
    ...{ name: 'readings', eventTypes: ['reading'], schemaVersion: 1, eventIdField: 'event_id', timestampField: 'at' },
    schema: z.strictObject({ event_id: z.string(), at: z.string(), sensor_id: z.string(), metric: z.string() }),
  }),
  features: count({ as: 'n' }).over('24h'),
});

type Usable = Extract<DecodedEvent, { ok: true }>;
const START = Date.now() - 60_000;

const eventOf = (id: number): Usable => {
  const eventTimeMs = START + id;
  const event = { event_id: `e${id}`, at: new Date(eventTimeMs).toISOString() };
  const settled = {
    watermark: eventTime(0),
    receivedAtMs: undefined,
    knownAtMs: START,
    arrivedAtMs: 0,
    payload: '',
    attempt: 1,
  };
  return { ok: true, userId: undefined, source: 'readings', eventId: `e${id}`, event, eventTimeMs, ...settled };
};

function start(elements: readonly (readonly [key: string, id: number])[], isPrevious: boolean, policy?: RestorePolicy) {
  const lines: { readonly msg: string; readonly key?: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const output: Collected<ComputedRow>[] = [];
  const changes: StateChange[] = [];
  const plan = createPipeline((root) => {
    const stream = testStream<KV<EntityKey, Usable>>();
    for (const [key, id] of elements) stream.add([{ key: key as EntityKey, value: eventOf(id) }, START + id]);
    const doFn = new ComputeFeatures(view, { metrics, log }, { allowedLatenessMs: 60_000, isLive: false });
    if (isPrevious) Object.assign(doFn, { keyLayout: undefined });
    collectInto(root.apply(stream.toInfinity()).apply(parDo(doFn, { name: 'Compute' })), output);
  });
  const onStateChange = (change: StateChange): number => changes.push(change);
  const executor = new Executor(plan, {
    ...{ now: () => Date.now(), onDroppedLate() {}, onRetry() {}, onStateChange, restorePolicy: policy },
  });
  return { executor, output, changes, lines };
}

type Run = ReturnType<typeof start>;

async function step({ executor }: Run, steps: number): Promise<void> {
  for (let at = 0; at < steps; at += 1) await executor.runBundle(() => executor.testStreams[0]?.step(), Date.now());
}

async function previousSnapshot(keys: readonly string[]): Promise<RestoredTransform[]> {
  const run = start(
    keys.map((key, index) => [key, index]),
    true,
  );
  await step(run, keys.length);
  const taken = run.executor
    .beginSnapshot(() => {})
    .map((saved) => ({ ...saved, entries: [...{ [Symbol.iterator]: () => saved.entries }] }));
  return (deserialize(serialize(taken)) as RestoredTransform[]).filter(
    ({ schema }) => schema.operator !== 'testStream',
  );
}

test('a snapshot with ids alone as keys is restored under entity keys; what cannot be read is dropped and logged', async () => {
  const snapshot = await previousSnapshot(['s1|heat', 's2|heat', 'a|b|heat']);
  const run = start(
    [
      ['sensor:s1|heat', 10],
      ['sensor:s2|heat', 11],
      ['sensor:a\\|b|heat', 12],
      ['sensor:new|heat', 13],
    ],
    false,
  );
  await run.executor.restore(snapshot);
  await step(run, 6);
  const rows = run.output.map(({ value }) => value.row).filter(({ values }) => values.n_24h !== 0);
  expect(rows.map(({ entityKey, values }) => [entityKey, values.n_24h])).toEqual([
    ['sensor:s1|heat', 2],
    ['sensor:s2|heat', 2],
    ['sensor:a\\|b|heat', 1],
    ['sensor:new|heat', 1],
  ]);
  // Timers moved with their keys: no row is of a key of before.
  for (const { value } of run.output) expect(value.row.entityKey).toMatch(/^sensor:/);
  expect(run.changes.map(({ change, detail }) => [change, detail])).toEqual([
    ['adapted', 'its keys were of layout 0 and are of entity'],
  ]);
  const dropped = run.lines.filter(({ msg }) => msg === 'state.key_dropped');
  expect(dropped.map(({ key }) => key)).toEqual(['a|b|heat']);
});

test.each([1, 2, 4])(
  'of %i worker threads each restores the keys that are its own under their name of now',
  async (workers) => {
    const keys = Array.from({ length: 12 }, (_, index) => `s${index}|heat`);
    const snapshot = await previousSnapshot(keys);
    const found: string[] = [];
    for (let worker = 0; worker < workers; worker += 1) {
      const run = start(
        keys.map((key, index) => [`sensor:${key}`, 100 + index] as const),
        false,
      );
      expect(run.executor.changesKeys(snapshot)).toBe(true);
      await run.executor.restore(snapshot, { share: shareOf(worker, workers) });
      await step(run, keys.length + 1);
      for (const { value } of run.output) if (value.row.values.n_24h === 2) found.push(value.row.entityKey);
    }
    expect(found.sort()).toEqual(keys.map((key) => `sensor:${key}`).sort());
  },
);
