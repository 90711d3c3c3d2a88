import type { Broker, LogRecord, Position, SourcePartition, StartAt } from '#connectors/connector';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splittable';

/** One partition of a topic, from a position on. */
export interface PartitionRestriction {
  readonly partition: string;
  /** Read records after this; undefined: from where the source starts. */
  readonly position: Position | undefined;
  /** Newest event time read from this partition, ms. */
  readonly newest: number;
}

export interface BrokerSourceSettings<T> {
  readonly topic: string;
  /** Consumer group that shows this pipeline's progress in the broker's own tools. */
  readonly group: string;
  readonly startAt: StartAt;
  /** How much older than the newest an event may be and not count as late, ms. */
  readonly outOfOrderMs: number;
  /** A partition without new records for so long no longer holds the watermark, ms. */
  readonly idleAfterMs: number;
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
}

class PositionTracker implements RestrictionTracker<PartitionRestriction, Position> {
  readonly #restriction: PartitionRestriction;
  #position: Position | undefined;
  newest: number;

  constructor(restriction: PartitionRestriction) {
    this.#restriction = restriction;
    this.#position = restriction.position;
    this.newest = restriction.newest;
  }

  tryClaim(position: Position): boolean {
    this.#position = position;
    return true;
  }

  checkpoint(): PartitionRestriction {
    return { ...this.#restriction, position: this.#position, newest: this.newest };
  }
}

interface OpenPartition {
  readonly reader: SourcePartition;
  readonly position: Position | undefined;
  lastRecordMs: number;
}

function watermarkAfter(newest: number, outOfOrderMs: number): EventTime {
  return newest === MIN_EVENT_TIME ? MIN_EVENT_TIME : eventTime(newest - outOfOrderMs);
}

const DEFAULT_MAX_RECORDS = 500;
const DEFAULT_MAX_WAIT_MS = 250;

/**
 * Reads a topic of any broker as a splittable DoFn: one restriction a partition. Positions belong to the snapshot; offsets
 * are committed to the broker at bundle finalisation, only to be looked at.
 */
export class BrokerSource<T> implements SplittableDoFn<string, T, PartitionRestriction, Position> {
  readonly splittable = true;
  readonly bounded: boolean;
  readonly #broker: Broker;
  readonly #settings: BrokerSourceSettings<T>;
  readonly #open = new Map<string, OpenPartition>();
  #durable = new Map<string, Position>();
  #committing: Promise<void> | undefined;

  constructor(broker: Broker, settings: BrokerSourceSettings<T>) {
    this.#broker = broker;
    this.#settings = settings;
    this.bounded = settings.bounded ?? false;
  }

  async initialRestrictions(topic: string): Promise<PartitionRestriction[]> {
    const partitions = await this.#broker.listPartitions(topic);
    return partitions.map((partition) => ({ partition, position: undefined, newest: MIN_EVENT_TIME }));
  }

  createTracker(restriction: PartitionRestriction): PositionTracker {
    return new PositionTracker(restriction);
  }

  async process(
    topic: string,
    restriction: PartitionRestriction,
    tracker: RestrictionTracker<PartitionRestriction, Position>,
    context: SplittableContext<T>,
  ): Promise<ProcessContinuation> {
    const { maxRecords = DEFAULT_MAX_RECORDS, maxWaitMs = DEFAULT_MAX_WAIT_MS } = this.#settings;
    const { partition } = restriction;
    const open = await this.#reader(topic, restriction);
    const { reader } = open;
    let records: readonly LogRecord[];
    try {
      records = await reader.poll({ maxRecords, maxWaitMs: this.bounded ? 0 : maxWaitMs, signal: context.signal });
    } catch (error) {
      this.#open.delete(partition);
      await reader.close();
      throw error;
    }
    const position = tracker as PositionTracker;
    const { decode, outOfOrderMs, idleAfterMs } = this.#settings;
    for (const record of records) {
      const { element, eventTimeMs } = decode(record, watermarkAfter(position.newest, outOfOrderMs));
      const known = eventTimeMs ?? Math.max(position.newest, 0);
      context.output(element, eventTime(known));
      if (eventTimeMs !== undefined && eventTimeMs > position.newest) position.newest = eventTimeMs;
    }
    const next = reader.position();
    position.tryClaim(next);
    context.advanceWatermark(watermarkAfter(position.newest, outOfOrderMs));
    const backlog = reader.lagRecords();
    context.reportBacklog(Number(backlog));
    const nowMs = Date.now();
    if (records.length > 0) {
      open.lastRecordMs = nowMs;
      context.afterBundleCommit(() => this.#commit(topic, partition, next));
    }
    context.setIdle(backlog === 0n && nowMs - open.lastRecordMs >= idleAfterMs);
    this.#open.set(partition, { ...open, position: next });
    if (this.bounded && records.length === 0 && backlog === 0n) return STOP;
    return resumeAfter(0);
  }

  /** Publishes positions that have become durable; those of one snapshot go out together. */
  #commit(topic: string, partition: string, position: Position): Promise<void> {
    this.#durable.set(partition, position);
    this.#committing ??= Promise.resolve().then(async () => {
      const positions = this.#durable;
      this.#durable = new Map();
      this.#committing = undefined;
      await this.#broker.commit(this.#settings.group, topic, positions);
    });
    return this.#committing;
  }

  /** The partition's reader, where the restriction is; another one is opened after a restore or a failed bundle. */
  async #reader(topic: string, { partition, position }: PartitionRestriction): Promise<OpenPartition> {
    const open = this.#open.get(partition);
    if (open !== undefined) {
      if (open.position === position) return open;
      this.#open.delete(partition);
      await open.reader.close();
    }
    const from = position === undefined ? { startAt: this.#settings.startAt } : { resumeAfter: position };
    const reader = await this.#broker.openPartition(topic, partition, from);
    const opened = { reader, position, lastRecordMs: Date.now() };
    this.#open.set(partition, opened);
    return opened;
  }

  async teardown(): Promise<void> {
    for (const { reader } of this.#open.values()) await reader.close();
    this.#open.clear();
  }
}
