import { type BrokerConnection, sendRaw } from '../kafkajs_cluster.ts';
import { WireReader, WireWriter } from './wire.ts';

/** `latest` is the last stable offset: where a reader of committed records ends. */
export const EARLIEST = -2n;
export const LATEST = -1n;

export interface ListedOffset {
  readonly errorCode: number;
  /** -1 when no record is that new. */
  readonly offset: bigint;
}

const LIST_OFFSETS = { apiKey: 2, apiVersion: 2, apiName: 'ListOffsets' };
const NO_REPLICA = -1;
const READ_COMMITTED = 1;

/** @param timestamp - ms, {@link EARLIEST} or {@link LATEST}. @returns the first offset at or after it, by partition */
export function listOffsets(
  broker: BrokerConnection,
  topic: string,
  partitions: readonly number[],
  timestamp: bigint,
): Promise<ReadonlyMap<number, ListedOffset>> {
  const out = new WireWriter().int32(NO_REPLICA).int8(READ_COMMITTED).int32(1).string(topic);
  out.array(partitions, (partition) => out.int32(partition).int64(timestamp));
  return sendRaw(broker, { ...LIST_OFFSETS, payload: out.finish(), decode });
}

function decode(bytes: Buffer): ReadonlyMap<number, ListedOffset> {
  const answer = new WireReader(bytes);
  answer.int32();
  const offsets = new Map<number, ListedOffset>();
  answer.array(() => {
    answer.string();
    answer.array(() => {
      const partition = answer.int32();
      const errorCode = answer.int16();
      answer.int64();
      offsets.set(partition, { errorCode, offset: answer.int64() });
    });
  });
  return offsets;
}
