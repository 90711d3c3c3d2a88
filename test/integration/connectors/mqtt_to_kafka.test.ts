import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { Aedes } from 'aedes';
import { connectAsync } from 'mqtt';
import { createClient } from '#client/create_client';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { seasonalReading } from '#examples/anomalies/features/readings';
import { assetPath } from '#kernel/project_root';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { pollUntil } from '../../conformance/connectors/broker_contract.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { serviceAddress } from '../service_address.ts';

// The anomalies example on Kafka: messages of machines over MQTT, their events in the topic, scores with causes in the online store, across a crash of the platform.

const MACHINES = 3;
/** Ten-minute readings of an hour, on seven days: what a reading of this hour is compared with. */
const DAYS = 7;
const A_DAY = 6;
const DAY_MS = 86_400_000;

test('messages over MQTT are in Kafka once they are acknowledged, also across a crash, and become scores with causes', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mqtt-kafka-'));
  const namespace = `mqtt_${Date.now().toString(36)}`;
  const env = { INGEST_SINK: 'kafka', KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'), NAMESPACE: namespace };
  const mqtt = await Aedes.createBroker();
  let acknowledged = 0;
  mqtt.on('ack', (packet, client) => {
    if (client.id !== 'anomalies' || !('payload' in packet)) return;
    acknowledged += 1;
    mqtt.emit('acknowledged');
  });
  const server = createServer(mqtt.handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const machine = await connectAsync(url, { clientId: 'plant' });
  const project = { ...env, HEADWATER_PROJECT: assetPath('examples/anomalies'), MQTT_URL: url };
  const start = async (): Promise<PlatformProcess> => {
    const subscribed = once(mqtt, 'subscribe');
    const started = await PlatformProcess.start(directory, project);
    await subscribed;
    return started;
  };
  let platform = await start();
  try {
    const hourMs = Math.floor(Date.now() / 3_600_000) * 3_600_000;
    const published: string[] = [];
    const publish = async (press: number, atMs: number, value: number): Promise<void> => {
      const at = new Date(atMs).toISOString();
      published.push(`press-${press}/temperature/${at}`);
      await machine.publishAsync(`plant/press-${press}/temperature`, JSON.stringify({ at, value }), { qos: 1 });
    };
    // The newest day last, and within what may be late.
    const all = Array.from({ length: (DAYS - 1) * A_DAY }, (_, each) => ({
      atMs: hourMs - (DAYS - 1 - Math.floor(each / A_DAY)) * DAY_MS + (each % A_DAY) * 60_000,
      value: 36 + (each % 3) / 10,
    }));
    const publishing = Promise.all(
      all.flatMap(({ atMs, value }) => Array.from({ length: MACHINES }, (_, press) => publish(press, atMs, value))),
    );
    while (acknowledged < published.length / 2) await once(mqtt, 'acknowledged');
    await platform.kill();
    await publishing;
    platform = await start();
    while (acknowledged < published.length) await once(mqtt, 'acknowledged');

    await publish(0, hourMs, 90);
    const scores = createClient({ featuresUrl: platform.urls.features }).features.of(seasonalReading);
    const key = `press-0|temperature|${new Date(hourMs).toISOString().slice(11, 13)}`;
    let row = await scores.get(key);
    for (let tries = 0; tries < 300 && row?.value !== 90; tries += 1) {
      await sleep(100);
      row = await scores.get(key);
    }
    expect(row).toMatchObject({ value: 90, is_alarm: true, cause: expect.stringContaining(' above ') });

    // In Kafka each message is there; one that was not yet acknowledged at the crash may be there twice, and counts once.
    const broker = new KafkaBroker(
      { log: silentLogger, clock: systemClock },
      kafkaConfigSchema.parse({ kind: 'kafka', brokers: env.KAFKA_BROKERS.split(',') }),
    );
    await broker.start();
    const ids: string[] = [];
    for (const partition of await broker.listPartitions(`${namespace}.raw-events`)) {
      const reader = await broker.openPartition(`${namespace}.raw-events`, partition, { startAt: 'earliest' });
      const records = await pollUntil(reader, Number(reader.lagRecords()));
      ids.push(...records.map(({ value }) => (JSON.parse(value.toString()) as { event_id: string }).event_id));
      await reader.close();
    }
    await broker.stop();
    expect([...new Set(ids)].sort()).toEqual(published.sort());
    expect(ids.length - published.length).toBeLessThanOrEqual(1);
  } finally {
    await platform.kill();
    await machine.endAsync(true);
    await new Promise<void>((resolve) => mqtt.close(() => resolve()));
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}, 240_000);
