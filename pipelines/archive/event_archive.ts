import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, LogRecord, Position, SourcePartition } from '#connectors/connector';
import { type EntityMention, isInText } from '#connectors/entity_mention';
import { OffsetOutOfRangeError } from '#connectors/errors';
import type { FileSystemOf } from '#connectors/files/file_systems';
import type { EventSource } from '#feature_store/definitions/sources/source';
import { messageOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { counterOf, type Registry } from '#monitoring/metrics';
import { LockLostError } from '#storage/errors';
import {
  type ArchivedFile,
  type ArchivedPartition,
  type ArchiveList,
  type OpenList,
  openList,
  writeList,
} from './archive_list.ts';
import { type ArchivePlace, archivePlace, type PlaceOwner } from './archive_place.ts';
import { type ArchivedEvent, dateOf, writeEvents } from './archived_event.ts';
import { createRecordReader } from './archived_record.ts';
import type { OwnerSettings } from './bucket_owner.ts';
import { type ArchiveChange, dropOldDays, eraseEvents, joinSmallFiles } from './maintenance.ts';

export interface ArchiveDeps {
  readonly broker: Broker;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Registry;
  /** Whose events are checked as the pipeline checks them; events of other types are kept as they are. */
  readonly sources: readonly EventSource[];
  readonly fileSystems: FileSystemOf;
}

export interface ArchiveSettings {
  readonly topic: string;
  /** A folder of this machine, or `s3://bucket/prefix`. */
  readonly directory: string;
  /** Events are in files after so long at most. */
  readonly flushEveryMs: number;
  /** Days of events older than this are removed. */
  readonly keepMs: number;
  readonly owner?: OwnerSettings;
}

/** What an erasure has removed, or would. */
export interface ErasedEvents {
  readonly events: number;
}

/** A partition that is read. */
interface Lane {
  readonly partition: string;
  readonly reader: SourcePartition;
  generation: number;
  last: bigint;
  /** Of the first record that was ever read. */
  first: ArchivedPartition['first'];
  position: Position | undefined;
  events: ArchivedEvent[];
}

/** Memory that events take until they are in files. */
const MOST_BYTES = 16 * 1_024 * 1_024;
const POLL = { maxRecords: 1_000, maxWaitMs: 500 };
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 30_000;
const DISCOVER_EVERY_MS = 30_000;

/**
 * Keeps every accepted event as Parquet by type and date. It reads the topic by itself: `_archive.json` names the files that count and the positions after them, and is
 * replaced as a whole, so that each event is in one file, whenever the process ends. What is not listed after a crash is removed before reading resumes.
 */
export class EventArchive implements Service {
  readonly name = 'archive of events';
  readonly #deps: ArchiveDeps;
  readonly #settings: ArchiveSettings;
  readonly #place: ArchivePlace;
  readonly #log: Logger;
  readonly #events;
  readonly #failures;
  readonly #lanes = new Map<string, Lane>();
  #opened: OpenList | undefined;
  #owner: PlaceOwner | undefined;
  #bytes = 0;
  #session = new AbortController();
  #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Changes of the list, one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(deps: ArchiveDeps, settings: ArchiveSettings) {
    this.#deps = deps;
    this.#settings = settings;
    this.#place = archivePlace(settings.directory, deps.fileSystems);
    this.#log = deps.log.child({ component: 'pipelines.archive', archive: this.#place.location });
    this.#events = counterOf(deps.metrics, {
      name: 'archive_events_total',
      help: 'Events written to the archive of raw events',
    });
    this.#failures = counterOf(deps.metrics, {
      name: 'archive_failures_total',
      help: 'Times that the archive could not read the topic or write its files, and began again after its last commit',
    });
  }

  /** For reading. */
  get place(): ArchivePlace {
    return this.#place;
  }

  async start(): Promise<void> {
    this.#stopped = new AbortController();
    await this.#open();
    this.#running = this.#run();
  }

  /** Owns the place, where it does not yet, and opens the list. */
  async #open(): Promise<void> {
    this.#owner ??= await this.#place.own(this.#settings.owner);
    this.#opened = await openList(this.#place, this.#settings.topic, this.#owner.token);
  }

  get #list(): ArchiveList | undefined {
    return this.#opened?.list;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stopped.signal.aborted; ) {
      this.#session = new AbortController();
      const startedMs = performance.now();
      try {
        await this.#readAll(this.#session.signal);
      } catch (error) {
        if (this.#stopped.signal.aborted) break;
        if (performance.now() - startedMs > LONGEST_RETRY_MS) failures = 0;
        failures += 1;
        this.#failures.inc();
        const delayMs = Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS);
        this.#log.error({ error, delayMs }, 'archive.failed_starting_again');
        await sleep(delayMs, undefined, { signal: this.#stopped.signal }).catch(() => {});
        await this.#reopen(error);
      }
    }
  }

  /** Opens it as at a start. One whose place another process has taken takes it again when that one is gone. */
  async #reopen(error: unknown): Promise<void> {
    try {
      if (error instanceof LockLostError) {
        await this.#owner?.release();
        this.#owner = undefined;
      }
      await this.#open();
    } catch (reason) {
      this.#log.error({ error: reason }, 'archive.not_opened');
    }
  }

  /** Reads until it is aborted; whatever fails ends all of it, and it begins again after the last commit. */
  async #readAll(signal: AbortSignal): Promise<void> {
    const work = new Set<Promise<void>>();
    const fail = (error: unknown): void => this.#session.abort(error);
    const run = (task: () => Promise<void>): void => {
      const running = task()
        .catch(fail)
        .finally(() => work.delete(running));
      work.add(running);
    };
    try {
      await this.#discover(run, signal);
      run(() => this.#flushRegularly(signal));
      for (let discoveredMs = Date.now(); !signal.aborted; ) {
        await sleep(100, undefined, { signal }).catch(() => {});
        if (!this.#deps.broker.addsPartitions || Date.now() - discoveredMs < DISCOVER_EVERY_MS) continue;
        await this.#discover(run, signal);
        discoveredMs = Date.now();
      }
    } finally {
      this.#session.abort();
      while (work.size > 0) await Promise.all(work);
      await this.#changing.catch(() => {});
      for (const { reader } of this.#lanes.values()) await reader.close().catch(() => {});
      this.#lanes.clear();
      this.#bytes = 0;
    }
    if (signal.reason instanceof Error && signal.reason.name !== 'AbortError') throw signal.reason;
  }

  async #discover(run: (task: () => Promise<void>) => void, signal: AbortSignal): Promise<void> {
    for (const partition of await this.#deps.broker.listPartitions(this.#settings.topic, 'earliest')) {
      if (!this.#lanes.has(partition)) await this.#openLane(partition, run, signal);
    }
  }

  async #openLane(partition: string, run: (task: () => Promise<void>) => void, signal: AbortSignal): Promise<void> {
    const saved = this.#list?.partitions[partition];
    const lane: Lane = {
      partition,
      reader: await this.#reader(partition, saved?.position, saved?.last),
      generation: saved?.generation ?? 0,
      last: saved === undefined ? -1n : BigInt(saved.last),
      first: saved?.first,
      position: saved?.position,
      events: [],
    };
    this.#lanes.set(partition, lane);
    run(() => this.#read(lane, run, signal));
  }

  async #reader(partition: string, position: Position | undefined, last: string | undefined): Promise<SourcePartition> {
    const { broker, clock } = this.#deps;
    const { topic } = this.#settings;
    if (position === undefined) return broker.openPartition(topic, partition, { startAt: 'earliest' });
    try {
      return await broker.openPartition(topic, partition, { resumeAfter: position });
    } catch (error) {
      if (!(error instanceof OffsetOutOfRangeError)) throw error;
      // The broker has deleted what was not archived yet: reading resumes with what it holds, and the list names the gap.
      this.#log.error({ topic, partition, error }, 'archive.records_lost');
      const gap = { partition, after: last ?? '-1', at: new Date(clock.now()).toISOString() };
      await this.#change(async (list) => ({ ...list, gaps: [...list.gaps, gap] }));
      return broker.openPartition(topic, partition, { startAt: 'earliest' });
    }
  }

  async #read(lane: Lane, run: (task: () => Promise<void>) => void, signal: AbortSignal): Promise<void> {
    const { sources, clock } = this.#deps;
    const eventOf = createRecordReader(sources, clock, this.#settings.topic);
    while (!signal.aborted) {
      const records: readonly LogRecord[] = await lane.reader.poll({ ...POLL, signal }).catch((error: unknown) => {
        if (signal.aborted) return [];
        throw error;
      });
      if (signal.aborted) return;
      for (const record of records) {
        // Nothing was read before: what the topic held earlier is not in the archive.
        if (lane.last === -1n) {
          lane.first ??= { offset: String(record.offset), at: this.#timeOf(record) };
        }
        // Offsets that begin anew: the topic was created again.
        if (record.offset <= lane.last) lane.generation += 1;
        lane.last = record.offset;
        const event = eventOf(record, lane.generation);
        if (event === undefined) continue;
        lane.events.push(event);
        this.#bytes += event.payload.length;
      }
      lane.position = lane.reader.position();
      if (this.#bytes > MOST_BYTES) await this.flush();
      const successors = lane.reader.successors?.();
      if (successors === undefined) continue;
      for (const child of successors) if (!this.#lanes.has(child)) await this.#openLane(child, run, signal);
      return;
    }
  }

  /** When the broker took a record in; a producer may have written any number there. */
  #timeOf({ timestampMs }: LogRecord): string {
    const { clock } = this.#deps;
    return new Date(timestampMs >= 0 && timestampMs <= clock.now() ? timestampMs : clock.now()).toISOString();
  }

  async #flushRegularly(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#settings.flushEveryMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await this.flush();
      await this.maintain();
    }
  }

  /** Removes old days and joins small files. */
  async maintain(): Promise<void> {
    const nowMs = this.#deps.clock.now();
    for (let changed = true; changed && !this.#session.signal.aborted; ) {
      changed = false;
      const apply = async (make: (list: ArchiveList) => Promise<ArchiveChange | undefined>): Promise<void> => {
        let removed: readonly string[] = [];
        await this.#change(async (list) => {
          const change = await make(list);
          if (change === undefined) return list;
          changed = true;
          removed = change.removed;
          const { removedUntil = list.removedUntil } = change;
          return { ...list, files: [...change.files], ...(removedUntil === undefined ? {} : { removedUntil }) };
        });
        for (const name of removed) await this.#place.remove(name);
      };
      await apply(async (list) => dropOldDays(list, this.#settings.keepMs, nowMs));
      await apply((list) => joinSmallFiles(this.#place, list, nowMs));
    }
  }

  /** Makes one change of the list durable; the next one waits for it. */
  #change(make: (list: ArchiveList) => Promise<ArchiveList>): Promise<void> {
    const changed = this.#changing
      .catch(() => {})
      .then(async () => {
        const { list: before, tag } = this.#opened as OpenList;
        // Before any file is written, too.
        this.#owner?.check();
        const after = await make(before);
        if (after === before) return;
        this.#owner?.check();
        this.#opened = await writeList(this.#place, after, tag);
      });
    this.#changing = changed;
    return changed;
  }

  /** Writes what was read to files and commits it. */
  async flush(): Promise<void> {
    try {
      await this.#flush();
    } catch (error) {
      // What was taken out of the lanes is read again after the last commit.
      this.#session.abort(error);
      throw error;
    }
  }

  #flush(): Promise<void> {
    return this.#change(async (list) => {
      const groups = new Map<string, ArchivedEvent[]>();
      const partitions = { ...list.partitions };
      let events = 0;
      for (const lane of this.#lanes.values()) {
        const { partition, position, generation, last, first } = lane;
        if (position === undefined) continue;
        for (const event of lane.events) {
          const group = `${event.eventType}\u0000${dateOf(event.eventTimeMs)}\u0000${partition}\u0000${event.generation}`;
          const held = groups.get(group);
          if (held === undefined) groups.set(group, [event]);
          else held.push(event);
        }
        events += lane.events.length;
        lane.events = [];
        partitions[partition] = {
          ...{ position, generation, last: String(last) },
          ...(first === undefined ? {} : { first }),
        };
      }
      this.#bytes = 0;
      const isAsBefore = Object.entries(partitions).every(
        ([partition, { position }]) => list.partitions[partition]?.position === position,
      );
      if (events === 0 && isAsBefore) return list;
      const files: ArchivedFile[] = [];
      for (const group of groups.values()) {
        const [first] = group as [ArchivedEvent];
        const of = { ...first, date: dateOf(first.eventTimeMs), revision: 0 };
        files.push(await writeEvents(this.#place, of, group));
      }
      this.#events.inc(events);
      return { ...list, files: [...list.files, ...files], partitions };
    });
  }

  /**
   * Resolves when everything that the topic held when this was called is in files.
   *
   * @throws when it does not come about in time: {@link messageOf} says what the archive fails with
   */
  async catchUp(withinMs: number): Promise<void> {
    const endMs = Date.now() + withinMs;
    for (;;) {
      const lanes = [...this.#lanes.values()];
      // A poll that began after the call has returned nothing more, or has seen the end.
      await sleep(2 * POLL.maxWaitMs);
      if (lanes.length > 0 && lanes.every(({ reader }) => reader.lagRecords() === 0n)) break;
      if (Date.now() > endMs) throw new Error(`the archive did not read the topic to its end within ${withinMs} ms`);
    }
    await this.flush();
  }

  /** Removes the events about an entity from all files, by rewriting those that hold some; with `dryRun` only counts them. */
  async eraseEntity(mention: EntityMention, dryRun: boolean): Promise<ErasedEvents> {
    const matches = ({ payload }: ArchivedEvent): boolean => isInText(payload, mention);
    if (!dryRun) await this.flush();
    let erased = 0;
    let removed: readonly string[] = [];
    await this.#change(async (list) => {
      const change = await eraseEvents(this.#place, list, matches, dryRun);
      erased = change.erased;
      removed = change.removed;
      return removed.length === 0 ? list : { ...list, files: [...change.files] };
    });
    for (const file of removed) await this.#place.remove(file);
    return { events: erased };
  }

  async drain(): Promise<void> {
    try {
      await this.flush();
    } catch (error) {
      // What is not in files is read again at the next start.
      this.#log.warn({ error: messageOf(error) }, 'archive.not_flushed');
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#session.abort();
    await this.#running.catch(() => {});
    await this.#changing.catch(() => {});
    await this.#owner?.release();
    this.#owner = undefined;
  }
}
