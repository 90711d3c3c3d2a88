import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import type { PlatformConfig } from '#cli/project/config/platform_config';
import { createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import type { DeadLetter } from '#connectors/dead_letter';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { OnlineStore } from '#feature_store/online/online_store';
import { createOnlineStore } from '#feature_store/stores';
import { eventTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { VIEWS } from '../../support/definitions/all_definitions.ts';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { testProject } from '../../support/platforms/test_project.ts';
import { serviceAddress } from '../service_address.ts';

// `headwater dlq replay` of letters that sinks have written, into the real stores and into those of a platform that runs.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sink-replay-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const AT = Date.UTC(2026, 10, 20, 10);
const keyOf = (id: string): EntityKey => `account:${id}` as EntityKey;
const rowOf = (id: string, values: object = { amount: 5 }) => ({
  ...{ view: 'fraud', version: 1, entityKey: keyOf(id), eventTime: AT, computedAt: AT, values },
});
const predictionOf = (id: string) => ({
  ...{ predictionId: id, requestId: 'r', rowIndex: 0, modelName: 'replayed', modelVersion: 1 },
  ...{ features: { amount: 5 }, prediction: 'fraud', predictedAtMs: AT },
});
const letter = (stage: string, payload: object, attempt = 1): DeadLetter => ({
  ...{ stage, payload: JSON.stringify(payload), reason: 'refused', attempt, timestamp: new Date(AT).toISOString() },
});
const letters = (run: string): readonly DeadLetter[] => [
  letter('sink.online_store', rowOf(`${run}-online`)),
  letter('sink.offline_store', rowOf(`${run}-offline`)),
  letter('sink.offline_store', rowOf(`${run}-tired`), 5),
  letter('sink.offline_store', rowOf(`${run}-refused`, { amount: 5, merchant_category: 'a\u0000b' })),
  letter('prediction_log.prediction_store', predictionOf(`${run}-prediction`)),
  letter('prediction_log.prediction_topic', predictionOf(`${run}-topic`)),
  letter('serving.feedback', { predictionId: `${run}-prediction`, rowIndex: 0, label: 'fraud', receivedAtMs: AT }),
];

const file = (broker: Broker, config: PlatformConfig, filed: readonly DeadLetter[]): Promise<void> =>
  broker.producer.send(
    config.topics.deadLetters,
    filed.map((one) => ({ value: JSON.stringify(one) })),
  );

async function replay(env: Readonly<Record<string, string>>): Promise<string> {
  const { code, stdout, stderr } = await runCommand(folder, ['dlq', 'replay'], env);
  expect([code, stderr]).toEqual([0, '']);
  return stdout.trim();
}

async function valuesIn(broker: Broker, topic: string): Promise<string[]> {
  const values: string[] = [];
  const { signal } = new AbortController();
  for (const partition of await broker.listPartitions(topic)) {
    const reader = await broker.openPartition(topic, partition, { startAt: 'earliest' });
    while (reader.lagRecords() > 0n) {
      const records = await reader.poll({ maxRecords: 500, maxWaitMs: 1_000, signal });
      values.push(...records.map(({ value }) => value.toString()));
    }
    await reader.close();
  }
  return values;
}

test('each letter goes to its own store or topic once; what is refused again comes back with one more attempt', async () => {
  const run = `replay_${randomBytes(4).toString('hex')}`;
  const redis = new URL(serviceAddress('TEST_REDIS_URL'));
  const postgres = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const env = {
    ...{ ENVIRONMENT: 'services', NAMESPACE: run, DATA_DIRECTORY: join(folder, run) },
    ...{ KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'), REDIS_HOST: redis.hostname, REDIS_PORT: redis.port },
    ...{ DATABASE_HOST: postgres.hostname, DATABASE_PORT: postgres.port, DATABASE_NAME: 'postgres' },
    ...{ DATABASE_USER: postgres.username },
  };
  const config = testProject(env);
  const deps = { log: silentLogger, clock: systemClock, views: VIEWS };
  const broker: Broker = await createBroker(deps, config.broker);
  const online: OnlineStore = createOnlineStore(deps, config.onlineStore);
  const offline: OfflineDatabase = createOfflineDatabase(deps, config.offlineStore);
  const { signal } = new AbortController();
  for (const part of [broker, online, offline]) await part.start(signal);
  try {
    const { topics } = config;
    const names = [topics.rawEvents, topics.featureEvents, topics.deadLetters, topics.predictions];
    await broker.ensureTopics(names.map((name) => ({ name, partitions: 1 })));
    await file(broker, config, letters(run));
    expect(await replay(env)).toMatch(/^6 replayed, 0 passed over, 1 refused 5 times or more, 0 cannot/);

    const view = { view: 'fraud', version: 1 };
    const [row] = await online.read(view, [keyOf(`${run}-online`)]);
    expect(row?.values).toMatchObject({ amount: 5 });
    const range = { from: eventTime(AT), to: eventTime(AT + 1) };
    const rows = await offline.features.rowsBetween(view, range, { limit: 100, after: undefined });
    expect(rows.map(({ entityKey }) => entityKey)).toEqual([keyOf(`${run}-offline`)]);
    const predictions = await offline.predictions.list({ model: 'replayed', limit: 10 } as never);
    expect(predictions.map(({ predictionId }) => predictionId)).toEqual([`${run}-prediction`]);
    const inTopic = (await valuesIn(broker, topics.predictions)).map((value) => JSON.parse(value).predictionId);
    expect(inTopic).toEqual([`${run}-topic`]);
    const again = (await valuesIn(broker, topics.deadLetters))
      .map((value) => JSON.parse(value) as DeadLetter)
      .filter(({ attempt }) => attempt === 2);
    expect(again.map(({ stage, payload }) => [stage, JSON.parse(payload).entityKey])).toEqual([
      ['sink.offline_store', keyOf(`${run}-refused`)],
    ]);
    expect(await valuesIn(broker, topics.rawEvents)).toEqual([]);

    // The letter that came back is the only one that a second replay finds; nothing is written twice.
    expect(await replay(env)).toMatch(/^1 replayed, 0 passed over, 0 refused/);
    expect(await valuesIn(broker, topics.predictions)).toHaveLength(1);
  } finally {
    for (const part of [offline, online, broker]) await part.stop();
  }
}, 180_000);

test('beside a platform that runs, letters go through it to the folders it has', async () => {
  const data = join(folder, 'running');
  const env = { DATA_DIRECTORY: data };
  const config = testProject({ ENVIRONMENT: 'embedded', ...env });
  const before = await createBroker({ log: silentLogger, clock: systemClock }, config.broker);
  await before.start(new AbortController().signal);
  await before.ensureTopics([{ name: config.topics.deadLetters, partitions: config.topics.partitions }]);
  await file(before, config, letters('running'));
  await before.stop();
  const platform = await PlatformProcess.start(data, { ROLES: 'gateway,pipeline,features' });
  try {
    expect(await replay(env)).toMatch(/^6 replayed, 0 passed over, 1 refused 5 times or more, 0 cannot/);
    const listed = await runCommand(folder, ['predictions', '--json'], env);
    expect(listed.stdout).toContain('running-prediction');
    const letters = await runCommand(folder, ['dlq', 'list', '--json'], env);
    expect(letters.stdout.split('\n').filter((line) => line.includes('"attempt":2'))).toHaveLength(1);
  } finally {
    await platform.kill();
  }
}, 240_000);
