import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { openBrokerSocket } from '#connectors/kafka/broker_socket';

let server: Server | undefined;
afterEach(() => new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve()))));

test.each([
  ['an empty frame', Buffer.from([0, 0, 0, 0])],
  ['a frame that is too short for a correlation id', Buffer.from([0, 0, 0, 2, 1, 2])],
  ['two frames, the second too short', Buffer.from([0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 1, 7])],
  ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
])('what has taken a broker’s port and answers with %s breaks the connection, not the process', async (_, answer) => {
  const sockets = new Set<Socket>();
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => socket.write(answer));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const kafka = new Kafka({
    ...{ brokers: [`127.0.0.1:${(server.address() as AddressInfo).port}`], logLevel: logLevel.NOTHING },
    ...{ socketFactory: openBrokerSocket, retry: { retries: 0 }, requestTimeout: 500, connectionTimeout: 500 },
  });
  await expect(kafka.admin().connect()).rejects.toThrow();
  for (const socket of sockets) socket.destroy();
});
