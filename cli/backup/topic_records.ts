import { setTimeout as sleep } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';
import { type Broker, headersOf, keyBytesOf, type LogRecord, type OutgoingRecord } from '#connectors/connector';
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

/** Records of one partition, in order, without a gap. */
interface StoredRecords {
  /** The broker's: reading resumes after it. */
  readonly position: string;
  readonly records: readonly Pick<OutgoingRecord, 'keyBytes' | 'value' | 'headerList' | 'timestampMs'>[];
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

/** Returns the first offset of each partition that is stored, and the one after the last. */
export async function storedOffsets(store: BackupStore, topic: string): Promise<Manifest['topics'][string]> {
  const partitions = new Set((await store.list(`topics/${topic}`)).map((path) => path.split('/')[0] as string));
  const offsets: Record<string, { first: string; end: string }> = {};
  for (const partition of partitions) {
    const ranges = await rangesOf(store, topic, partition);
    const [first, last] = [ranges[0], ranges.at(-1)];
    if (first !== undefined && last !== undefined)
      offsets[partition] = { first: String(first.from), end: String(last.to + 1n) };
  }
  return offsets;
}

/**
 * Stores the records of a topic that are not stored yet, up to its end as it is now.
 *
 * @returns how many
 * @throws {@link RestoreRefusedError} when the topic was created again since: its offsets mean other records
 */
export async function storeTopic(store: BackupStore, broker: Broker, topic: string): Promise<number> {
  let stored = 0;
  for (const partition of await broker.listPartitions(topic, 'earliest')) {
    const last = (await rangesOf(store, topic, partition)).at(-1);
    const resumeAfter =
      last === undefined ? undefined : (deserialize(await store.get(last.path)) as StoredRecords).position;
    const reader = await broker.openPartition(
      topic,
      partition,
      resumeAfter === undefined ? { startAt: 'earliest' } : { resumeAfter },
    );
    try {
      let held: LogRecord[] = [];
      const flush = async (): Promise<void> => {
        const [first, newest] = [held[0], held.at(-1)];
        if (first === undefined || newest === undefined) return;
        const records = held.map((record): StoredRecords['records'][number] => ({
          keyBytes: keyBytesOf(record),
          value: record.isTombstone === true ? null : record.value,
          headerList: headersOf(record),
          timestampMs: record.timestampMs,
        }));
        const path = `topics/${topic}/${partition}/${numbered(first.offset)}-${numbered(newest.offset)}`;
        await store.put(path, serialize({ position: reader.position(), records } satisfies StoredRecords));
        stored += held.length;
        held = [];
      };
      for (;;) {
        const signal = AbortSignal.timeout(POLL_MS * 50);
        const records = await reader.poll({ maxRecords: POLL_RECORDS, maxWaitMs: POLL_MS, signal });
        if (records.length > 0 && last !== undefined && (records[0] as LogRecord).offset <= last.to) {
          throw new RestoreRefusedError(
            `topic ${topic} was created again since its last backup: use another backup.directory for the new one`,
          );
        }
        held.push(...records);
        if (held.length >= OBJECT_RECORDS) await flush();
        if (records.length === 0 || reader.lagRecords() <= 0n) break;
      }
      await flush();
    } finally {
      await reader.close();
    }
  }
  return stored;
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
    let next: bigint | undefined;
    for (const { path, from, to } of await rangesOf(store, topic, partition)) {
      if (next !== undefined && from < next) throw new BackupDamagedError(path);
      next = to + 1n;
      const { records: stored, position } = deserialize(await store.get(path)) as StoredRecords;
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
  store: BackupStore,
  broker: Broker,
  topics: readonly string[],
  {
    everyMs,
    signal,
    onRound,
  }: { readonly everyMs: number; readonly signal: AbortSignal; readonly onRound: (records: number) => void },
): Promise<void> {
  while (!signal.aborted) {
    let records = 0;
    for (const topic of topics) records += await storeTopic(store, broker, topic);
    onRound(records);
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}
