import { setTimeout as sleep } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';
import {
  type Broker,
  headersOf,
  keyBytesOf,
  type LogRecord,
  type OutgoingRecord,
  type ReadFrom,
  type SourcePartition,
} from '#connectors/connector';
import { PlatformError } from '#kernel/errors';
import type { BackupStore } from './backup_store.ts';
import { BackupDamagedError, RestoreRefusedError } from './errors.ts';
import type { Manifest } from './manifest.ts';

const POLL_RECORDS = 10_000;
const POLL_MS = 200;
const LEADER_TRIES = 100;
const OBJECT_RECORDS = 20_000;
const SEND_RECORDS = 2_000;
const OFFSET_DIGITS = 20;

interface StoredRecord extends Pick<OutgoingRecord, 'keyBytes' | 'value' | 'headerList' | 'timestampMs'> {
  readonly offset: bigint;
}

/** Records of one partition, in order. Two processes that store a topic at the same time may both have written some of them. */
interface StoredRecords {
  /** The broker's: reading resumes after it. */
  readonly position: string;
  /** The last offset that was stored before these; -1 where there was none. */
  readonly after: bigint;
  readonly records: readonly StoredRecord[];
}

interface Range {
  readonly path: string;
  readonly from: bigint;
  readonly to: bigint;
}

const numbered = (offset: bigint): string => String(offset).padStart(OFFSET_DIGITS, '0');

/** Returns the ranges of a partition that are stored, in order. */
async function rangesOf(store: BackupStore, topic: string, partition: string): Promise<readonly Range[]> {
  const folder = `topics/${topic}/${partition}`;
  return (await store.list(folder)).map((name) => {
    const [from = '', to = ''] = name.split('-');
    return { path: `${folder}/${name}`, from: BigInt(from), to: BigInt(to) };
  });
}

/** Ranges are sorted by where they begin. */
const newestOf = (ranges: readonly Range[]): Range | undefined =>
  ranges.reduce<Range | undefined>(
    (newest, range) => (newest === undefined || range.to > newest.to ? range : newest),
    undefined,
  );

/** Returns the first offset of each partition that is stored, and the one after the last. */
export async function storedOffsets(store: BackupStore, topic: string): Promise<Manifest['topics'][string]> {
  const partitions = new Set((await store.list(`topics/${topic}`)).map((path) => path.split('/')[0] as string));
  const offsets: Record<string, { first: string; end: string }> = {};
  for (const partition of partitions) {
    const ranges = await rangesOf(store, topic, partition);
    const [first, last] = [ranges[0], newestOf(ranges)];
    if (first !== undefined && last !== undefined)
      offsets[partition] = { first: String(first.from), end: String(last.to + 1n) };
  }
  return offsets;
}

/**
 * Compares what is stored of topics with the offsets of a manifest.
 *
 * @throws {@link BackupDamagedError} when the newest records of a partition are missing
 */
export async function checkStored(store: BackupStore, topics: Manifest['topics']): Promise<void> {
  for (const [topic, partitions] of Object.entries(topics)) {
    const stored = await storedOffsets(store, topic);
    for (const [partition, { end }] of Object.entries(partitions)) {
      if (BigInt(stored[partition]?.end ?? 0) < BigInt(end))
        throw new BackupDamagedError(`topics/${topic}/${partition}`);
    }
  }
}

/** A partition of a topic, and how far it is stored. */
class PartitionCopy {
  readonly #store: BackupStore;
  readonly #folder: string;
  readonly #topic: string;
  readonly #reader: SourcePartition;
  /** The last offset that was stored before. */
  #newest: bigint;
  #isResumed = false;

  private constructor(
    store: BackupStore,
    of: {
      readonly topic: string;
      readonly partition: string;
      readonly reader: SourcePartition;
      readonly newest: bigint;
    },
  ) {
    this.#store = store;
    this.#folder = `topics/${of.topic}/${of.partition}`;
    this.#topic = of.topic;
    this.#reader = of.reader;
    this.#newest = of.newest;
  }

  static async open(store: BackupStore, broker: Broker, topic: string, partition: string): Promise<PartitionCopy> {
    const last = newestOf(await rangesOf(store, topic, partition));
    const from: ReadFrom =
      last === undefined
        ? { startAt: 'earliest' }
        : { resumeAfter: (deserialize(await store.get(last.path)) as StoredRecords).position };
    const reader = await broker.openPartition(topic, partition, from);
    return new PartitionCopy(store, { topic, partition, reader, newest: last?.to ?? -1n });
  }

  /**
   * Stores the records that have come since, up to the end as it is now.
   *
   * @returns how many
   * @throws {@link RestoreRefusedError} when the topic was created again since: its offsets mean other records
   */
  async storeNew(waitMs: number): Promise<number> {
    let held: LogRecord[] = [];
    let stored = 0;
    const flush = async (): Promise<void> => {
      await this.#put(held);
      stored += held.length;
      held = [];
    };
    for (;;) {
      const signal = AbortSignal.timeout(POLL_MS * 50);
      const records = await this.#reader.poll({ maxRecords: POLL_RECORDS, maxWaitMs: waitMs, signal });
      const first = records[0];
      if (first !== undefined && !this.#isResumed) {
        this.#isResumed = true;
        if (first.offset <= this.#newest) {
          throw new RestoreRefusedError(
            `topic ${this.#topic} was created again since its last backup: use another backup.directory for the new one`,
          );
        }
      }
      held.push(...records);
      if (held.length >= OBJECT_RECORDS) await flush();
      if (records.length === 0 || this.#reader.lagRecords() <= 0n) break;
    }
    await flush();
    return stored;
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  async #put(held: readonly LogRecord[]): Promise<void> {
    const [first, newest] = [held[0], held.at(-1)];
    if (first === undefined || newest === undefined) return;
    const records = held.map(
      (record): StoredRecord => ({
        offset: record.offset,
        keyBytes: keyBytesOf(record),
        value: record.isTombstone === true ? null : record.value,
        headerList: headersOf(record),
        timestampMs: record.timestampMs,
      }),
    );
    const path = `${this.#folder}/${numbered(first.offset)}-${numbered(newest.offset)}`;
    await this.#store.put(
      path,
      serialize({ position: this.#reader.position(), after: this.#newest, records } satisfies StoredRecords),
    );
    this.#newest = newest.offset;
  }
}

/** The partitions of topics, each with a reader of its own that stays open. */
export class TopicCopies implements AsyncDisposable {
  readonly #store: BackupStore;
  readonly #broker: Broker;
  readonly #topics: readonly string[];
  readonly #waitMs: number;
  readonly #copies = new Map<string, PartitionCopy>();

  /** @param waitMs - how long a partition without new records is waited for */
  constructor(store: BackupStore, broker: Broker, topics: readonly string[], waitMs = POLL_MS) {
    this.#store = store;
    this.#broker = broker;
    this.#topics = topics;
    this.#waitMs = waitMs;
  }

  /**
   * Stores the records that are not stored yet, up to the ends as they are now.
   *
   * @returns how many
   * @throws {@link RestoreRefusedError} when a topic was created again since: its offsets mean other records
   */
  async storeNew(): Promise<number> {
    for (const topic of this.#topics) {
      for (const partition of await this.#broker.listPartitions(topic, 'earliest')) {
        const id = `${topic}/${partition}`;
        if (this.#copies.has(id)) continue;
        this.#copies.set(id, await PartitionCopy.open(this.#store, this.#broker, topic, partition));
      }
    }
    const counts = await Promise.all([...this.#copies.values()].map((copy) => copy.storeNew(this.#waitMs)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#copies.values()].map((copy) => copy.close()));
    this.#copies.clear();
  }
}

/**
 * Yields the stored records of a partition, an object at a time, each record once.
 *
 * @throws {@link BackupDamagedError} when an object is damaged or missing
 */
export async function* storedRecords(
  store: BackupStore,
  topic: string,
  partition: string,
): AsyncGenerator<{ readonly records: readonly StoredRecord[]; readonly position: string; readonly bytes: number }> {
  let newest = -1n;
  for (const { path, to } of await rangesOf(store, topic, partition)) {
    const bytes = await store.get(path);
    const { records, position, after } = deserialize(bytes) as StoredRecords;
    if (after > newest) throw new BackupDamagedError(path);
    const yielded = newest;
    if (to <= yielded) continue;
    newest = to;
    yield { records: records.filter(({ offset }) => offset > yielded), position, bytes: bytes.length };
  }
}

export interface RestoredTopic {
  readonly records: number;
  /** Partitions whose offsets are not those of before: positions in them mean other records. */
  readonly moved: readonly string[];
  /** The topic's id before and now, where the broker has such ids. */
  readonly ids: readonly [before: string, now: string] | undefined;
}

/**
 * Sends the stored records of a topic to a broker that has none of them.
 *
 * @throws {@link RestoreRefusedError} when the topic has records
 */
export async function restoreTopic(store: BackupStore, broker: Broker, topic: string): Promise<RestoredTopic> {
  const offsets = await storedOffsets(store, topic);
  const partitions = Object.keys(offsets);
  for (const partition of await broker.listPartitions(topic, 'earliest')) {
    if ((await endOf(broker, topic, partition)).offset > 0n) {
      throw new RestoreRefusedError(
        `topic ${topic} has records in partition ${partition}: restore into a topic without any`,
      );
    }
  }
  let records = 0;
  let before: string | undefined;
  for (const partition of partitions) {
    for await (const { records: stored, position } of storedRecords(store, topic, partition)) {
      before = idIn(position);
      for (let at = 0; at < stored.length; at += SEND_RECORDS) {
        await broker.producer.send(topic, stored.slice(at, at + SEND_RECORDS));
      }
      records += stored.length;
    }
  }
  const moved: string[] = [];
  let now: string | undefined;
  for (const partition of partitions) {
    const { first, end } = offsets[partition] as { first: string; end: string };
    const found = await endOf(broker, topic, partition);
    now = found.id;
    if (first !== '0' || String(found.offset) !== end) moved.push(partition);
  }
  return { records, moved, ids: before === undefined || now === undefined ? undefined : [before, now] };
}

/** The topic's id in a position of Kafka. */
const idIn = (position: string): string | undefined => position.split('@')[1];

/** Reads the end of a partition. A topic that was created a moment ago has no leader yet: such an error is waited out. */
async function endOf(
  broker: Broker,
  topic: string,
  partition: string,
): Promise<{ readonly offset: bigint; readonly id: string | undefined }> {
  for (let tries = 1; ; tries += 1) {
    try {
      const reader = await broker.openPartition(topic, partition, { startAt: 'latest' });
      try {
        await reader.poll({ maxRecords: 1, maxWaitMs: POLL_MS, signal: AbortSignal.timeout(POLL_MS * 50) });
        return { offset: reader.endOffset?.() ?? 0n, id: idIn(reader.position()) };
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (tries === LEADER_TRIES || !(error instanceof PlatformError && error.retryable)) throw error;
      await sleep(POLL_MS);
    }
  }
}

/** Stores new records of topics again and again, until the signal. */
export async function followTopics(
  copies: TopicCopies,
  {
    everyMs,
    signal,
    onRound,
  }: { readonly everyMs: number; readonly signal: AbortSignal; readonly onRound: (records: number) => void },
): Promise<void> {
  while (!signal.aborted) {
    onRound(await copies.storeNew());
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}
