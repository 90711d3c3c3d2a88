import { type BrokerConnection, createErrorFromCode, sendRaw, supports } from '../kafkajs_cluster.ts';
import type { AbortedTransaction } from './record_reader.ts';
import { WireReader, WireWriter } from './wire.ts';

export interface FetchedPartitionRequest {
  readonly topic: string;
  /** Hexadecimal; the broker refuses it when the topic was created again. */
  readonly topicId: string | undefined;
  readonly partition: number;
  readonly offset: bigint;
}

export interface FetchRequest {
  readonly partitions: readonly FetchedPartitionRequest[];
  readonly maxWaitMs: number;
  /** Of the whole answer. */
  readonly maxBytes: number;
}

export interface FetchAnswer {
  readonly errorCode: number;
  /** Record batches, one after another; the last may be cut off. */
  readonly records: Buffer;
  /** Where a reader of committed records ends: an open transaction's first record, or the offset that the next record gets. */
  readonly endOffset: bigint;
  readonly aborted: readonly AbortedTransaction[];
}

const API_KEY = 1;
/** The first by topic id. */
const BY_ID = 13;
const BY_NAME = 4;
const NO_REPLICA = -1;
const READ_COMMITTED = 1;
const NO_SESSION = -1;
const UNKNOWN = -1;
const EMPTY = Buffer.alloc(0);

/** Name by which answers are found: topic ids or names, as the version has them. */
const keyOf = (topic: string, partition: number): string => `${topic}/${partition}`;

/**
 * Fetches partitions that one broker leads, in one request.
 *
 * @returns in the order of the request; undefined for a partition that the broker left out
 * @throws the protocol's error for the request
 */
export async function fetchPartitions(
  broker: BrokerConnection,
  request: FetchRequest,
): Promise<readonly (FetchAnswer | undefined)[]> {
  const byId = supports(broker, API_KEY, BY_ID) && request.partitions.every(({ topicId }) => topicId !== undefined);
  const answers = await sendRaw(broker, {
    apiKey: API_KEY,
    apiVersion: byId ? BY_ID : BY_NAME,
    apiName: 'Fetch',
    isFlexible: byId,
    payload: byId ? encodeById(request) : encodeByName(request),
    decode: byId ? decodeById : decodeByName,
  });
  return request.partitions.map(({ topic, topicId, partition }) =>
    answers.get(keyOf(byId ? (topicId as string) : topic, partition)),
  );
}

function byTopic(
  partitions: readonly FetchedPartitionRequest[],
  nameOf: (partition: FetchedPartitionRequest) => string,
): [string, FetchedPartitionRequest[]][] {
  const topics = new Map<string, FetchedPartitionRequest[]>();
  for (const partition of partitions) {
    const own = topics.get(nameOf(partition));
    if (own === undefined) topics.set(nameOf(partition), [partition]);
    else own.push(partition);
  }
  return [...topics];
}

function encodeById({ partitions, maxWaitMs, maxBytes }: FetchRequest): Buffer {
  const out = new WireWriter();
  out.int32(NO_REPLICA).int32(maxWaitMs).int32(1).int32(maxBytes).int8(READ_COMMITTED).int32(0).int32(NO_SESSION);
  out.compactArray(
    byTopic(partitions, ({ topicId }) => topicId as string),
    ([id, own]) => {
      out.bytes(Buffer.from(id, 'hex'));
      out.compactArray(own, ({ partition, offset }) =>
        out.int32(partition).int32(UNKNOWN).int64(offset).int32(UNKNOWN).int64(-1n).int32(maxBytes).tags(),
      );
      out.tags();
    },
  );
  // Nothing forgotten, no rack.
  return out.uvarint(1).uvarint(1).tags().finish();
}

function decodeById(bytes: Buffer): ReadonlyMap<string, FetchAnswer> {
  const answer = new WireReader(bytes);
  answer.int32();
  const errorCode = answer.int16();
  if (errorCode !== 0) throw createErrorFromCode(errorCode);
  answer.int32();
  const answers = new Map<string, FetchAnswer>();
  answer.compactArray(() => {
    const id = answer.bytes(16).toString('hex');
    answer.compactArray(() => {
      const partition = answer.int32();
      const partitionError = answer.int16();
      answer.int64();
      const endOffset = answer.int64();
      answer.int64();
      const aborted = answer.compactArray(() => {
        const transaction = { producerId: answer.int64(), firstOffset: answer.int64() };
        answer.tags();
        return transaction;
      });
      answer.int32();
      const length = answer.uvarint() - 1;
      const records = length <= 0 ? EMPTY : answer.bytes(length);
      answer.tags();
      answers.set(keyOf(id, partition), { errorCode: partitionError, records, endOffset, aborted });
    });
    answer.tags();
  });
  return answers;
}

function encodeByName({ partitions, maxWaitMs, maxBytes }: FetchRequest): Buffer {
  const out = new WireWriter();
  out.int32(NO_REPLICA).int32(maxWaitMs).int32(1).int32(maxBytes).int8(READ_COMMITTED);
  out.array(
    byTopic(partitions, ({ topic }) => topic),
    ([topic, own]) => {
      out.string(topic);
      out.array(own, ({ partition, offset }) => out.int32(partition).int64(offset).int32(maxBytes));
    },
  );
  return out.finish();
}

function decodeByName(bytes: Buffer): ReadonlyMap<string, FetchAnswer> {
  const answer = new WireReader(bytes);
  answer.int32();
  const answers = new Map<string, FetchAnswer>();
  answer.array(() => {
    const topic = answer.string();
    answer.array(() => {
      const partition = answer.int32();
      const errorCode = answer.int16();
      answer.int64();
      const endOffset = answer.int64();
      const aborted = answer.array(() => ({ producerId: answer.int64(), firstOffset: answer.int64() }));
      const length = answer.int32();
      const records = length <= 0 ? EMPTY : answer.bytes(length);
      answers.set(keyOf(topic, partition), { errorCode, records, endOffset, aborted });
    });
  });
  return answers;
}
