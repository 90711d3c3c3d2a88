import { isUtf8 } from 'node:buffer';
import type { Broker, LogRecord } from '#connectors/connector';
import { UnknownTopicError } from '#connectors/errors';
import { recordsOfTopic } from '#connectors/records/topic_records';
import type { JsonValue } from '#kernel/json';
import { type Clock, DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import type { Message, TopicStatus } from '#serving/console/answers';
import { lagOf } from '../../parts/partition_lag.ts';

/** A topic of the platform, with the group whose progress says how far it was read. */
export interface KnownTopic {
  readonly topic: string;
  readonly what: string;
  readonly group: string | undefined;
}

/** How far back messages are looked for: a little first, as most topics have traffic. */
const BACK_MS = [MINUTE_MS, HOUR_MS, DAY_MS, 30 * DAY_MS];
/** Records that are read for the newest at most. */
const MOST_READ = 20_000;
const SHOWN_BYTES = 16_384;
/** A partition is slow when it is behind by so many records, and by so many times more than the others on average. */
const SLOW_RECORDS = 100;
const SLOW_TIMES = 3;

/** The topics of the platform with their partitions, and what lies in them. */
export class Topics {
  readonly #broker: Broker;
  readonly #topics: readonly KnownTopic[];
  readonly #clock: Clock;

  constructor(broker: Broker, topics: readonly KnownTopic[], clock: Clock) {
    this.#broker = broker;
    this.#topics = topics;
    this.#clock = clock;
  }

  list(): Promise<readonly TopicStatus[]> {
    return Promise.all(this.#topics.map((known) => this.#status(known)));
  }

  /** Returns the newest messages of a topic, or of one of its partitions, the newest first. @throws {@link UnknownTopicError} */
  async newest(topic: string, partition: string | undefined, limit: number): Promise<readonly Message[]> {
    if (!this.#topics.some((known) => known.topic === topic)) throw new UnknownTopicError(this.#broker.kind, topic);
    let newest: readonly LogRecord[] = [];
    for (const backMs of BACK_MS) {
      newest = await this.#read(topic, partition, this.#clock.now() - backMs, limit);
      if (newest.length >= limit) break;
    }
    return newest.map(messageOf);
  }

  async #read(
    topic: string,
    partition: string | undefined,
    sinceMs: number,
    limit: number,
  ): Promise<readonly LogRecord[]> {
    const broker: Pick<Broker, 'listPartitions' | 'openPartition'> = {
      listPartitions: async () => (partition === undefined ? this.#broker.listPartitions(topic) : [partition]),
      openPartition: (...args) => this.#broker.openPartition(...args),
    };
    const ended = new AbortController();
    let read = 0;
    let newest: LogRecord[] = [];
    for await (const records of recordsOfTopic(
      broker,
      topic,
      () => ({ startAt: { timestampMs: sinceMs } }),
      ended.signal,
    )) {
      newest = [...newest, ...records].sort(newestFirst).slice(0, limit);
      read += records.length;
      if (read >= MOST_READ) ended.abort();
    }
    return newest;
  }

  async #status({ topic, what, group }: KnownTopic): Promise<TopicStatus> {
    const [lags, partitions] = await Promise.all([
      group === undefined ? [] : lagOf(this.#broker, group, topic),
      this.#broker.listPartitions(topic),
    ]);
    const lag = new Map(lags.map((each) => [each.partition, each.lag]));
    return {
      ...{ topic, what, reader: group },
      partitions: await Promise.all(
        [...partitions]
          .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
          .map(async (partition) => ({
            partition,
            end: await this.#endOf(topic, partition),
            lag: lag.get(partition),
            isSlow: isSlow(lag.get(partition) ?? 0, [...lag.values()]),
          })),
      ),
    };
  }

  async #endOf(topic: string, partition: string): Promise<string | undefined> {
    const reader = await this.#broker.openPartition(topic, partition, { startAt: 'latest' });
    const end = reader.endOffset?.();
    await reader.close();
    return end === undefined ? undefined : String(end);
  }
}

function isSlow(lag: number, all: readonly number[]): boolean {
  const others = all.length < 2 ? 0 : (all.reduce((sum, each) => sum + each, 0) - lag) / (all.length - 1);
  return lag >= SLOW_RECORDS && lag > SLOW_TIMES * others;
}

const newestFirst = (a: LogRecord, b: LogRecord): number =>
  b.timestampMs - a.timestampMs || (a.offset < b.offset ? 1 : a.offset > b.offset ? -1 : 0);

/** How many records a topic has taken in since a time that a group has not read yet. */
export async function unreadSince(broker: Broker, group: string, topic: string, sinceMs: number): Promise<number> {
  let all = 0;
  for (const { partition, lag } of await lagOf(broker, group, topic)) {
    if (lag === 0) continue;
    const reader = await broker.openPartition(topic, partition, { startAt: { timestampMs: sinceMs } });
    all += Math.min(lag, Number(reader.lagRecords()));
    await reader.close();
  }
  return all;
}

function messageOf({ partition, offset, timestampMs, key, headers, value }: LogRecord): Message {
  return {
    ...{ partition, offset: String(offset), at: new Date(timestampMs).toISOString(), key, headers },
    ...{ value: decoded(value), sizeBytes: value.length },
  };
}

/** JSON as it is, other UTF-8 as a string; the beginning of what is large. */
function decoded(value: Buffer): JsonValue | undefined {
  if (value.length === 0 || !isUtf8(value)) return undefined;
  const text = value.toString('utf8');
  if (value.length > SHOWN_BYTES) return `${text.slice(0, SHOWN_BYTES)}…`;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}
