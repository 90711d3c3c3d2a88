import { type BrokerConnection, sendRaw, supports } from '../kafkajs_cluster.ts';
import { WireReader, WireWriter } from './wire.ts';

export interface TopicMetadata {
  readonly name: string;
  /** Hexadecimal; undefined before Kafka 2.8. A topic that is deleted and created again has another one. */
  readonly id: string | undefined;
  /** 0, or why the rest is missing. */
  readonly errorCode: number;
  /** Node id of the leader by partition; undefined while there is none. */
  readonly leaders: ReadonlyMap<number, string | undefined>;
}

const API_KEY = 3;
/** The first with topic ids; its encoding is flexible. */
const WITH_IDS = 10;
const WITHOUT_IDS = 5;
const NO_ID = '0'.repeat(32);

/** Describes topics; each carries its own error, so that one missing topic does not hide the others. */
export function fetchMetadata(
  broker: BrokerConnection,
  topics: readonly string[],
): Promise<ReadonlyMap<string, TopicMetadata>> {
  const isFlexible = supports(broker, API_KEY, WITH_IDS);
  return sendRaw(broker, {
    apiKey: API_KEY,
    apiVersion: isFlexible ? WITH_IDS : WITHOUT_IDS,
    apiName: 'Metadata',
    isFlexible,
    payload: isFlexible ? encodeFlexible(topics) : encodeOld(topics),
    decode: (bytes) => byName(isFlexible ? decodeFlexible(bytes) : decodeOld(bytes)),
  });
}

const byName = (topics: readonly TopicMetadata[]): ReadonlyMap<string, TopicMetadata> =>
  new Map(topics.map((topic) => [topic.name, topic]));

function encodeFlexible(topics: readonly string[]): Buffer {
  const out = new WireWriter();
  out.compactArray(topics, (name) => out.int64(0n).int64(0n).compactString(name).tags());
  // No automatic creation, no authorized operations.
  return out.int8(0).int8(0).int8(0).tags().finish();
}

function decodeFlexible(bytes: Buffer): TopicMetadata[] {
  const answer = new WireReader(bytes);
  answer.int32();
  answer.compactArray(() => {
    answer.int32();
    answer.compactString();
    answer.int32();
    answer.compactString();
    answer.tags();
  });
  answer.compactString();
  answer.int32();
  return answer.compactArray(() => {
    const errorCode = answer.int16();
    const name = answer.compactString();
    const id = answer.bytes(16).toString('hex');
    answer.int8();
    const partitions = answer.compactArray(() => {
      const partitionError = answer.int16();
      const partition = answer.int32();
      const leader = answer.int32();
      answer.int32();
      for (let lists = 0; lists < 3; lists += 1) answer.compactArray(() => answer.int32());
      answer.tags();
      return [partition, leaderOf(partitionError, leader)] as const;
    });
    answer.int32();
    answer.tags();
    return { name, id: id === NO_ID ? undefined : id, errorCode, leaders: new Map(partitions) };
  });
}

function encodeOld(topics: readonly string[]): Buffer {
  const out = new WireWriter();
  return out
    .array(topics, (name) => out.string(name))
    .int8(0)
    .finish();
}

function decodeOld(bytes: Buffer): TopicMetadata[] {
  const answer = new WireReader(bytes);
  answer.int32();
  answer.array(() => {
    answer.int32();
    answer.string();
    answer.int32();
    answer.string();
  });
  answer.string();
  answer.int32();
  return answer.array(() => {
    const errorCode = answer.int16();
    const name = answer.string();
    answer.int8();
    const partitions = answer.array(() => {
      const partitionError = answer.int16();
      const partition = answer.int32();
      const leader = answer.int32();
      for (let lists = 0; lists < 3; lists += 1) answer.array(() => answer.int32());
      return [partition, leaderOf(partitionError, leader)] as const;
    });
    return { name, id: undefined, errorCode, leaders: new Map(partitions) };
  });
}

/** A replica that is away does not matter: only whether there is a leader. */
const leaderOf = (_errorCode: number, leader: number): string | undefined => (leader < 0 ? undefined : String(leader));
