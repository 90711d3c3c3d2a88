import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { assetPath } from '#kernel/project_root';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { byForm } from '../../support/jest/forms.ts';

// A gateway that is killed between a message, its event in the log, and the acknowledgement.

const KILLS = byForm({ short: 4, long: 25 });
const AT_ONCE = 400;
const SESSION = 'anomalies';
const TOPIC = 'raw-events';

const directory = mkdtempSync(join(tmpdir(), 'mqtt-'));
let mqtt: Aedes;
let server: Server;
let machine: MqttClient;
let url: string;
/** Ids of the events whose messages the gateway has acknowledged. */
const acknowledged = new Set<string>();

beforeAll(async () => {
  mqtt = await Aedes.createBroker();
  mqtt.on('ack', (packet, client) => {
    if (client.id !== SESSION || !('payload' in packet)) return;
    acknowledged.add((JSON.parse(String(packet.payload)) as { at: string }).at);
    mqtt.emit('acknowledged');
  });
  server = createServer(mqtt.handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  machine = await connectAsync(url, { clientId: 'press-1' });
});
afterAll(async () => {
  await machine.endAsync(true);
  await new Promise<void>((resolve) => mqtt.close(() => resolve()));
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function startGateway(): Promise<ChildProcess> {
  const subscribed = once(mqtt, 'subscribe');
  const gateway = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'start', '--role', 'gateway'], {
    stdio: 'ignore',
    env: {
      ...{ ...process.env, NODE_OPTIONS: '', HEADWATER_PROJECT: assetPath('examples/anomalies') },
      ...{ DATA_DIRECTORY: directory, GATEWAY_PORT: '0', MQTT_URL: url },
    },
  });
  await Promise.race([subscribed, once(gateway, 'exit').then(() => Promise.reject(new Error('the gateway ended')))]);
  return gateway;
}

/** Times of all readings in the log, with repetitions. */
async function logged(): Promise<readonly string[]> {
  const log = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 2 ** 26 },
  );
  const { signal } = new AbortController();
  await log.start();
  try {
    const times: string[] = [];
    for (const partition of await log.listPartitions(TOPIC)) {
      const reader = await log.openPartition(TOPIC, partition, { startAt: 'earliest' });
      for (;;) {
        const records = await reader.poll({ maxRecords: 10_000, maxWaitMs: 0, signal });
        if (records.length === 0) break;
        times.push(...records.map(({ value }) => (JSON.parse(value.toString()) as { timestamp: string }).timestamp));
      }
      await reader.close();
    }
    return times;
  } finally {
    await log.stop();
  }
}

test(`${KILLS} kills: what was acknowledged is in the log, and nothing that was published is lost`, async () => {
  const startMs = Date.now() - 3_600_000;
  const published: string[] = [];
  const publish = async (): Promise<void> => {
    const at = new Date(startMs + published.length).toISOString();
    published.push(at);
    await machine.publishAsync('plant/press-1/temperature', JSON.stringify({ at, value: 1 }), { qos: 1 });
  };
  // The session exists before the first message.
  let gateway = await startGateway();
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const before = acknowledged.size;
    const publishing = Promise.all(Array.from({ length: AT_ONCE }, publish));
    // In the midst of the messages, each time at another one.
    while (acknowledged.size < before + 20 + 13 * (kill % 7)) await once(mqtt, 'acknowledged');
    gateway.kill('SIGKILL');
    await Promise.all([once(gateway, 'exit'), publishing]);
    // The broker reads the acknowledgements that were sent before the kill.
    await sleep(50);
    const inLog = new Set(await logged());
    expect([...acknowledged].filter((at) => !inLog.has(at))).toEqual([]);
    expect(acknowledged.size).toBeLessThan(published.length);
    gateway = await startGateway();
  }
  while (acknowledged.size < published.length) await once(mqtt, 'acknowledged');
  gateway.kill('SIGTERM');
  await once(gateway, 'exit');
  const times = await logged();
  expect([...new Set(times)].sort()).toEqual(published);
  // Twice is what was in the log and not yet acknowledged; the pipeline drops it by its id.
  expect(times.length - published.length).toBeLessThanOrEqual(KILLS);
  process.stdout.write(
    `mqtt: ${published.length} messages, ${KILLS} kills, ${times.length - published.length} in the log twice\n`,
  );
}, 600_000);
