import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { z } from 'zod';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import type { OutgoingRecord } from '#connectors/connector';
import { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { type DeadLetter, DeadLetterQueue } from '#connectors/dead_letters/dead_letters';
import { writeInHalves } from '#connectors/delivery';
import { RecordsRefusedError } from '#connectors/errors';
import { createFileSystems } from '#connectors/files/file_systems';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { createRedis, type RedisClient } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { count } from '#feature_store/definitions/aggregations';
import { expression, field, fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { rowKey } from '#feature_store/online/redis/redis_keys';
import { RedisOnlineStore } from '#feature_store/online/redis/redis_store';
import { eventTime, HOUR_MS, isoTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildBackfillPipeline, buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { buildMonitoringPipeline } from '#pipelines/jobs/monitoring_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createPipelineMetrics } from '#pipelines/runner/pipeline_metrics';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { PredictionLog } from '#serving/prediction_store/prediction_log';
import { serviceAddress } from '../integration/service_address.ts';
import { keyOf } from '../support/entity_keys.ts';

// One poisoned record at each entry point and sink, between 40 good ones, with real Kafka, Redis and PostgreSQL: all 40 are counted, the poison is in
// the dead letters with its reason, and no job restarts.

const GOOD = 40;
const RUN = randomUUID().slice(0, 8);
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 2 * HOUR_MS;
const topics = {
  raw: `raw-${RUN}`,
  features: `features-${RUN}`,
  dead: `dead-${RUN}`,
  predictions: `predictions-${RUN}`,
  logged: `logged-${RUN}`,
  sizes: `sizes-${RUN}`,
};
const directory = mkdtempSync(join(tmpdir(), 'poison-'));
const large = { directory: join(directory, 'dead-letters'), fileSystems: createFileSystems() };

const user = entity('user', ['user_id']);
const clicks = eventSource({
  name: 'clicks',
  eventTypes: ['click'],
  schema: z.strictObject({
    event_id: z.string(),
    event_type: z.literal('click'),
    user_id: z.string(),
    at: z.string(),
    n: z.number(),
    text: z.string().optional(),
  }),
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'at',
});
const view = featureView({
  name: `poisoned_${RUN}`,
  version: 1,
  entity: user,
  source: clicks,
  ttl: '30d',
  owner: 'test',
  description: 'For poison',
  features: {
    ...count().over('24h'),
    n: field('n', 'long', 'n'),
    // Three times as large as what came.
    long_text: fromEvent('string', 'text', ({ text }) => (typeof text === 'string' ? text.repeat(3) : null)),
    ratio: expression(['n'], 'double', 'Throws for 13', ({ n }) => {
      if (n === 13) throw new Error('unlucky');
      return 100 / Number(n);
    }),
    label: expression(['n'], 'string', 'A number for 14', ({ n }) => (n === 14 ? (14 as never) : `n${n}`)),
  },
});

let broker: KafkaBroker;
let redis: RedisClient;
let online: RedisOnlineStore;
let offline: OfflineDatabase;
let pool: pg.Pool;
let admin: pg.Client;
const database = `poison_${RUN}`;

beforeAll(async () => {
  const brokers = serviceAddress('TEST_KAFKA_BROKERS').split(',');
  broker = new KafkaBroker(
    { log: silentLogger, clock: systemClock },
    kafkaConfigSchema.parse({ kind: 'kafka', brokers, maxRecordBytes: 3_000_000, batchBytes: 3_000_000 }),
  );
  await broker.start();
  await broker.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: 2 })));
  // The raw topic takes more than the others.
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await kafka.connect();
  await kafka.alterConfigs({
    validateOnly: false,
    resources: [{ type: 2, name: topics.sizes, configEntries: [{ name: 'max.message.bytes', value: '20000' }] }],
  });
  await kafka.disconnect();
  const { hostname, port } = new URL(serviceAddress('TEST_REDIS_URL'));
  const config = redisConfigSchema.parse({ host: hostname, port: Number(port) });
  redis = createRedis(config, silentLogger);
  online = new RedisOnlineStore({ redis, views: [view], log: silentLogger }, { redis: config, keyPrefix: RUN });
  await online.start();
  // A database of its own, whose triggers refuse rows.
  const url = new URL(serviceAddress('TEST_POSTGRES_URL'));
  admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${database}`);
  url.pathname = `/${database}`;
  pool = new pg.Pool({ connectionString: url.href });
  // Its database is dropped in the end, with its connections.
  pool.on('error', () => {});
  offline = sqlOfflineDatabase({ sql: new PostgresExecutor(pool), log: silentLogger }, 'postgres');
  await offline.start();
  await pool.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF to_jsonb(NEW)::text LIKE '%poison-here%' THEN RAISE EXCEPTION 'poisoned row'; END IF; RETURN NEW; END $$`);
  for (const table of ['feature_statistics', 'drift_reports', 'predictions', 'prediction_feedback', 'labels']) {
    await pool.query(`CREATE TRIGGER refuse BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION refuse()`);
  }
}, 120_000);

afterAll(async () => {
  await broker.stop();
  await offline.stop();
  await admin.query(`DROP DATABASE ${database} WITH (FORCE)`);
  await admin.end();
  await online.stop();
  rmSync(directory, { recursive: true, force: true });
});

const lettersOf = async (): Promise<readonly DeadLetter[]> => {
  const letters: DeadLetter[] = [];
  for await (const { letter } of new DeadLetterQueue(broker, topics.dead).list()) letters.push(letter as DeadLetter);
  return letters;
};

const click = (name: string, changes: object = {}) => ({
  ...{ event_id: `${RUN}-${name}`, event_type: 'click', user_id: name, at: isoTime(eventTime(START)), n: 1 },
  ...changes,
});
const recordOf = (event: object): OutgoingRecord => ({ key: 'k', value: JSON.stringify(event) });
const nested = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;

/** Refused by whom, and why. */
const POISON: readonly [name: string, record: OutgoingRecord, stage: string, reason: RegExp][] = [
  ['not JSON', { value: '{"event_id": ' }, 'pipeline.decode', /not JSON/],
  ['null', { value: 'null' }, 'pipeline.decode', /not a JSON object/],
  ['NUL', recordOf(click('nul', { user_id: 'w\0b' })), 'pipeline.decode', /^user_id: holds a NUL/],
  ['NUL in a name', recordOf(click('name', { 'x\0': 1 })), 'pipeline.decode', /^x\\u0000: holds a NUL/],
  ['half a pair', recordOf(click('half', { text: '\ud800' })), 'pipeline.decode', /^text: holds half of a surrogate/],
  ['nested', { value: `{"event_type":"click","text":${nested}}` }, 'pipeline.decode', /more than 100 levels/],
  ['a wrong type', recordOf(click('type', { n: 'one' })), 'pipeline.decode', /n: /],
  [
    'a function that throws',
    recordOf(click('throws', { n: 13 })),
    'pipeline.compute_features',
    /"ratio" of view poisoned_.*unlucky; event .*-throws/,
  ],
  [
    'a wrong value',
    recordOf(click('value', { n: 14 })),
    'pipeline.compute_features',
    /"label" of view .* declared string.* number 14; event .*-value/,
  ],
  [
    'half an integer',
    recordOf(click('integer', { n: 1.5 })),
    'pipeline.compute_features',
    /"n" of view .* declared long.* number 1.5/,
  ],
  [
    'a key no index takes',
    recordOf(click('index', { user_id: Array.from({ length: 600 }, () => randomUUID()).join('') })),
    'pipeline.key',
    /user_id take 21600 bytes, 1024 at most/,
  ],
  [
    'a key of another type in Redis',
    recordOf(click('redis', { user_id: 'other-type' })),
    'sink.online_store',
    /WRONGTYPE/,
  ],
  [
    'a row larger than its topic takes',
    recordOf(click('large', { text: 'x'.repeat(400_000) })),
    'sink.feature_events',
    /bytes with key and headers/,
  ],
];

test('events: poison of every kind between 40 good ones', async () => {
  const good = Array.from({ length: GOOD }, (_, index) => recordOf(click(`good-${index}`)));
  await redis.lpush(rowKey(RUN, view, keyOf('other-type', 'user')), 'x');
  const keyBefore = await redis.keys(`${RUN}:*other-type*`);
  expect(keyBefore.length).toBe(1);
  const records = good.flatMap((record, index) => {
    const poison = POISON[index];
    return poison === undefined ? [record] : [record, poison[1]];
  });
  await broker.producer.send(topics.raw, records);
  const registry = createMetricsRegistry({ process: false });
  const metrics = createFeatureMetrics(registry);
  const jobMetrics = createPipelineMetrics(registry);
  const deps = { broker, online, offline, views: [view], metrics, log: silentLogger, clock: systemClock };
  const handle = runEmbedded(
    createPipeline((root) =>
      buildFeaturePipeline(root, deps, {
        ...{ rawEventsTopic: topics.raw, featureEventsTopic: topics.features, deadLetterTopic: topics.dead },
        ...{ group: RUN, outOfOrderMs: 60_000, allowedLatenessMs: 24 * HOUR_MS, idleAfterMs: 200, bounded: true },
        ...{ statisticsWindowMs: HOUR_MS, largeLetters: large },
      }),
    ),
    { log: silentLogger, clock: systemClock, metrics: jobMetrics, maxRetries: 0 },
  );
  await handle.finished;

  const names = Array.from({ length: GOOD }, (_, index) => keyOf(`good-${index}`, 'user'));
  const stored = await online.read(view, names);
  expect(stored.map((row) => row?.values.count_24h)).toEqual(names.map(() => 1));
  expect((await offline.features.newestOf(view, names)).length).toBe(GOOD);
  const published = await valuesOf(topics.features);
  expect(new Set(published.map(({ entityKey }) => entityKey))).toEqual(expect.objectContaining(new Set(names)));
  for (const name of names) expect(published.some(({ entityKey }) => entityKey === name)).toBe(true);
  // Rows that reached the engine: 40, and the two that a sink refused.
  const [statistics] = await offline.statistics.list({ view, feature: 'count_24h', limit: 1 });
  expect(statistics?.statistics.rows).toBe(GOOD + 2);

  const letters = await lettersOf();
  for (const [name, , stage, reason] of POISON) {
    const found = letters.filter((letter) => letter.stage === stage && reason.test(letter.reason));
    expect([name, found.length]).toEqual([name, 1]);
  }
  expect(letters.length).toBe(POISON.length);
  expect(await failures(registry)).toBe(0);
  expect(await totalOf(metrics.stoppedViews)).toBe(0);
}, 120_000);

test('a dead letter larger than its topic takes is kept whole in a file, and can be replayed', async () => {
  const letter = (await lettersOf()).find(({ stage }) => stage === 'sink.feature_events') as DeadLetter;
  expect(letter.isCut).toBe(true);
  expect(letter.payload.length).toBeLessThan(3_000);
  const whole = JSON.parse(readFileSync(letter.payloadAt as string, 'utf8')) as { values: { long_text: string } };
  expect(whole.values.long_text.length).toBe(1_200_000);
  const filter = { stage: 'sink.feature_events' };
  const replay = (files?: typeof large.fileSystems) =>
    new DeadLetterQueue(broker, topics.dead, files === undefined ? {} : { fileSystems: files }).replay(topics.raw, {
      filter,
      dryRun: true,
      sinks: new Map([['sink.feature_events', async () => {}]]),
    });
  expect(await replay(large.fileSystems)).toMatchObject({ replayed: 1, unusable: 0 });
  expect(await replay()).toMatchObject({ replayed: 0, unusable: 1 });
});

test('history: poisoned lines of a file between 40 good ones', async () => {
  const before = (await lettersOf()).length;
  const lines = Array.from({ length: GOOD }, (_, index) => JSON.stringify(click(`past-${index}`)));
  const bad = [
    '{"event_id":',
    'null',
    JSON.stringify(click('past-nul', { text: 'a\0' })),
    JSON.stringify(click('past-unlucky', { n: 13 })),
  ];
  writeFileSync(join(directory, 'history.jsonl'), [...lines.slice(0, 20), ...bad, ...lines.slice(20)].join('\n'));
  const registry = createMetricsRegistry({ process: false });
  const metrics = createFeatureMetrics(registry);
  const deps = {
    producer: broker.producer,
    online,
    offline,
    views: [view],
    metrics,
    log: silentLogger,
    clock: systemClock,
  };
  await runEmbedded(
    createPipeline((root) =>
      buildBackfillPipeline(root, deps, {
        history: { files: [join(directory, 'history.jsonl')] },
        ...{ outOfOrderMs: HOUR_MS, allowedLatenessMs: 24 * HOUR_MS },
        ...{ featureEventsTopic: undefined, deadLetterTopic: topics.dead, largeLetters: large },
      }),
    ),
    { log: silentLogger, clock: systemClock, metrics: createPipelineMetrics(registry), maxRetries: 0 },
  ).finished;
  const names = Array.from({ length: GOOD }, (_, index) => keyOf(`past-${index}`, 'user'));
  expect((await offline.features.newestOf(view, names)).length).toBe(GOOD);
  const of = (await lettersOf()).filter(({ payload, reason }) => payload.includes('past-') || /past-/.test(reason));
  expect(of.map(({ reason }) => reason).sort()).toEqual([
    expect.stringMatching(/"ratio" of view poisoned_.*unlucky/),
    expect.stringMatching(/text: holds a NUL/),
  ]);
  expect((await lettersOf()).length - before).toBe(bad.length);
  expect(await failures(registry)).toBe(0);
}, 60_000);

test('statistics that the store refuses go to the dead letters; the others are written', async () => {
  const rows = Array.from({ length: GOOD }, (_, index) => index);
  const statistics = rows.map((index) => ({
    ...{ view: `s_${RUN}`, version: 1, feature: index === 7 ? 'poison-here' : `f${index}` },
    ...{ windowStartMs: START, windowMs: HOUR_MS, statistics: { rows: index } as never },
  }));
  const rejected = await writeInHalves(statistics, (part) => offline.statistics.write(part));
  expect(rejected).toEqual([{ value: statistics[7], reason: expect.stringContaining('poisoned row') }]);
  expect((await offline.statistics.list({ view: { view: `s_${RUN}`, version: 1 }, limit: 100 })).length).toBe(GOOD - 1);
});

test('drift: predictions that are none, and a report that its store refuses; the monitor goes on', async () => {
  const before = (await lettersOf()).length;
  const prediction = (model: string, index: number): OutgoingRecord => ({
    key: model,
    value: JSON.stringify({
      ...{ requestId: `${model}-${index}`, rowIndex: 0, modelName: model, modelVersion: 1, features: { n: index } },
      ...{ prediction: 'yes', probabilities: { no: 0.4, yes: 0.6 }, predictedAtMs: START + index },
    }),
  });
  const good = Array.from({ length: GOOD }, (_, index) => prediction(`good-${RUN}`, index));
  const refused = Array.from({ length: GOOD }, (_, index) => prediction('poison-here', index));
  const bad = ['null', '"x"', '{"modelName":"m\\u0000","modelVersion":1,"predictedAtMs":1}'].map((value) => ({
    value,
  }));
  await broker.producer.send(topics.predictions, [...good, ...bad, ...refused]);
  const registry = createMetricsRegistry({ process: false });
  await runEmbedded(
    createPipeline((root) =>
      buildMonitoringPipeline(
        root,
        { broker, drift: offline.drift, log: silentLogger, registry, referenceOf: async () => undefined },
        {
          ...{ predictionsTopic: topics.predictions, deadLetterTopic: topics.dead, group: RUN, everyMs: 60_000 },
          ...{ idleAfterMs: 200, bounded: true, windowMs: HOUR_MS, minRows: 10, ignore: [], performanceMs: HOUR_MS },
          ...{ minLabels: 1, thresholds: { psi: 0.2, cramersV: 0.1, significance: 0.001, nullShare: 0.1 } },
        },
      ),
    ),
    { log: silentLogger, clock: systemClock, metrics: createPipelineMetrics(registry), maxRetries: 0 },
  ).finished;
  const [report] = await offline.drift.list({ model: `good-${RUN}`, limit: 10 });
  expect(report?.rows).toBe(GOOD);
  const letters = (await lettersOf()).slice();
  expect(letters.length - before).toBe(bad.length + 1);
  expect(letters.filter(({ stage }) => stage === 'monitor.decode').length).toBe(bad.length);
  expect(letters.filter(({ stage }) => stage === 'sink.drift_reports').map(({ payload }) => payload)).toEqual([
    expect.stringContaining('poison-here'),
  ]);
  expect(await failures(registry)).toBe(0);
}, 60_000);

test('the prediction log: a refused row is alone in the dead letters; each sink has each other row once, and goes on', async () => {
  const metrics = createMetricsRegistry({ process: false });
  const deps = { log: silentLogger, metrics };
  const sent: string[] = [];
  const log = new PredictionLog(
    {
      ...deps,
      deadLetters: new DeadLetterWriter({ ...deps, producer: broker.producer }, { topic: topics.dead, large }),
      sinks: [
        {
          target: 'prediction topic',
          async write(rows) {
            sent.push(...rows.map(({ requestId }) => requestId));
            await broker.producer.send(
              topics.logged,
              rows.map((row) => ({ value: JSON.stringify(row) })),
            );
          },
        },
        { target: 'prediction store', write: (rows) => offline.predictions.write(rows) },
      ],
    },
    { maxPending: 1_000 },
  );
  await log.start();
  const add = (name: string, features: object = { n: 1 }) =>
    log.add({
      count: 1,
      logged: () => ({
        ...{
          requestId: `${name}-${RUN}`,
          predictionId: `${name}-${RUN}`,
          rowIndex: 0,
          modelName: `log-${RUN}`,
          modelVersion: 1,
          features: features as never,
        },
        ...{ prediction: 'yes', predictedAtMs: Date.now() },
      }),
    });
  for (let index = 0; index < GOOD; index += 1) {
    add(`row-${index}`);
    if (index === 10) add('poison-here');
    if (index === 20) add('nul', { text: 'a\0b' });
  }
  await log.flush();
  add('later');
  await log.drain();
  await log.stop();
  const kept = await offline.predictions.list({ modelName: `log-${RUN}`, limit: 100 });
  expect(kept.length).toBe(GOOD + 1);
  // Each row once, also the two that the store refused.
  expect(sent.length).toBe(new Set(sent).size);
  expect((await valuesOf(topics.logged)).length).toBe(GOOD + 3);
  const refused = (await lettersOf()).filter(({ stage }) => stage === 'prediction_log.prediction_store');
  expect(refused.map(({ reason }) => reason)).toEqual([
    expect.stringContaining('poisoned row'),
    expect.stringMatching(/u0000|escape/i),
  ]);
  expect(await metrics.metrics()).toContain('prediction_log_dropped_total 0');
}, 60_000);

describe('rows of', () => {
  const indices = Array.from({ length: GOOD }, (_, index) => index);

  test('feedback and labels are refused alone', async () => {
    const feedback = indices.map((index) => ({
      ...{
        predictionId: index === 3 ? 'poison-here' : `f-${RUN}-${index}`,
        rowIndex: 0,
        value: 1,
        receivedAtMs: START,
      },
    }));
    expect((await writeInHalves(feedback, (part) => offline.feedback.write(part))).map(({ value }) => value)).toEqual([
      feedback[3],
    ]);
    const labels = indices.map((index) => ({
      ...{
        labelId: `l${index}`,
        entityKey: (index === 5 ? 'account:a\0b' : 'account:a') as EntityKey,
        eventTime: eventTime(START),
        label: 1,
      },
    }));
    const rejected = await writeInHalves(labels, (part) => offline.labels.write(`labels-${RUN}`, part));
    expect(rejected.map(({ value }) => value)).toEqual([labels[5]]);
    const range = { from: eventTime(START), to: eventTime(START + 1) };
    expect((await offline.labels.read(`labels-${RUN}`, range)).length).toBe(GOOD - 1);
  });

  test('Kafka: a record that is too large is refused alone, and no record of another sender with it; a batch that is too large is split', async () => {
    // 20,000 bytes are the topic's limit, and nothing of the client's: characters of three bytes each.
    const good = indices.map((index) => ({ key: 'k', value: `${index} ${'€'.repeat(1_000)}` }));
    const tooLarge = { key: 'k', value: '€'.repeat(10_000), headers: { h: 'x' } };
    const others = broker.producer.send(topics.sizes, good.slice(0, 20));
    const mixed = broker.producer.send(topics.sizes, [...good.slice(20, 30), tooLarge, ...good.slice(30)]);
    await others;
    const refusal = (await mixed.catch((error: unknown) => error)) as RecordsRefusedError;
    expect(refusal).toBeInstanceOf(RecordsRefusedError);
    expect([...refusal.refused.keys()]).toEqual([10]);
    expect(refusal.refused.get(10)?.message).toMatch(/30\d{3} bytes with key and headers, more than the topic takes/);
    const held = await textsOf(topics.sizes);
    expect(held.map((text) => Number.parseInt(text, 10)).sort((a, b) => a - b)).toEqual(indices);
  }, 60_000);
});

async function textsOf(topic: string): Promise<readonly string[]> {
  const texts: string[] = [];
  for await (const { raw } of new DeadLetterQueue(broker, topic).list()) texts.push(raw);
  return texts;
}
const valuesOf = async (topic: string): Promise<readonly { readonly entityKey?: string }[]> =>
  (await textsOf(topic)).map((text) => JSON.parse(text) as { entityKey?: string });

/** How often a bundle failed, and with it the job went back to its snapshot. */
async function failures(registry: ReturnType<typeof createMetricsRegistry>): Promise<number> {
  const metric = (await registry.getMetricsAsJSON()).find(({ name }) => name === 'pipeline_bundle_failures_total');
  return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
}
