import { createRequire } from 'node:module';
import type { Kafka } from 'kafkajs';
import { kafkaErrorOf } from './errors.ts';

/**
 * What the connector takes from inside kafkajs 2.2.4, which is pinned: connections, metadata and codecs. Its own consumer and producer
 * are not used; docs/adr/0006 and 0008 say why. This file is the only one that reaches in there.
 */
const require = createRequire(import.meta.url);

const { KafkaJSProtocolError } = require('kafkajs/src/errors') as {
  KafkaJSProtocolError: new (details: object) => Error & { readonly type: string; readonly retriable: boolean };
};

/** The error of the protocol with a code, by the table of all codes: kafkajs' own ends at Kafka 2.6. */
export function createErrorFromCode(code: number): Error & { readonly type: string; readonly retriable: boolean } {
  const { name, kind, message } = kafkaErrorOf(code);
  const retriable = kind === 'retryable' || kind === 'topic' || kind === 'unavailable';
  return new KafkaJSProtocolError({ type: name, code, retriable, message });
}

const CREATE_CLUSTER = 'private:Kafka:createCluster';
const NO_TAGS = Buffer.from([0]);
const SEND_REQUEST = 'private:Broker:sendRequest';

/** One broker's connection. */
export interface BrokerConnection {
  /** Versions of the protocol's requests that it takes, by API key. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null;
  initProducerId(request: { transactionalId: undefined; transactionTimeout: number }): Promise<{
    readonly producerId: string;
    readonly producerEpoch: number;
  }>;
}

/** The broker that keeps a group's offsets. */
export interface GroupCoordinator {
  offsetCommit(request: object): Promise<unknown>;
  /** Answers offset -1 for a partition that has none. */
  offsetFetch(request: object): Promise<{
    readonly responses: readonly {
      readonly partitions: readonly {
        readonly partition: number;
        readonly offset: string;
        readonly metadata: string | null;
      }[];
    }[];
  }>;
}

export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  findGroupCoordinator(group: { groupId: string }): Promise<GroupCoordinator>;
  findControllerBroker(): Promise<BrokerConnection>;
  findBroker(node: { nodeId: string }): Promise<BrokerConnection>;
  readonly brokerPool: { findConnectedBroker(): Promise<BrokerConnection> };
}

/** Connects to a node; one that is not known yet is looked up. */
export async function connectNode(cluster: Cluster, nodeId: string): Promise<BrokerConnection> {
  try {
    return await cluster.findBroker({ nodeId });
  } catch (error) {
    // kafkajs has looked it up meanwhile.
    if ((error as Error).name === 'KafkaJSBrokerNotFound') return cluster.findBroker({ nodeId });
    throw error;
  }
}

/** Whether a broker takes a version of a request. */
export function supports({ versions }: BrokerConnection, apiKey: number, version: number): boolean {
  const known = versions?.[apiKey];
  return known !== undefined && known.minVersion <= version && version <= known.maxVersion;
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
  /** A flexible version (KIP-482): headers end with tagged fields. */
  readonly isFlexible?: boolean;
  readonly payload: Buffer;
  readonly decode: (response: Buffer) => T;
}

/** Sends a request that was encoded here, over a connection of kafkajs. */
export function sendRaw<T>(broker: BrokerConnection, request: RawRequest<T>): Promise<T> {
  const { apiKey, apiVersion, apiName, isFlexible = false, decode } = request;
  // kafkajs knows neither end of the newer headers: no tagged fields are one zero byte, before either body.
  const payload = isFlexible ? Buffer.concat([NO_TAGS, request.payload]) : request.payload;
  const decodeBody = (response: Buffer): T => decode(isFlexible ? response.subarray(1) : response);
  const own = Object.getPrototypeOf(broker) as object;
  const symbol = Object.getOwnPropertySymbols(own).find(({ description }) => description === SEND_REQUEST);
  if (symbol === undefined) throw new Error('this kafkajs is not version 2.2.4: it cannot send a request');
  const send = (broker as unknown as Record<symbol, (call: object) => Promise<T>>)[symbol] as (
    call: object,
  ) => Promise<T>;
  return send.call(broker, {
    // As much of kafkajs' Encoder as it looks at.
    request: { apiKey, apiVersion, apiName, encode: async () => ({ buf: payload, buffer: payload }) },
    response: { decode: async (response: Buffer) => decodeBody(response), parse: async (answer: T) => answer },
    logResponseError: false,
  });
}
