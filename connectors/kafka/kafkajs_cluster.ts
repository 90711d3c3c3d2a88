import { createRequire } from 'node:module';
import type { Kafka } from 'kafkajs';

/**
 * What the connector takes from inside kafkajs 2.2.4, which is pinned: connections, metadata and codecs. Its own consumer and producer
 * are not used; docs/adr/0006 and 0008 say why. This file is the only one that reaches in there.
 */
const require = createRequire(import.meta.url);

const { createErrorFromCode } = require('kafkajs/src/protocol/error') as {
  createErrorFromCode(code: number): Error & { readonly type: string; readonly retriable: boolean };
};

export { createErrorFromCode };

const CREATE_CLUSTER = 'private:Kafka:createCluster';
const SEND_REQUEST = 'private:Broker:sendRequest';

/** One broker's connection. */
export interface BrokerConnection {
  initProducerId(request: { transactionalId: undefined; transactionTimeout: number }): Promise<{
    readonly producerId: string;
    readonly producerEpoch: number;
  }>;
}

export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  findGroupCoordinator(group: { groupId: string }): Promise<{ offsetCommit(request: object): Promise<unknown> }>;
  findControllerBroker(): Promise<BrokerConnection>;
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[];
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>;
  findBroker(node: { nodeId: string }): Promise<BrokerConnection>;
}

export function createCluster(kafka: Kafka): Cluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
  if (symbol === undefined) throw new Error('this kafkajs is not version 2.2.4: it cannot create a cluster');
  const create = (kafka as unknown as Record<symbol, (options: object) => Cluster>)[symbol] as (
    options: object,
  ) => Cluster;
  return create({ allowAutoTopicCreation: false, metadataMaxAge: 300_000 });
}

export interface RawRequest<T> {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  readonly payload: Buffer;
  readonly decode: (response: Buffer) => T;
}

/** Sends a request that was encoded here, over a connection of kafkajs. */
export function sendRaw<T>(broker: BrokerConnection, request: RawRequest<T>): Promise<T> {
  const { apiKey, apiVersion, apiName, payload, decode } = request;
  const own = Object.getPrototypeOf(broker) as object;
  const symbol = Object.getOwnPropertySymbols(own).find(({ description }) => description === SEND_REQUEST);
  if (symbol === undefined) throw new Error('this kafkajs is not version 2.2.4: it cannot send a request');
  const send = (broker as unknown as Record<symbol, (call: object) => Promise<T>>)[symbol] as (
    call: object,
  ) => Promise<T>;
  return send.call(broker, {
    // As much of kafkajs' Encoder as it looks at.
    request: { apiKey, apiVersion, apiName, encode: async () => ({ buf: payload, buffer: payload }) },
    response: { decode: async (response: Buffer) => decode(response), parse: async (answer: T) => answer },
    logResponseError: false,
  });
}
