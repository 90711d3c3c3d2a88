import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { openBrokerSocket } from '#connectors/kafka/broker_socket';
import { ClusterConnection } from '#connectors/kafka/cluster_connection';
import { TopicDirectory } from '#connectors/kafka/topic_directory';
import { apiVersionsAnswer, int32, metadataAnswer } from '../../../support/servers/kafka_answers.ts';

const TOPIC_ID = 'ab'.repeat(16);
const [METADATA, API_VERSIONS] = [3, 18];
const TIMEOUT_MS = 300;

let server: Server;
let connection: ClusterConnection;
const sockets = new Set<Socket>();
/** Versions in which metadata was requested. */
let versions: number[];

afterEach(async () => {
  await connection.close();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

/** A broker whose list of requests takes `delaysMs` to come, on one connection after another. */
async function directoryOf(delaysMs: readonly number[]): Promise<TopicDirectory> {
  versions = [];
  const delays = [...delaysMs];
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const delayMs = delays.shift() ?? 0;
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
        const request = bytes.subarray(4, 4 + bytes.readInt32BE(0));
        bytes = bytes.subarray(4 + request.length);
        const [key, version] = [request.readInt16BE(0), request.readInt16BE(2)];
        if (key === METADATA) versions.push(version);
        const body =
          key === API_VERSIONS
            ? apiVersionsAnswer({ [METADATA]: 10, [API_VERSIONS]: 2 })
            : metadataAnswer('t', [{ id: TOPIC_ID, leader: '1' }]);
        const answer = Buffer.concat([int32(4 + body.length), request.subarray(4, 8), body]);
        setTimeout(() => socket.write(answer), key === API_VERSIONS ? delayMs : 0);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const timeouts = { connectionTimeoutMs: TIMEOUT_MS, requestTimeoutMs: TIMEOUT_MS };
  const kafka = new Kafka({
    ...{ brokers: [`127.0.0.1:${(server.address() as AddressInfo).port}`], logLevel: logLevel.NOTHING },
    ...{ socketFactory: openBrokerSocket, retry: { retries: 3, initialRetryTime: 10 } },
    ...{ requestTimeout: TIMEOUT_MS, connectionTimeout: TIMEOUT_MS },
  });
  connection = new ClusterConnection(kafka, timeouts);
  return new TopicDirectory(connection);
}

test('callers that come while a connection is made wait for what the broker can do', async () => {
  const directory = await directoryOf([TIMEOUT_MS / 3]);
  const found = await Promise.all([1, 2, 3].map(() => directory.lookUp(['t'])));
  expect(found.map((topics) => topics.get('t')?.id)).toEqual([TOPIC_ID, TOPIC_ID, TOPIC_ID]);
  expect(versions).toEqual([10, 10, 10]);
});

test('a connection on which the broker did not list its requests in time is not used', async () => {
  const directory = await directoryOf([TIMEOUT_MS * 1.5]);
  const found = await directory.lookUp(['t']).catch((error: Error) => error.message);
  expect(found).toBe('Broker not connected');
  // Also when the list has come meanwhile.
  expect((await directory.lookUp(['t'])).get('t')?.id).toBe(TOPIC_ID);
  expect(versions).toEqual([10]);
});
