import { mkdir, open, readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
import { stableHash32 } from '#kernel/hash';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { LogLockedError, OffsetOutOfRangeError, UnknownTopicError } from '../errors.ts';
import { checkedRecords } from '../record_check.ts';
import { fromTextRecord, toTextRecord } from '../text_record.ts';
import type { MemoryLogConfig } from './config.ts';
import { PartitionLog } from './partition_log.ts';

interface Topic {
  readonly spec: TopicSpec;
  readonly partitions: readonly PartitionLog[];
}

const SYNC_INTERVAL_MS = 1_000;
const RETENTION_INTERVAL_MS = 60_000;
/** Read at once when looking for a time. */
const SCAN_RECORDS = 1_000;
const TOPIC_NAME = /^[A-Za-z0-9._-]{1,200}$/;

/**
 * The embedded broker: a partitioned log on this machine's disk, for one process. Semantics are those of Kafka that the
 * platform relies on: order within a partition, records kept until retention, readers that own their positions.
 */
export class MemoryLog implements Broker {
  readonly kind = 'memory';
  readonly hasHeaders = true;
  readonly addsPartitions = false;
  readonly name = 'memory log';
  readonly producer: Producer;
  readonly #config: MemoryLogConfig;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #topics = new Map<string, Topic>();
  #lock: string | undefined;
  #timers: NodeJS.Timeout[] = [];
  #roundRobin = 0;

  constructor(deps: { log: Logger; clock: Clock }, config: MemoryLogConfig) {
    this.#config = config;
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'connectors.memory' });
    this.producer = { send: (topic, records) => this.#send(topic, records) };
  }

  async start(): Promise<void> {
    const { directory } = this.#config;
    await mkdir(directory, { recursive: true });
    this.#lock = await acquireLock(directory);
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const text = await readFile(join(directory, entry.name, 'topic.json'), 'utf8');
      await this.#openTopic(JSON.parse(text) as TopicSpec);
    }
    if (this.#config.fsync === 'interval') this.#every(SYNC_INTERVAL_MS, (log) => log.sync());
    this.#every(RETENTION_INTERVAL_MS, (log, { retentionMs }) =>
      retentionMs === undefined ? Promise.resolve() : log.retain(this.#clock.now() - retentionMs),
    );
  }

  #every(intervalMs: number, task: (log: PartitionLog, spec: TopicSpec) => Promise<void>): void {
    const run = async (): Promise<void> => {
      for (const { spec, partitions } of this.#topics.values()) {
        for (const partition of partitions) await task(partition, spec);
      }
    };
    const timer = setInterval(() => {
      run().catch((error: unknown) => this.#log.error({ error }, 'memory_log.housekeeping_failed'));
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
        }),
    );
    for (const partition of partitions) await partition.open();
    this.#topics.set(spec.name, { spec, partitions });
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) {
      if (this.#topics.has(spec.name)) continue;
      if (!TOPIC_NAME.test(spec.name)) throw new RangeError(`"${spec.name}" cannot be the name of a topic`);
      const directory = join(this.#config.directory, spec.name);
      await mkdir(directory, { recursive: true });
      await writeAtomically(join(directory, 'topic.json'), JSON.stringify(spec));
      await this.#openTopic(spec);
    }
  }

  async #send(topicName: string, sent: readonly OutgoingRecord[]): Promise<void> {
    const { partitions } = this.#topic(topicName);
    const records = checkedRecords('the memory log', topicName, sent).map(toTextRecord);
    const nowMs = this.#clock.now();
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

  #partitionOf({ key }: OutgoingRecord, partitions: readonly PartitionLog[]): PartitionLog {
    const hash = key === undefined ? this.#roundRobin++ : stableHash32(key);
    return partitions[hash % partitions.length] as PartitionLog;
  }

  #topic(name: string): Topic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new UnknownTopicError('the memory log', name);
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
    if (log === undefined) throw new UnknownTopicError('the memory log', topicName, partition);
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
    await writeAtomically(groupFile(directory, group), JSON.stringify(Object.fromEntries(all)));
  }

  async committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    try {
      const text = await readFile(groupFile(join(this.#config.directory, topic), group), 'utf8');
      return new Map(Object.entries(JSON.parse(text) as Record<string, Position>));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
      throw error;
    }
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    for (const { partitions } of this.#topics.values()) for (const partition of partitions) await partition.close();
    this.#topics.clear();
    if (this.#lock !== undefined) await unlink(this.#lock).catch(() => {});
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
    next += BigInt(records.length);
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
    let records = await this.#log.read(this.#next, options.maxRecords);
    if (records.length === 0 && options.maxWaitMs > 0 && !options.signal.aborted) {
      await this.#log.waitForAppend(options.maxWaitMs, options.signal);
      records = await this.#log.read(this.#next, options.maxRecords);
    }
    if (records.length > 0) this.#next = (records[records.length - 1] as LogRecord).offset + 1n;
    return records.map(fromTextRecord);
  }

  position(): Position {
    return String(this.#next - 1n);
  }

  lagRecords(): bigint {
    return this.#log.endOffset - this.#next;
  }

  endOffset(): bigint {
    return this.#log.endOffset;
  }

  async close(): Promise<void> {}
}

/** One process at a time: a file with its pid, taken over when that process is gone. */
async function acquireLock(directory: string): Promise<string> {
  const file = join(directory, 'lock');
  for (;;) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(String(process.pid));
      await handle.close();
      return file;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = Number(await readFile(file, 'utf8'));
      if (isAlive(pid)) throw new LogLockedError(directory, pid);
      await unlink(file).catch(() => {});
    }
  }
}

function isAlive(pid: number): boolean {
  // Our own pid in a lock we do not hold is left over from before a restart of the container.
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function writeAtomically(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, file);
}
