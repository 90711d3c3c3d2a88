import type { Broker, LogRecord, Position, ReadFrom, SourcePartition, StartAt } from '#connectors/connector';
import { OffsetOutOfRangeError, UnknownTopicError } from '#connectors/errors';
import { UnreadableBatchError } from '#connectors/kafka/errors';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import { type Logger, silentLogger } from '#monitoring/log';
import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type AdaptedRestrictions,
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import { ProgressCommitter } from './progress_committer.ts';
import type { SourceMetrics } from './source_metrics.ts';

/** Looks for topics and partitions; what it finds is split off. */
interface Discovery {
  readonly kind: 'discovery';
  /** Topic and partition of each that was found. */
  readonly known: readonly (readonly [topic: string, partition: string])[];
}

/** One partition of a topic, from a position on. */
interface PartitionPart {
  readonly kind: 'partition';
  /** Kind of the broker that the position is of; absent in snapshots of earlier releases. */
  readonly broker?: string;
  readonly topic: string;
  readonly partition: string;
  /** Where reading begins, until there is a position. */
  readonly startAt: StartAt;
  /** Read records after this. */
  readonly position: Position | undefined;
  /** Newest event time read from this partition, ms. */
  readonly newest: number;
  /** A bounded read: records to its end as it was at first; undefined before that is known. */
  readonly remaining: number | undefined;
}

export type BrokerRestriction = Discovery | PartitionPart;

/** What a decoded record is: the element and its event time; undefined when the record has none that can be trusted. */
export interface Decoded<T> {
  readonly element: T;
  readonly eventTimeMs: number | undefined;
}

/** Where reading continues when the records at a position are gone. */
export type OffsetOutOfRangePolicy = 'earliest' | 'latest' | 'fail';

export interface BrokerSourceSettings<T> {
  /** Names, or a pattern that the names of topics are held against, now and later. */
  readonly topics: readonly string[] | RegExp;
  /** Consumer group that shows this pipeline's progress in the broker's own tools. */
  readonly group: string;
  /** `committed`: after what the group has committed, and from the earliest record where it has nothing. */
  readonly startAt: StartAt | 'committed';
  /** How much older than the newest an event may be and not count as late, ms. */
  readonly outOfOrderMs: number;
  /** A partition whose end the broker has confirmed for so long no longer holds the watermark, ms. */
  readonly idleAfterMs: number;
  /** How often to look for new partitions, ms. */
  readonly discoverEveryMs?: number;
  readonly maxRecords?: number;
  readonly maxWaitMs?: number;
  /**
   * `watermark` is the partition's just
   * before this record: newest event time minus {@link outOfOrderMs}. It depends on the records alone, not on how they
   * are cut into bundles, so an event is late in a replay exactly when it was late the first time.
   */
  readonly decode: (record: LogRecord, watermark: EventTime, topic: string) => Decoded<T>;
  /** `fail` without it: the error names the range. The gap is logged and counted with the others. */
  readonly offsetOutOfRange?: OffsetOutOfRangePolicy;
  /** Makes an element of a batch that cannot be read, after which reading continues; without it the source fails. */
  readonly unreadable?: (error: UnreadableBatchError) => T;
  readonly log?: Logger;
  /** Stops at the partitions' ends as they were when reading began: a bounded read, for back-fill and tests. */
  readonly bounded?: boolean;
  readonly metrics?: SourceMetrics;
}

interface OpenPartition {
  readonly reader: SourcePartition;
  readonly position: Position | undefined;
  /** Since when nothing is left to read, as the broker has confirmed, ms; undefined while there may be more. */
  atEndSinceMs: number | undefined;
  recreations: number;
}

function watermarkAfter(newest: number, outOfOrderMs: number): EventTime {
  return newest === MIN_EVENT_TIME ? MIN_EVENT_TIME : eventTime(newest - outOfOrderMs);
}

const DEFAULT_MAX_RECORDS = 1_000;
const DEFAULT_MAX_WAIT_MS = 250;
const DEFAULT_DISCOVER_EVERY_MS = 30_000;

type Context<T> = SplittableContext<T, BrokerRestriction>;
type Tracker = RestrictionTracker<BrokerRestriction, BrokerRestriction>;

/**
 * Reads topics of any broker as a splittable DoFn: one restriction finds partitions and splits each off as its own; a shard's
 * children are split off where it ends. Positions belong to the snapshot; offsets are committed to the broker at bundle finalisation,
 * only to be looked at (and for brokers that deliver until acknowledged, to acknowledge).
 */
export class BrokerSource<T> implements SplittableDoFn<string, T, BrokerRestriction, BrokerRestriction> {
  readonly splittable = true;
  readonly bounded: boolean;
  readonly #broker: Broker;
  readonly #settings: BrokerSourceSettings<T>;
  readonly #open = new Map<string, OpenPartition>();
  readonly #log: Logger;
  readonly #progress: ProgressCommitter;
  /** Topic and partition of what has been reported to health. */
  readonly #reported = new Map<string, readonly [topic: string, partition: string]>();

  constructor(broker: Broker, settings: BrokerSourceSettings<T>) {
    this.#broker = broker;
    this.#settings = settings;
    this.bounded = settings.bounded ?? false;
    this.#log = (settings.log ?? silentLogger).child({ component: 'pipelines.broker_source' });
    this.#progress = new ProgressCommitter(
      { broker, log: this.#log, onFailure: (topic) => settings.metrics?.countFailedCommit(topic) },
      settings.group,
    );
  }

  initialRestrictions(): BrokerRestriction[] {
    return [{ kind: 'discovery', known: [] }];
  }

  /** Partitions of topics that are not read any more are given up; new topics are looked for. A position is no other broker's. */
  adaptRestrictions(saved: readonly BrokerRestriction[]): AdaptedRestrictions<BrokerRestriction> {
    const { kind } = this.#broker;
    const foreign = saved.find((part) => part.kind === 'partition' && (part.broker ?? kind) !== kind);
    if (foreign?.kind === 'partition') {
      return {
        refused: `it was saved at position ${foreign.position ?? foreign.startAt} of topic ${foreign.topic}[${foreign.partition}] of a ${foreign.broker} broker, and the broker is ${kind} now: positions of one are none of the other`,
      };
    }
    const { topics } = this.#settings;
    const isRead = (topic: string): boolean =>
      topics instanceof RegExp ? topic.search(topics) >= 0 : topics.includes(topic);
    const changes: string[] = [];
    const known: (readonly [string, string])[] = [];
    const restrictions = saved.map((part): BrokerRestriction | undefined => {
      if (part.kind === 'discovery') return { ...part, known: part.known.filter(([topic]) => isRead(topic)) };
      const { topic, partition, position } = part;
      if (isRead(topic)) {
        known.push([topic, partition]);
        return { ...part, broker: kind };
      }
      changes.push(
        `topic ${topic} is not read any more: what partition ${partition} holds after position ${position ?? part.startAt} is not processed`,
      );
      return undefined;
    });
    const names = topics instanceof RegExp ? [] : topics;
    const missing = names.filter((name) => known.every(([topic]) => topic !== name));
    const isLookedFor = saved.some((part) => part.kind === 'discovery');
    if (changes.length === 0 || missing.length === 0 || isLookedFor) return { restrictions, changes };
    return { restrictions, added: [{ kind: 'discovery', known }], changes };
  }

  createTracker(restriction: BrokerRestriction): RestTracker<BrokerRestriction> {
    return new RestTracker(restriction);
  }

  process(
    _: string,
    restriction: BrokerRestriction,
    tracker: Tracker,
    context: Context<T>,
  ): Promise<ProcessContinuation> {
    return restriction.kind === 'discovery'
      ? this.#discoverReported(restriction, tracker, context)
      : this.#read(restriction, tracker, context);
  }

  async #discoverReported(part: Discovery, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const progress = this.#settings.metrics?.progress;
    const topic = String(this.#settings.topics);
    progress?.reading(topic, DISCOVERY);
    try {
      const continuation = await this.#discover(part, tracker, context);
      progress?.ended(topic, DISCOVERY);
      return continuation;
    } catch (error) {
      progress?.failed(topic, DISCOVERY, error);
      throw error;
    }
  }

  async #discover({ known }: Discovery, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const { topics, startAt, outOfOrderMs, discoverEveryMs = DEFAULT_DISCOVER_EVERY_MS } = this.#settings;
    const isFirst = known.length === 0;
    const names = topics instanceof RegExp ? await this.#matching(topics) : topics;
    const found: (readonly [string, string])[] = [];
    for (const topic of names) {
      const before = new Set(known.filter(([name]) => name === topic).map(([, partition]) => partition));
      if (before.size > 0 && !this.#broker.addsPartitions) {
        for (const partition of before) found.push([topic, partition]);
        continue;
      }
      // What appears while running is read whole.
      const from = !isFirst ? 'earliest' : startAt === 'committed' ? 'earliest' : startAt;
      const committed =
        isFirst && startAt === 'committed' ? await this.#broker.committed(this.#settings.group, topic) : undefined;
      // A partition that is gone is forgotten: one that comes after it with its number is new.
      for (const partition of await this.#partitionsOf(topic, from, before)) {
        found.push([topic, partition]);
        if (before.has(partition)) continue;
        context.splitOff(
          {
            kind: 'partition',
            broker: this.#broker.kind,
            topic,
            partition,
            startAt: from,
            position: committed?.get(partition),
            newest: MIN_EVENT_TIME,
            remaining: undefined,
          },
          MIN_EVENT_TIME,
        );
      }
    }
    const isOver = this.bounded || (!(topics instanceof RegExp) && !this.#broker.addsPartitions);
    if (isOver) return STOP;
    context.setIdle(true, eventTime(Date.now() - outOfOrderMs));
    tracker.tryClaim({ kind: 'discovery', known: found });
    return resumeAfter(discoverEveryMs);
  }

  /** A topic that is being created again has none for a while. */
  async #partitionsOf(topic: string, from: StartAt, before: ReadonlySet<string>): Promise<readonly string[]> {
    try {
      return await this.#broker.listPartitions(topic, from);
    } catch (error) {
      if (error instanceof UnknownTopicError && before.size > 0) return [...before];
      throw error;
    }
  }

  async #matching(pattern: RegExp): Promise<readonly string[]> {
    const topics = await this.#broker.listTopics();
    return topics.filter((topic) => topic.search(pattern) >= 0).sort();
  }

  async #read(part: PartitionPart, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const { metrics } = this.#settings;
    const { topic, partition } = part;
    this.#reported.set(idOf(part), [topic, partition]);
    metrics?.progress.reading(topic, partition);
    let open: OpenPartition | undefined;
    let records: readonly LogRecord[] | undefined;
    const beganMs = Date.now();
    try {
      open = await this.#reader(part);
      if (open === undefined) {
        metrics?.progress.ended(topic, partition);
        return STOP;
      }
      records = await this.#poll(part, open.reader, context);
      if (records === undefined) {
        tracker.tryClaim(part);
        return resumeAfter(0);
      }
    } catch (error) {
      metrics?.progress.failed(topic, partition, error);
      // It stays reported when this ends the job: the next one begins with the same read.
      this.#reported.delete(idOf(part));
      throw error;
    }
    const { reader } = open;
    const recreations = reader.recreations?.() ?? 0;
    if (recreations > open.recreations) metrics?.countRecreated(topic);
    open.recreations = recreations;
    metrics?.setWorkers(topic, partition, reader.workers?.() ?? 1);
    const newest = this.#output(records, part, context);
    const next = reader.position();
    const backlog = Number(reader.lagRecords());
    context.reportBacklog(backlog);
    metrics?.setLag(topic, partition, backlog, reader.lagMs?.());
    metrics?.progress.read(topic, partition, records.length, backlog);
    if (records.length > 0) {
      context.afterBundleCommit(() => this.#progress.commit(topic, partition, next));
    }
    const remaining = (part.remaining ?? records.length + backlog) - records.length;
    tracker.tryClaim({ ...part, position: next, newest, remaining: this.bounded ? remaining : undefined });
    const { outOfOrderMs, idleAfterMs } = this.#settings;
    const watermark = watermarkAfter(newest, outOfOrderMs);
    context.advanceWatermark(heldBack(watermark, reader.oldestPendingMs?.()));
    const successors = reader.successors?.();
    if (successors !== undefined) {
      for (const child of successors) {
        const restriction = { ...part, partition: child, startAt: 'earliest', position: undefined, newest } as const;
        context.splitOff(restriction, watermark);
      }
      await this.#close(part);
      return STOP;
    }
    // Silence is no end: a fetch may be slow, or this process may have been paused.
    const endSeenMs = reader.endSeenMs === undefined ? beganMs : reader.endSeenMs();
    const isAtEnd = records.length === 0 && backlog === 0 && endSeenMs !== undefined;
    open.atEndSinceMs = isAtEnd ? (open.atEndSinceMs ?? endSeenMs) : undefined;
    const isIdle = isAtEnd && open.atEndSinceMs !== undefined && endSeenMs - open.atEndSinceMs >= idleAfterMs;
    // What comes now is received after the end was seen.
    context.setIdle(isIdle, eventTime((endSeenMs ?? beganMs) - outOfOrderMs));
    this.#open.set(idOf(part), { ...open, position: next });
    if (this.bounded && (remaining <= 0 || (records.length === 0 && backlog === 0))) {
      await this.#close(part);
      return STOP;
    }
    return resumeAfter(0);
  }

  /**
   * Polls a partition. A reader that fails is closed, and opened again by the next read.
   *
   * @returns undefined after a failure that a policy covers: the next read finds out what there is
   */
  async #poll(
    part: PartitionPart,
    reader: SourcePartition,
    context: Context<T>,
  ): Promise<readonly LogRecord[] | undefined> {
    const { maxRecords = DEFAULT_MAX_RECORDS, maxWaitMs = DEFAULT_MAX_WAIT_MS, offsetOutOfRange } = this.#settings;
    try {
      return await reader.poll({ maxRecords, maxWaitMs, signal: context.signal });
    } catch (error) {
      if (error instanceof UnreadableBatchError && this.#setAside(error, part, reader, context)) return [];
      this.#open.delete(idOf(part));
      await reader.close();
      const isCovered = offsetOutOfRange !== undefined && offsetOutOfRange !== 'fail';
      if (error instanceof OffsetOutOfRangeError && isCovered) return undefined;
      throw error;
    }
  }

  /** @returns whether reading may continue after it */
  #setAside(error: UnreadableBatchError, part: PartitionPart, reader: SourcePartition, context: Context<T>): boolean {
    const { unreadable, metrics } = this.#settings;
    if (unreadable === undefined || reader.skipUnreadable === undefined) return false;
    const { topic, partition, offset, lastOffset, reason } = error;
    const range = { topic, partition, offset: String(offset), lastOffset: String(lastOffset) };
    this.#log.error({ ...range, reason }, 'batch.set_aside');
    metrics?.countUnreadable(topic);
    context.output(unreadable(error), eventTime(Math.max(part.newest, 0)));
    reader.skipUnreadable();
    return true;
  }

  /** @returns the newest event time of the partition, ms */
  #output(records: readonly LogRecord[], part: PartitionPart, context: Context<T>): number {
    const { decode, outOfOrderMs } = this.#settings;
    let newest = part.newest;
    for (const record of records) {
      const { element, eventTimeMs } = decode(record, watermarkAfter(newest, outOfOrderMs), part.topic);
      context.output(element, eventTime(eventTimeMs ?? Math.max(newest, 0)));
      if (eventTimeMs !== undefined && eventTimeMs > newest) newest = eventTimeMs;
    }
    return newest;
  }

  /** The partition's reader, where the restriction is; another one is opened after a restore or a failed bundle. */
  async #reader(part: PartitionPart): Promise<OpenPartition | undefined> {
    const { topic, partition, position, startAt } = part;
    const open = this.#open.get(idOf(part));
    if (open !== undefined) {
      if (open.position === position) return open;
      await this.#close(part);
    }
    const from: ReadFrom = position === undefined ? { startAt } : { resumeAfter: position };
    const reader = await this.#openReader(part, from);
    if (reader === undefined) {
      this.#log.warn({ topic, partition }, 'partition.gone');
      return undefined;
    }
    const opened = { reader, position, atEndSinceMs: undefined, recreations: 0 };
    this.#open.set(idOf(part), opened);
    return opened;
  }

  /** @returns undefined when the topic exists without this partition: it was created again with fewer */
  async #openReader({ topic, partition }: PartitionPart, from: ReadFrom): Promise<SourcePartition | undefined> {
    try {
      return await this.#broker.openPartition(topic, partition, from);
    } catch (error) {
      if (error instanceof UnknownTopicError && this.#broker.addsPartitions) {
        const left = await this.#broker.listPartitions(topic);
        if (left.length > 0 && !left.includes(partition)) return undefined;
      }
      const { offsetOutOfRange: policy = 'fail', metrics } = this.#settings;
      if (!(error instanceof OffsetOutOfRangeError) || policy === 'fail') throw error;
      const { offset, held } = error;
      const to = policy === 'earliest' ? held?.earliest : held?.latest;
      const lost = to !== undefined && to > offset ? Number(to - offset) : undefined;
      const range = {
        topic,
        partition,
        from: String(offset),
        to: to === undefined ? undefined : String(to),
        lost,
        policy,
      };
      this.#log.error(range, 'source.records_lost');
      metrics?.countLost(topic, partition, lost);
      return this.#broker.openPartition(topic, partition, { startAt: policy });
    }
  }

  async #close(part: PartitionPart): Promise<void> {
    const open = this.#open.get(idOf(part));
    this.#open.delete(idOf(part));
    this.#settings.metrics?.progress.ended(part.topic, part.partition);
    await open?.reader.close();
  }

  async teardown(): Promise<void> {
    await this.#progress.stop();
    for (const { reader } of this.#open.values()) await reader.close();
    this.#open.clear();
    // A job that begins anew reports its own reads.
    for (const [topic, partition] of this.#reported.values()) this.#settings.metrics?.progress.ended(topic, partition);
  }
}

/** Looking for partitions, as health names it. */
const DISCOVERY = 'discovery';

const idOf = ({ topic, partition }: PartitionPart): string => `${topic}\u0000${partition}`;

/** Records that may come again hold the watermark at when they were published. */
const heldBack = (watermark: EventTime, oldestPendingMs: number | undefined): EventTime =>
  oldestPendingMs === undefined || oldestPendingMs > watermark ? watermark : eventTime(oldestPendingMs);
