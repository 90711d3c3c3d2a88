import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type {
  Broker,
  LogRecord,
  OutgoingRecord,
  Position,
  Producer,
  ReadFrom,
  SourcePartition,
  StartAt,
  TopicSpec,
} from '#connectors/connector';
import { stableHash32 } from '#kernel/hashes/hash';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { readCheckedJson, writeCheckedJson } from '#storage/checked_json';
import { makeFolder } from '#storage/durable_files';
import { DamagedFileError, onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { checkLog } from '#storage/log_check';
import { listSegments, MARK_FILE } from '#storage/segment_files';
import { type EntityMention, isMentioned } from '../entity_mention.ts';
import { OffsetOutOfRangeError, RecordTooLargeError, refusalOf, UnknownTopicError } from '../errors.ts';
import { checkedRecords } from '../records/record_check.ts';
import { mostRecordBytes, recordBytes } from '../records/record_size.ts';
import { fromTextRecord, toTextRecord } from '../records/text_record.ts';
import type { DiskLogConfig } from './config.ts';
import { LARGEST_FRAME, PartitionLog } from './partition_log.ts';

interface Topic {
  readonly spec: TopicSpec;
  readonly partitions: readonly PartitionLog[];
}

const SYNC_INTERVAL_MS = 1_000;
const RETENTION_INTERVAL_MS = 60_000;
/** Read at once when looking for a time. */
const SCAN_RECORDS = 1_000;
const TOPIC_NAME = /^[A-Za-z0-9._-]{1,200}$/;
/** Folders that begin so are not topics: the lock, and what is being made. */
const NO_TOPIC = /^\./;

const topicSchema: z.ZodType<TopicSpec> = z.strictObject({
  name: z.string().regex(TOPIC_NAME),
  partitions: z.int().positive(),
  retentionMs: z.number().positive().optional(),
});
/** Of each partition, the offset of the last record a group has read. */
const positionsSchema = z.record(z.string(), z.string());

/**
 * The embedded broker: a partitioned log on this machine's disk, for one process. Semantics are those of Kafka that the
 * platform relies on: order within a partition, records kept until retention, readers that own their positions.
 */
export class DiskLog implements Broker {
  readonly kind = 'disk_log';
  readonly hasHeaders = true;
  readonly addsPartitions = false;
  readonly name = 'disk log';
  readonly producer: Producer;
  readonly #config: DiskLogConfig;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #topics = new Map<string, Topic>();
  #lock: FolderLock | undefined;
  #timers: NodeJS.Timeout[] = [];
  #roundRobin = 0;

  constructor(deps: { log: Logger; clock: Clock }, config: DiskLogConfig) {
    this.#config = config;
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'connectors.disk_log' });
    this.producer = { send: (topic, records) => this.#send(topic, records) };
  }

  async start(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #open(): Promise<void> {
    const { directory } = this.#config;
    this.#lock = await FolderLock.acquire(directory);
    for (const entry of await onDisk(directory, () => readdir(directory, { withFileTypes: true }))) {
      if (!entry.isDirectory() || NO_TOPIC.test(entry.name)) continue;
      const spec = await this.#readTopic(entry.name);
      if (spec === undefined) continue;
      await this.#checkPartitions(spec);
      await this.#openTopic(spec);
    }
    if (this.#config.fsync === 'interval') this.#every(SYNC_INTERVAL_MS, (log) => log.sync());
    this.#every(RETENTION_INTERVAL_MS, (log, { retentionMs }) =>
      retentionMs === undefined ? Promise.resolve() : log.retain(this.#clock.now() - retentionMs),
    );
  }

  /** @returns undefined for a folder whose topic was not made to the end: it has no records */
  async #readTopic(name: string): Promise<TopicSpec | undefined> {
    const folder = join(this.#config.directory, name);
    const file = join(folder, 'topic.json');
    const spec = await readCheckedJson(file, topicSchema, { before: topicSchema });
    if (spec?.name === name) return spec;
    if (spec !== undefined)
      throw new DamagedFileError(file, 0, `it is of topic ${spec.name}, in the folder of ${name}`);
    for (const partition of await onDisk(folder, () => readdir(folder))) {
      if (!/^\d+$/.test(partition)) continue;
      const { segments } = await checkLog(join(folder, partition));
      if (segments.some(({ records }) => records > 0)) {
        throw new DamagedFileError(file, 0, 'it is missing, and the topic has records');
      }
    }
    return undefined;
  }

  /** A topic is known when its partitions have been made: none of them is missing after that. */
  async #checkPartitions({ name, partitions }: TopicSpec): Promise<void> {
    for (let index = 0; index < partitions; index += 1) {
      const folder = join(this.#config.directory, name, String(index));
      const files = await onDisk(folder, () => readdir(folder));
      if (!files.includes(MARK_FILE) && (await listSegments(folder)).length === 0) {
        throw new DamagedFileError(
          folder,
          0,
          'its segments and its mark are missing',
          'restore the folder from a backup',
        );
      }
    }
  }

  #every(intervalMs: number, task: (log: PartitionLog, spec: TopicSpec) => Promise<void>): void {
    const run = async (): Promise<void> => {
      for (const { spec, partitions } of this.#topics.values()) {
        for (const partition of partitions) await task(partition, spec);
      }
    };
    const timer = setInterval(() => {
      run().catch((error: unknown) => this.#log.error({ error }, 'disk_log.housekeeping_failed'));
    }, intervalMs);
    timer.unref();
    this.#timers.push(timer);
  }

  async #openTopic(spec: TopicSpec): Promise<void> {
    const partitions = Array.from(
      { length: spec.partitions },
      (_, index) =>
        new PartitionLog(join(this.#config.directory, spec.name, String(index)), String(index), {
          segmentBytes: this.#config.segmentBytes,
          syncEachWrite: this.#config.fsync === 'always',
          log: this.#log,
          ...(this.#lock === undefined ? {} : { guard: this.#lock.guard }),
        }),
    );
    // Known before they are opened: what was opened before one of them fails is closed.
    this.#topics.set(spec.name, { spec, partitions });
    for (const partition of partitions) await partition.open();
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) {
      if (this.#topics.has(spec.name)) continue;
      if (!TOPIC_NAME.test(spec.name)) throw new RangeError(`"${spec.name}" cannot be the name of a topic`);
      const directory = join(this.#config.directory, spec.name);
      await makeFolder(directory);
      await this.#openTopic(spec);
      await writeCheckedJson(join(directory, 'topic.json'), spec);
    }
  }

  async #send(topicName: string, sent: readonly OutgoingRecord[]): Promise<void> {
    const { partitions } = this.#topic(topicName);
    const records = checkedRecords('the disk log', topicName, sent).map(toTextRecord);
    const nowMs = this.#clock.now();
    if (records.some(isTooLarge)) return this.#sendOthers(topicName, records);
    if (records.length === 1) {
      await this.#partitionOf(records[0] as OutgoingRecord, partitions).append(records, nowMs);
      return;
    }
    const batches = new Map<PartitionLog, OutgoingRecord[]>();
    for (const record of records) {
      const partition = this.#partitionOf(record, partitions);
      const batch = batches.get(partition);
      if (batch === undefined) batches.set(partition, [record]);
      else batch.push(record);
    }
    await Promise.all([...batches].map(([partition, batch]) => partition.append(batch, nowMs)));
  }

  async #sendOthers(topicName: string, records: readonly OutgoingRecord[]): Promise<void> {
    const refused = new Map<number, Error>();
    for (const [index, record] of records.entries()) {
      if (!isTooLarge(record)) continue;
      const size = { sizeBytes: recordBytes(record), maxBytes: LARGEST_FRAME - FRAME_OVERHEAD_BYTES };
      refused.set(index, new RecordTooLargeError('the disk log', topicName, record.key, size));
    }
    if (refused.size < records.length)
      await this.#send(
        topicName,
        records.filter((record) => !isTooLarge(record)),
      );
    throw refusalOf(topicName, records.length, refused);
  }

  #partitionOf({ key }: OutgoingRecord, partitions: readonly PartitionLog[]): PartitionLog {
    const hash = key === undefined ? this.#roundRobin++ : stableHash32(key);
    return partitions[hash % partitions.length] as PartitionLog;
  }

  #topic(name: string): Topic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new UnknownTopicError('the disk log', name);
    return topic;
  }

  async listTopics(): Promise<readonly string[]> {
    return [...this.#topics.keys()];
  }

  async listPartitions(topic: string): Promise<readonly string[]> {
    return this.#topic(topic).partitions.map((_, index) => String(index));
  }

  async openPartition(topicName: string, partition: string, from: ReadFrom): Promise<SourcePartition> {
    const log = this.#topic(topicName).partitions[Number(partition)];
    if (log === undefined) throw new UnknownTopicError('the disk log', topicName, partition);
    let next: bigint;
    if ('resumeAfter' in from) next = BigInt(from.resumeAfter) + 1n;
    else next = await startOffset(log, from.startAt);
    if (next < log.startOffset || next > log.endOffset) {
      const held = { earliest: log.startOffset, latest: log.endOffset };
      throw new OffsetOutOfRangeError(topicName, partition, next, held);
    }
    return new PartitionReader(log, next);
  }

  async commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    const directory = join(this.#config.directory, topic);
    const all = new Map([...(await this.committed(group, topic)), ...positions]);
    this.#lock?.check();
    await writeCheckedJson(groupFile(directory, group), Object.fromEntries(all));
  }

  async committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    const file = groupFile(join(this.#config.directory, topic), group);
    const remedy =
      'delete the file: the group begins again at the start of the topic, and the pipeline drops events it has seen';
    const positions = await readCheckedJson(file, positionsSchema, { before: positionsSchema, remedy });
    return new Map(Object.entries(positions ?? {}));
  }

  async eraseRecords(topic: string, mention: EntityMention): Promise<number> {
    let erased = 0;
    for (const partition of this.#topic(topic).partitions) {
      erased += await partition.erase((record) => isMentioned(fromTextRecord(record), mention));
    }
    return erased;
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    for (const { spec, partitions } of this.#topics.values()) {
      for (const [index, partition] of partitions.entries()) {
        await partition
          .close()
          .catch((error: unknown) => this.#log.error({ error, topic: spec.name, index }, 'disk_log.close_failed'));
      }
    }
    this.#topics.clear();
    await this.#lock?.release();
    this.#lock = undefined;
  }
}

const groupFile = (directory: string, group: string): string =>
  join(directory, `group-${encodeURIComponent(group)}.json`);

async function startOffset(log: PartitionLog, startAt: StartAt): Promise<bigint> {
  if (startAt === 'earliest') return log.startOffset;
  if (startAt === 'latest') return log.endOffset;
  let next = log.startOffset;
  for (;;) {
    const records = await log.read(next, SCAN_RECORDS);
    const found = records.find(({ timestampMs }) => timestampMs >= startAt.timestampMs);
    if (found !== undefined || records.length === 0) return found?.offset ?? next;
    next = (records.at(-1) as LogRecord).offset + 1n;
  }
}

class PartitionReader implements SourcePartition {
  readonly #log: PartitionLog;
  #next: bigint;

  constructor(log: PartitionLog, next: bigint) {
    this.#log = log;
    this.#next = next;
  }

  async poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]> {
    let records = await this.#read(options.maxRecords);
    if (records.length === 0 && options.maxWaitMs > 0 && !options.signal.aborted) {
      await this.#log.waitForAppend(options.maxWaitMs, options.signal);
      records = await this.#read(options.maxRecords);
    }
    return records.map(fromTextRecord);
  }

  /** The next records, past those that were erased. */
  async #read(maxRecords: number): Promise<readonly LogRecord[]> {
    for (;;) {
      const records = await this.#log.read(this.#next, maxRecords);
      const last = records.at(-1);
      if (last === undefined) return [];
      this.#next = last.offset + 1n;
      const kept = records.filter(({ isErased }) => isErased !== true);
      if (kept.length > 0) return kept;
    }
  }

  position(): Position {
    return String(this.#next - 1n);
  }

  lagRecords(): bigint {
    return BigInt(this.#log.recordsFrom(this.#next));
  }

  endOffset(): bigint {
    return this.#log.endOffset;
  }

  async close(): Promise<void> {}
}
/** What a frame adds to key, headers and value, at most. */
const FRAME_OVERHEAD_BYTES = 4_096;

const isTooLarge = (record: OutgoingRecord): boolean =>
  mostRecordBytes(record) > LARGEST_FRAME - FRAME_OVERHEAD_BYTES &&
  recordBytes(record) > LARGEST_FRAME - FRAME_OVERHEAD_BYTES;
