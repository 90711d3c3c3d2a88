import type { Broker, LogRecord, Position, ReadFrom, SourcePartition, StartAt } from '#connectors/connector';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import { RestTracker } from '#pipelines/engine/rest_tracker';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splittable';
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

export interface BrokerSourceSettings<T> {
  /** Names, or a pattern that the names of topics are held against, now and later. */
  readonly topics: readonly string[] | RegExp;
  /** Consumer group that shows this pipeline's progress in the broker's own tools. */
  readonly group: string;
  /** `committed`: after what the group has committed, and from the earliest record where it has nothing. */
  readonly startAt: StartAt | 'committed';
  /** How much older than the newest an event may be and not count as late, ms. */
  readonly outOfOrderMs: number;
  /** A partition without new records for so long no longer holds the watermark, ms. */
  readonly idleAfterMs: number;
  /** How often to look for new partitions, ms. */
  readonly discoverEveryMs?: number;
  readonly maxRecords?: number;
  readonly maxWaitMs?: number;
  /**
   * The element and its event time; undefined when the record has none that can be trusted. `watermark` is the partition's just
   * before this record: newest event time minus {@link outOfOrderMs}. It depends on the records alone, not on how they
   * are cut into bundles, so an event is late in a replay exactly when it was late the first time.
   */
  readonly decode: (
    record: LogRecord,
    watermark: EventTime,
  ) => { readonly element: T; readonly eventTimeMs: number | undefined };
  /** Stops at the partitions' ends as they were when reading began: a bounded read, for back-fill and tests. */
  readonly bounded?: boolean;
  readonly metrics?: SourceMetrics;
}

interface OpenPartition {
  readonly reader: SourcePartition;
  readonly position: Position | undefined;
  lastRecordMs: number;
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
  /** Topic and partition of what has been reported to health. */
  readonly #reported = new Map<string, readonly [topic: string, partition: string]>();
  #durable = new Map<string, Map<string, Position>>();
  #committing: Promise<void> | undefined;

  constructor(broker: Broker, settings: BrokerSourceSettings<T>) {
    this.#broker = broker;
    this.#settings = settings;
    this.bounded = settings.bounded ?? false;
  }

  initialRestrictions(): BrokerRestriction[] {
    return [{ kind: 'discovery', known: [] }];
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
    const found = [...known];
    for (const topic of names) {
      const isNew = !known.some(([other]) => other === topic);
      if (!isNew && !this.#broker.addsPartitions) continue;
      // What appears while running is read whole.
      const from = !isFirst ? 'earliest' : startAt === 'committed' ? 'earliest' : startAt;
      const committed =
        isFirst && startAt === 'committed' ? await this.#broker.committed(this.#settings.group, topic) : undefined;
      for (const partition of await this.#broker.listPartitions(topic, from)) {
        if (known.some(([name, id]) => name === topic && id === partition)) continue;
        found.push([topic, partition]);
        context.splitOff(
          {
            kind: 'partition',
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

  async #matching(pattern: RegExp): Promise<readonly string[]> {
    const topics = await this.#broker.listTopics();
    return topics.filter((topic) => topic.search(pattern) >= 0).sort();
  }

  async #read(part: PartitionPart, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const { maxRecords = DEFAULT_MAX_RECORDS, maxWaitMs = DEFAULT_MAX_WAIT_MS, metrics } = this.#settings;
    const { topic, partition } = part;
    this.#reported.set(idOf(part), [topic, partition]);
    metrics?.progress.reading(topic, partition);
    let open: OpenPartition;
    let records: readonly LogRecord[];
    try {
      open = await this.#reader(part);
      records = await this.#poll(part, open.reader, { maxRecords, maxWaitMs, signal: context.signal });
    } catch (error) {
      metrics?.progress.failed(topic, partition, error);
      throw error;
    }
    const { reader } = open;
    const newest = this.#output(records, part, context);
    const next = reader.position();
    const backlog = Number(reader.lagRecords());
    context.reportBacklog(backlog);
    metrics?.setLag(topic, partition, backlog, reader.lagMs?.());
    metrics?.progress.read(topic, partition, records.length, backlog);
    const nowMs = Date.now();
    if (records.length > 0) {
      open.lastRecordMs = nowMs;
      context.afterBundleCommit(() => this.#commit(topic, partition, next));
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
    const isIdle = backlog === 0 && nowMs - open.lastRecordMs >= idleAfterMs;
    context.setIdle(isIdle, eventTime(nowMs - outOfOrderMs));
    this.#open.set(idOf(part), { ...open, position: next });
    if (this.bounded && (remaining <= 0 || (records.length === 0 && backlog === 0))) {
      await this.#close(part);
      return STOP;
    }
    return resumeAfter(0);
  }

  /** A reader that has failed is opened anew the next time. */
  async #poll(
    part: PartitionPart,
    reader: SourcePartition,
    options: Parameters<SourcePartition['poll']>[0],
  ): Promise<readonly LogRecord[]> {
    try {
      return await reader.poll(options);
    } catch (error) {
      this.#open.delete(idOf(part));
      await reader.close();
      throw error;
    }
  }

  /** @returns the newest event time of the partition, ms */
  #output(records: readonly LogRecord[], { newest: before }: PartitionPart, context: Context<T>): number {
    const { decode, outOfOrderMs } = this.#settings;
    let newest = before;
    for (const record of records) {
      const { element, eventTimeMs } = decode(record, watermarkAfter(newest, outOfOrderMs));
      context.output(element, eventTime(eventTimeMs ?? Math.max(newest, 0)));
      if (eventTimeMs !== undefined && eventTimeMs > newest) newest = eventTimeMs;
    }
    return newest;
  }

  /** Publishes positions that have become durable; those of one snapshot go out together. */
  #commit(topic: string, partition: string, position: Position): Promise<void> {
    let ofTopic = this.#durable.get(topic);
    if (ofTopic === undefined) {
      ofTopic = new Map();
      this.#durable.set(topic, ofTopic);
    }
    ofTopic.set(partition, position);
    this.#committing ??= Promise.resolve().then(async () => {
      const durable = this.#durable;
      this.#durable = new Map();
      this.#committing = undefined;
      for (const [name, positions] of durable) await this.#broker.commit(this.#settings.group, name, positions);
    });
    return this.#committing;
  }

  /** The partition's reader, where the restriction is; another one is opened after a restore or a failed bundle. */
  async #reader(part: PartitionPart): Promise<OpenPartition> {
    const { topic, partition, position, startAt } = part;
    const open = this.#open.get(idOf(part));
    if (open !== undefined) {
      if (open.position === position) return open;
      await this.#close(part);
    }
    const from: ReadFrom = position === undefined ? { startAt } : { resumeAfter: position };
    const reader = await this.#broker.openPartition(topic, partition, from);
    const opened = { reader, position, lastRecordMs: Date.now() };
    this.#open.set(idOf(part), opened);
    return opened;
  }

  async #close(part: PartitionPart): Promise<void> {
    const open = this.#open.get(idOf(part));
    this.#open.delete(idOf(part));
    this.#settings.metrics?.progress.ended(part.topic, part.partition);
    await open?.reader.close();
  }

  async teardown(): Promise<void> {
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
