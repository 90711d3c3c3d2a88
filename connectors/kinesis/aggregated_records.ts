import { createHash } from 'node:crypto';
import protobuf from 'protobufjs';

/** One user's record: put by itself, or packed with others by the Kinesis Producer Library. */
export interface UserRecord {
  readonly partitionKey: string;
  readonly data: Buffer;
}

const MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const DIGEST_BYTES = 16;

// The KPL's aggregation format: magic, a protobuf message, its MD5.
// Source: amazon-kinesis-producer, aggregation-format.md.
const { root } = protobuf.parse(`
  syntax = "proto2";
  message Tag { required string key = 1; optional string value = 2; }
  message Record {
    required uint64 partition_key_index = 1;
    optional uint64 explicit_hash_key_index = 2;
    required bytes data = 3;
    repeated Tag tags = 4;
  }
  message AggregatedRecord {
    repeated string partition_key_table = 1;
    repeated string explicit_hash_key_table = 2;
    repeated Record records = 3;
  }
`);
const AggregatedRecord = root.lookupType('AggregatedRecord');

interface Aggregated {
  readonly partitionKeyTable: readonly string[];
  readonly records: readonly {
    readonly partitionKeyIndex: number | { toNumber(): number };
    readonly data: Uint8Array;
  }[];
}

/** The users' records in one Kinesis record: itself, unless it is an intact aggregate. */
export function deaggregate(partitionKey: string, data: Buffer): readonly UserRecord[] {
  const whole = [{ partitionKey, data }];
  if (data.length < MAGIC.length + DIGEST_BYTES || data.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) {
    return whole;
  }
  const message = data.subarray(MAGIC.length, data.length - DIGEST_BYTES);
  const digest = createHash('md5').update(message).digest();
  if (!digest.equals(data.subarray(data.length - DIGEST_BYTES))) return whole;
  const { partitionKeyTable, records } = AggregatedRecord.decode(message) as unknown as Aggregated;
  return records.map(({ partitionKeyIndex, data: bytes }) => ({
    partitionKey: partitionKeyTable[Number(partitionKeyIndex)] as string,
    data: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  }));
}

/** Packs records as the KPL does; for tests and tools. */
export function aggregate(records: readonly UserRecord[]): Buffer {
  const keys = [...new Set(records.map(({ partitionKey }) => partitionKey))];
  const message = Buffer.from(
    AggregatedRecord.encode({
      partitionKeyTable: keys,
      records: records.map(({ partitionKey, data }) => ({ partitionKeyIndex: keys.indexOf(partitionKey), data })),
    }).finish(),
  );
  return Buffer.concat([MAGIC, message, createHash('md5').update(message).digest()]);
}
