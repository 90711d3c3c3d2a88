import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Aedes } from 'aedes';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import type { MqttIntakeSpec } from '#connectors/mqtt/config';
import { mqttIntake } from '#connectors/mqtt/mqtt_intake';
import { goodEvent } from '../../../support/definitions/good_event.ts';
import { createTestGateway, type TestGateway } from '../gateway/test_gateway.ts';

// Messages at QoS 1 from a broker (aedes, over TCP) into a gateway whose own broker may be away.

const CLIENT = 'gateway-1';
const NOW = new Date().toISOString();

let mqtt: Aedes;
let server: Server;
let url: string;
let publisher: MqttClient;
const sockets = new Set<Socket>();
const gateways: TestGateway[] = [];
/** Payloads that the gateway has acknowledged, in order. */
let acknowledged: string[];

beforeEach(async () => {
  mqtt = await Aedes.createBroker();
  acknowledged = [];
  mqtt.on('ack', (packet, client) => {
    if (client.id === CLIENT && 'payload' in packet) acknowledged.push(String(packet.payload));
    mqtt.emit('acknowledged');
  });
  server = createServer((socket) => {
    sockets.add(socket);
    mqtt.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  publisher = await connectAsync(url, { clientId: 'machine' } satisfies IClientOptions);
});
afterEach(async () => {
  for (const { app } of gateways.splice(0)) await app.close();
  await publisher.endAsync(true);
  await new Promise<void>((resolve) => mqtt.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  server.close();
});

const spec = (changes: Partial<MqttIntakeSpec> = {}): MqttIntakeSpec => ({
  ...{ name: 'payments', url, clientId: CLIENT, topics: ['shops/+/payments'] },
  toEvent: ({ levels, payload }) => ({
    ...goodEvent(`${levels[1]}-${payload}`, { timestamp: NOW, merchant_id: levels[1], amount: Number(payload) }),
  }),
  ...changes,
});

async function startGateway(mode: 'up' | 'down' = 'up', changes: Partial<MqttIntakeSpec> = {}): Promise<TestGateway> {
  const subscribed = once(mqtt, 'subscribe');
  const gateway = await createTestGateway({}, undefined, undefined, [mqttIntake(spec(changes))]);
  gateway.broker.mode = mode;
  gateways.push(gateway);
  await gateway.app.listen({ port: 0, host: '127.0.0.1' });
  await subscribed;
  return gateway;
}

const publish = (payload: string, topic = 'shops/s1/payments') => publisher.publishAsync(topic, payload, { qos: 1 });
const until = async (emitter: Aedes, event: string, isReached: () => boolean): Promise<void> => {
  while (!isReached()) await once(emitter, event);
};
const idsOf = (gateway: TestGateway): unknown[] => gateway.valuesOf('raw-events').map(({ event_id: id }) => id);
const outcomes = async ({ metrics }: TestGateway) => {
  const values = (await metrics.getSingleMetric('mqtt_messages_total')?.get())?.values ?? [];
  return Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]));
};

test('messages become events, and are acknowledged in order', async () => {
  const gateway = await startGateway();
  for (const payload of ['1', '2', '3']) await publish(payload);
  await until(mqtt, 'acknowledged', () => acknowledged.length === 3);
  expect(idsOf(gateway)).toEqual(['s1-1', 's1-2', 's1-3']);
  expect(acknowledged).toEqual(['1', '2', '3']);
  expect(await outcomes(gateway)).toEqual({ accepted: 3 });
});

test('no message is acknowledged while the broker of the platform is away; all are once it is back', async () => {
  const gateway = await startGateway('down');
  for (const payload of ['1', '2', '3']) await publish(payload);
  const failures = () => gateway.metrics.getSingleMetric('delivery_failing_seconds')?.get();
  while (((await failures())?.values.length ?? 0) === 0) await new Promise((resolve) => setImmediate(resolve));
  expect([idsOf(gateway), acknowledged]).toEqual([[], []]);
  gateway.broker.mode = 'up';
  await until(mqtt, 'acknowledged', () => acknowledged.length === 3);
  expect(idsOf(gateway)).toEqual(['s1-1', 's1-2', 's1-3']);
});

test('what a gateway has not acknowledged when it stops, the next one of the session gets', async () => {
  const first = await startGateway('down');
  await publish('1');
  await publish('2');
  const closed = once(mqtt, 'clientDisconnect');
  await first.app.close();
  await closed;
  await publish('3');
  expect([idsOf(first), acknowledged]).toEqual([[], []]);
  const second = await startGateway();
  await until(mqtt, 'acknowledged', () => acknowledged.length === 3);
  expect(idsOf(second).sort()).toEqual(['s1-1', 's1-2', 's1-3']);
});

test('after a lost connection the message is delivered again, and counts once', async () => {
  const gateway = await startGateway('down');
  await publish('1');
  const again = once(mqtt, 'subscribe');
  for (const socket of sockets) socket.destroy();
  await again;
  gateway.broker.mode = 'up';
  await until(mqtt, 'acknowledged', () => acknowledged.length === 1);
  expect(idsOf(gateway)).toEqual(['s1-1']);
});

test('what is no event goes to the dead letters with its bytes, and is acknowledged', async () => {
  const gateway = await startGateway('up', {
    toEvent({ payload }) {
      if (payload[0] === 0xff) throw new Error('the payload is no number');
      return goodEvent(`e-${payload}`, { amount: Number(payload) });
    },
  });
  await publisher.publishAsync('shops/s1/payments', Buffer.from([0xff, 0x00]), { qos: 1 });
  await publish('-5');
  await publish('7');
  await until(mqtt, 'acknowledged', () => acknowledged.length === 3);
  expect(idsOf(gateway)).toEqual(['e-7']);
  expect(gateway.valuesOf('dead-letter-queue')).toEqual([
    expect.objectContaining({
      ...{ payload: '/wA=', encoding: 'base64' },
      reason: 'the event was refused: the payload is no number',
    }),
    expect.objectContaining({ reason: expect.stringContaining('amount') }),
  ]);
  expect(await outcomes(gateway)).toEqual({ accepted: 1, refused: 2 });
});

test('settings that cannot be are named, without their values', async () => {
  const refused = createTestGateway({}, undefined, undefined, [
    mqttIntake(spec({ url: 'http://secret@host', topics: [] })),
  ]);
  await expect(refused).rejects.toThrow(/mqttIntake "payments"\.url: (.|\n)*mqttIntake "payments"\.topics: /);
  await expect(refused).rejects.not.toThrow(/secret/);
});
