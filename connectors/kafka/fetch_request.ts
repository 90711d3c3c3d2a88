import { type BrokerConnection, createErrorFromCode, sendRaw } from './kafkajs_cluster.ts';
import type { AbortedTransaction } from './record_reader.ts';

export interface FetchRequest {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly maxWaitMs: number;
  readonly maxBytes: number;
}

export interface FetchAnswer {
  /** Record batches, one after another; the last may be cut off. */
  readonly records: Buffer;
  /** Offset that the next record gets. */
  readonly endOffset: bigint;
  readonly aborted: readonly AbortedTransaction[];
}

const FETCH = { apiKey: 1, apiVersion: 4, apiName: 'Fetch' };
const NO_REPLICA = -1;
const READ_COMMITTED = 1;
const EMPTY = Buffer.alloc(0);

/** @throws the protocol's error for the partition */
export function fetchPartition(broker: BrokerConnection, request: FetchRequest): Promise<FetchAnswer> {
  return sendRaw(broker, { ...FETCH, payload: encodeRequest(request), decode: decodeAnswer });
}

/** Fetch request, version 4: replica, wait, bytes, isolation, then topics with their partitions. */
function encodeRequest({ topic, partition, offset, maxWaitMs, maxBytes }: FetchRequest): Buffer {
  const name = Buffer.from(topic, 'utf8');
  const out = Buffer.allocUnsafe(17 + 4 + 2 + name.length + 4 + 16);
  let at = out.writeInt32BE(NO_REPLICA, 0);
  at = out.writeInt32BE(maxWaitMs, at);
  at = out.writeInt32BE(1, at);
  at = out.writeInt32BE(maxBytes, at);
  at = out.writeInt8(READ_COMMITTED, at);
  at = out.writeInt32BE(1, at);
  at = out.writeInt16BE(name.length, at);
  at += name.copy(out, at);
  at = out.writeInt32BE(1, at);
  at = out.writeInt32BE(partition, at);
  at = out.writeBigInt64BE(offset, at);
  out.writeInt32BE(maxBytes, at);
  return out;
}

/** Fetch response, version 4, of one partition. */
function decodeAnswer(bytes: Buffer): FetchAnswer {
  // Throttle time, then topics.
  let at = 4;
  if (bytes.readInt32BE(at) === 0) return { records: EMPTY, endOffset: 0n, aborted: [] };
  at += 4;
  at += 2 + bytes.readInt16BE(at);
  // One partition, its number.
  at += 8;
  const errorCode = bytes.readInt16BE(at);
  if (errorCode !== 0) throw createErrorFromCode(errorCode);
  const endOffset = bytes.readBigInt64BE(at + 2);
  at += 2 + 8 + 8;
  const aborted: AbortedTransaction[] = [];
  const abortedCount = bytes.readInt32BE(at);
  at += 4;
  for (let index = 0; index < abortedCount; index += 1) {
    aborted.push({ producerId: bytes.readBigInt64BE(at), firstOffset: bytes.readBigInt64BE(at + 8) });
    at += 16;
  }
  const length = bytes.readInt32BE(at);
  at += 4;
  return { records: length <= 0 ? EMPTY : bytes.subarray(at, at + length), endOffset, aborted };
}
