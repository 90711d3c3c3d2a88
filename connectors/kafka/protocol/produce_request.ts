import { type BrokerConnection, sendRaw } from '../kafkajs_cluster.ts';

export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  /** A record batch. */
  readonly bytes: Buffer;
}

/** The broker has this batch already. */
export const DUPLICATE_SEQUENCE = 46;

const PRODUCE = { apiKey: 0, apiVersion: 7, apiName: 'Produce' };
const ALL_REPLICAS = -1;
const NO_TRANSACTION = -1;

/** @returns error codes by `topic/partition`; 0 is success */
export async function produce(
  broker: BrokerConnection,
  batches: readonly PartitionBatch[],
  timeoutMs: number,
): Promise<ReadonlyMap<string, number>> {
  const payload = encodeRequest(batches, timeoutMs);
  return sendRaw(broker, { ...PRODUCE, payload, decode: decodeAnswer });
}

/** Produce request, version 7: transactional id, acks, timeout, then topics with their partitions' records. */
function encodeRequest(batches: readonly PartitionBatch[], timeoutMs: number): Buffer {
  const byTopic = new Map<string, PartitionBatch[]>();
  for (const batch of batches) {
    const own = byTopic.get(batch.topic);
    if (own === undefined) byTopic.set(batch.topic, [batch]);
    else own.push(batch);
  }
  const parts: Buffer[] = [];
  const head = Buffer.allocUnsafe(12);
  head.writeInt16BE(NO_TRANSACTION, 0);
  head.writeInt16BE(ALL_REPLICAS, 2);
  head.writeInt32BE(timeoutMs, 4);
  head.writeInt32BE(byTopic.size, 8);
  parts.push(head);
  for (const [topic, own] of byTopic) {
    const name = Buffer.from(topic, 'utf8');
    const before = Buffer.allocUnsafe(2);
    before.writeInt16BE(name.length);
    const count = Buffer.allocUnsafe(4);
    count.writeInt32BE(own.length);
    parts.push(before, name, count);
    for (const { partition, bytes } of own) {
      const header = Buffer.allocUnsafe(8);
      header.writeInt32BE(partition, 0);
      header.writeInt32BE(bytes.length, 4);
      parts.push(header, bytes);
    }
  }
  return Buffer.concat(parts);
}

/** Produce response, version 7: per partition error code, base offset, append time, log start offset. */
function decodeAnswer(bytes: Buffer): ReadonlyMap<string, number> {
  const codes = new Map<string, number>();
  let at = 4;
  for (let topics = bytes.readInt32BE(0); topics > 0; topics -= 1) {
    const nameBytes = bytes.readInt16BE(at);
    const topic = bytes.toString('utf8', at + 2, at + 2 + nameBytes);
    at += 2 + nameBytes;
    let partitions = bytes.readInt32BE(at);
    at += 4;
    for (; partitions > 0; partitions -= 1) {
      codes.set(`${topic}/${bytes.readInt32BE(at)}`, bytes.readInt16BE(at + 4));
      at += 4 + 2 + 8 + 8 + 8;
    }
  }
  return codes;
}
