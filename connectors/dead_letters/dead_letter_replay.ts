import { randomUUID } from 'node:crypto';
import { messageOf } from '#kernel/errors';
import type { Broker, LogRecord, OutgoingRecord, Position, SourcePartition } from '../connector.ts';
import {
  ATTEMPTS_HEADER,
  type DeadLetter,
  fileOf,
  KNOWN_AT_HEADER,
  type LetterFilter,
  type LetterOrigin,
  originHeaders,
  passes,
  REPLAY_HEADER,
} from '../dead_letter.ts';
import { UnreadableFileError } from '../errors.ts';
import { isRefusal } from '../failure_class.ts';
import { readWhole } from '../files/file_system.ts';
import type { FileSystemOf } from '../files/file_systems.ts';

const NO_ORIGIN: LetterOrigin = { topic: '', partition: '', offset: '' };

/** Writes a letter's payload to the sink that refused it. @throws an error that `isRefusal` accepts when it refuses it again */
export type SinkReplay = (payload: string) => Promise<void>;

export interface ReplayCounts {
  readonly replayed: number;
  /** Filtered out. */
  readonly passed: number;
  /** Refused as often as {@link ReplayOptions.maxAttempts} allows: not sent again. */
  readonly exhausted: number;
  /** Cut payloads, batches, letters of sinks that are not known, and records that are no dead letters. */
  readonly unusable: number;
}

export interface ReplayOptions {
  readonly filter?: LetterFilter;
  /** Only counts. */
  readonly dryRun?: boolean;
  /** A letter that was refused so often is not sent again. */
  readonly maxAttempts?: number;
  /** By stage: sinks that take their letters themselves. */
  readonly sinks?: ReadonlyMap<string, SinkReplay>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (counts: ReplayCounts) => void;
}

export const DEFAULT_MAX_ATTEMPTS = 5;
/** Stages that write to a store or to a topic of their own; their payloads are what was to be written, no events. */
const SINK = /^(sink|prediction_log|serving)\./;
const MOST_AT_ONCE = 500;
const WAIT_MS = 300;

interface Queue {
  readonly broker: Broker;
  readonly topic: string;
  readonly group: string;
  /** For payloads in files; undefined: those cannot be replayed. */
  readonly fileSystems: FileSystemOf | undefined;
}

interface OpenPartition {
  readonly partition: string;
  readonly reader: SourcePartition;
  /** Where it ended when the replay began; undefined where records are not numbered. */
  readonly end: bigint | undefined;
  /** Records before {@link end}, gaps counted. */
  readonly left: bigint;
}

interface Counts {
  replayed: number;
  passed: number;
  exhausted: number;
  unusable: number;
}

/** A letter's record, and what it comes to. */
interface Judged {
  readonly record: LogRecord;
  readonly letter: DeadLetter | undefined;
  /** Whole, also when the letter has only its beginning; '' when it is not replayed. */
  readonly payload: string;
  readonly fate: keyof Counts;
}

/** See DeadLetterQueue.replay. */
export async function replayLetters(queue: Queue, toTopic: string, options: ReplayOptions): Promise<ReplayCounts> {
  const { broker, topic, group } = queue;
  const { filter = {}, dryRun = false, signal = new AbortController().signal } = options;
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  const from = isFiltered ? new Map<string, Position>() : await broker.committed(group, topic);
  const replay = new Replay(queue, toTopic, { ...options, keepsProgress: !dryRun && !isFiltered });
  const open = (partition: string): Promise<SourcePartition> => {
    const position = from.get(partition);
    return broker.openPartition(
      topic,
      partition,
      position === undefined ? { startAt: 'earliest' } : { resumeAfter: position },
    );
  };
  const waiting: OpenPartition[] = [];
  try {
    // All of them before anything is sent: where they end now is where the replay ends.
    for (const partition of await broker.listPartitions(topic)) {
      const reader = await open(partition);
      waiting.push({ partition, reader, end: reader.endOffset?.(), left: reader.lagRecords() });
    }
    for (let next = waiting[0]; next !== undefined && !signal.aborted; next = waiting[0]) {
      const successors = await replay.partition(next, signal);
      await next.reader.close();
      waiting.shift();
      for (const partition of successors) {
        waiting.push({ partition, reader: await open(partition), end: undefined, left: 0n });
      }
    }
  } finally {
    for (const { reader } of waiting) await reader.close();
  }
  return replay.counts;
}

class Replay {
  readonly counts: Counts = { replayed: 0, passed: 0, exhausted: 0, unusable: 0 };
  /** Marks what this replay sends: what is refused again meanwhile is not replayed by it again. */
  readonly #id = randomUUID();
  readonly #beganMs = Date.now();
  readonly #queue: Queue;
  readonly #toTopic: string;
  readonly #options: ReplayOptions & { readonly keepsProgress: boolean };

  constructor(queue: Queue, toTopic: string, options: ReplayOptions & { readonly keepsProgress: boolean }) {
    this.#queue = queue;
    this.#toTopic = toTopic;
    this.#options = options;
  }

  /** @returns partitions that take over from this one */
  async partition(
    { partition, reader, end, left: atFirst }: OpenPartition,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    let left = end === undefined ? undefined : atFirst;
    while (left === undefined || left > 0n) {
      const { records, position, isOver } = await this.#next(reader, left, signal);
      if (records.length > 0) await this.#take(partition, reader, records, position);
      const last = records[records.length - 1];
      if (end !== undefined && last !== undefined) left = end - last.offset - 1n;
      const successors = reader.successors?.();
      if (successors !== undefined) return successors;
      if (isOver || signal.aborted || (records.length === 0 && reader.lagRecords() === 0n)) break;
    }
    return [];
  }

  /** Records up to what was there when the replay began, and the position after them. */
  async #next(
    reader: SourcePartition,
    left: bigint | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly records: readonly LogRecord[]; readonly position: Position; readonly isOver: boolean }> {
    if (left !== undefined) {
      const maxRecords = Number(left < BigInt(MOST_AT_ONCE) ? left : BigInt(MOST_AT_ONCE));
      const records = await reader.poll({ maxRecords, maxWaitMs: WAIT_MS, signal });
      return { records, position: reader.position(), isOver: false };
    }
    // Without numbers it is their times that tell, record by record: a position must not cover one that came later.
    const records: LogRecord[] = [];
    let position = reader.position();
    while (records.length < MOST_AT_ONCE) {
      const [record] = await reader.poll({ maxRecords: 1, maxWaitMs: records.length === 0 ? WAIT_MS : 0, signal });
      if (record === undefined) break;
      if (record.timestampMs > this.#beganMs) {
        // Where records are acknowledged one by one, older ones may follow.
        if (reader.acknowledge === undefined) return { records, position, isOver: true };
        continue;
      }
      records.push(record);
      position = reader.position();
    }
    return { records, position, isOver: false };
  }

  async #take(
    partition: string,
    reader: SourcePartition,
    records: readonly LogRecord[],
    position: Position,
  ): Promise<void> {
    const judged: Judged[] = [];
    // One after the other: each may be a large file.
    for (const record of records) judged.push(await this.#judge(record));
    const { dryRun = false, keepsProgress, onProgress } = this.#options;
    if (!dryRun) await this.#send(judged);
    for (const { fate } of judged) this.counts[fate] += 1;
    if (reader.acknowledge !== undefined && !dryRun) {
      // What is acknowledged is gone: letters that were not sent stay.
      await reader.acknowledge(judged.filter(({ fate }) => fate === 'replayed').map(({ record }) => record));
    } else if (keepsProgress) {
      await this.#queue.broker.commit(this.#queue.group, this.#queue.topic, new Map([[partition, position]]));
    }
    onProgress?.({ ...this.counts });
  }

  async #judge(record: LogRecord): Promise<Judged> {
    const { letter } = fileOf(record);
    const fate = this.#fateOf(letter);
    if (fate !== 'replayed' || letter === undefined) return { record, letter, payload: '', fate };
    const payload = await this.#wholePayload(letter);
    return payload === undefined
      ? { record, letter, payload: '', fate: 'unusable' }
      : { record, letter, payload, fate };
  }

  /** Undefined when only the beginning was kept, or the file is gone. */
  async #wholePayload({ payload, isCut, payloadAt: path }: DeadLetter): Promise<string | undefined> {
    if (isCut !== true) return payload;
    const { fileSystems } = this.#queue;
    if (path === undefined || fileSystems === undefined) return undefined;
    try {
      return (await readWhole(fileSystems(path), path)).toString('utf8');
    } catch (error) {
      if (error instanceof UnreadableFileError) return undefined;
      throw error;
    }
  }

  #fateOf(letter: DeadLetter | undefined): keyof Counts {
    const { filter = {}, maxAttempts = DEFAULT_MAX_ATTEMPTS, sinks } = this.#options;
    if (letter === undefined || letter.isBatch === true) return 'unusable';
    if (!passes(letter, filter) || this.#isOwn(letter)) return 'passed';
    if (letter.isCut === true && letter.payloadAt === undefined) return 'unusable';
    if (SINK.test(letter.stage) && sinks?.has(letter.stage) !== true) return 'unusable';
    return letter.attempt >= maxAttempts ? 'exhausted' : 'replayed';
  }

  #isOwn({ origin }: DeadLetter): boolean {
    if (origin === undefined) return false;
    return originHeaders(origin).some(([name, value]) => name === REPLAY_HEADER && value?.toString() === this.#id);
  }

  async #send(judged: readonly Judged[]): Promise<void> {
    const byTopic = new Map<string, OutgoingRecord[]>();
    for (const { letter, payload, fate } of judged) {
      if (fate !== 'replayed' || letter === undefined) continue;
      const sink = this.#options.sinks?.get(letter.stage);
      if (sink !== undefined) {
        await this.#toSink(letter, payload, sink);
        continue;
      }
      const topic = this.#topicOf(letter);
      const records = byTopic.get(topic) ?? [];
      records.push(this.#recordOf(letter, payload));
      byTopic.set(topic, records);
    }
    for (const [topic, records] of byTopic) await this.#queue.broker.producer.send(topic, records);
  }

  #topicOf({ origin }: DeadLetter): string {
    return origin === undefined || origin.topic === this.#queue.topic ? this.#toTopic : origin.topic;
  }

  async #toSink(letter: DeadLetter, payload: string, sink: SinkReplay): Promise<void> {
    try {
      await sink(payload);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const again: DeadLetter = {
        ...letter,
        reason: messageOf(error),
        attempt: letter.attempt + 1,
        timestamp: new Date().toISOString(),
      };
      await this.#queue.broker.producer.send(this.#queue.topic, [{ value: JSON.stringify(again) }]);
    }
  }

  #recordOf({ encoding, origin, attempt, timestamp }: DeadLetter, payload: string): OutgoingRecord {
    const value = encoding === 'base64' ? Buffer.from(payload, 'base64') : payload;
    const before = originHeaders(origin ?? NO_ORIGIN).find(([name]) => name === KNOWN_AT_HEADER)?.[1];
    const own = {
      ...{ [ATTEMPTS_HEADER]: String(attempt), [REPLAY_HEADER]: this.#id },
      [KNOWN_AT_HEADER]: before?.toString() ?? String(Date.parse(timestamp)),
    };
    const { hasHeaders } = this.#queue.broker;
    if (origin === undefined) {
      const key = keyOf(payload);
      return { ...(key === undefined ? {} : { key }), value, ...(hasHeaders ? { headers: own } : {}) };
    }
    const kept = originHeaders(origin).filter(([name]) => !(name in own));
    const added = Object.entries(own).map(([name, text]) => [name, Buffer.from(text)] as const);
    const { key, keyEncoding } = origin;
    return {
      ...(key === undefined ? {} : keyEncoding === 'base64' ? { keyBytes: Buffer.from(key, 'base64') } : { key }),
      value,
      ...(hasHeaders ? headersAs([...kept, ...added]) : {}),
    };
  }
}

/** As an object, where that loses nothing: some brokers keep no others. */
function headersAs(
  list: readonly (readonly [string, Buffer | null])[],
): Pick<OutgoingRecord, 'headers' | 'headerList'> {
  const names = new Set(list.map(([name]) => name));
  const isPlain =
    names.size === list.length &&
    list.every(([, value]) => value !== null && Buffer.from(value.toString()).equals(value));
  if (!isPlain) return { headerList: list };
  return { headers: Object.fromEntries(list.map(([name, value]) => [name, value?.toString() ?? ''])) };
}

/** The key that the gateway would have given it: its user's, so that the user's events stay together. */
function keyOf(payload: string): string | undefined {
  try {
    const { user_id: user, event_id: event } = JSON.parse(payload) as Record<string, unknown>;
    return typeof user === 'string' ? user : typeof event === 'string' ? event : undefined;
  } catch {
    return undefined;
  }
}
