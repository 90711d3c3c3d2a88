import type { Broker, LogRecord, OutgoingRecord, Position } from './connector.ts';
import { UnreadableFileError } from './errors.ts';
import { readWhole } from './files/file_system.ts';
import type { FileSystemOf } from './files/file_systems.ts';

/** A record that could not be used, with everything needed to look at it and to replay it: the value of a record of the dead-letter topic. */
export interface DeadLetter {
  /** The record as it came, whole unless {@link isCut}. */
  readonly payload: string;
  readonly reason: string;
  /** Which part refused it. */
  readonly stage: string;
  /** How often it has been refused, this time included. */
  readonly attempt: number;
  /** ISO 8601. */
  readonly timestamp: string;
  /** The payload is only the beginning: it cannot be replayed, unless {@link payloadAt} has all of it. */
  readonly isCut?: boolean;
  /** The file that holds the whole payload, where it was too large for the topic. */
  readonly payloadAt?: string;
}

/** Header of a replayed record: how often it was refused before. */
export const ATTEMPTS_HEADER = 'headwater-attempts';

/** How often a record was refused before, by its header. */
export function earlierAttempts({ headers }: LogRecord): number {
  const attempts = Number(headers[ATTEMPTS_HEADER] ?? 0);
  return Number.isInteger(attempts) && attempts > 0 ? attempts : 0;
}

/** A letter where it lies. */
export interface FiledLetter {
  readonly partition: string;
  readonly offset: bigint;
  /** Undefined when the record is no dead letter at all. */
  readonly letter: DeadLetter | undefined;
  readonly raw: string;
}

export interface LetterFilter {
  readonly stage?: string | undefined;
  /** Somewhere in the reason. */
  readonly reason?: string | undefined;
  /** Refused at this time or later, ms. */
  readonly sinceMs?: number | undefined;
}

export interface ReplayCounts {
  readonly replayed: number;
  /** Filtered out. */
  readonly passed: number;
  /** Cut payloads, and records that are no dead letters. */
  readonly unusable: number;
}

export interface ReplayOptions {
  readonly filter?: LetterFilter;
  /** Only counts. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (counts: ReplayCounts) => void;
}

export interface LetterSummary {
  readonly total: number;
  /** By stage ('' for records that are no letters) and reason, the largest first. */
  readonly groups: readonly LetterGroup[];
  /** At most so many as were asked for, in their order. */
  readonly newest: readonly FiledLetter[];
}

export interface LetterGroup {
  readonly stage: string;
  /** Without what differs from letter to letter: numbers and times. */
  readonly reason: string;
  readonly count: number;
  /** ISO 8601. */
  readonly newest: string;
}

/** Consumer group whose offsets say which letters were replayed. */
export const DEAD_LETTER_REPLAY_GROUP = 'headwater-dlq-replay';
const POLL = { maxRecords: 500, maxWaitMs: 300 };

/** The dead-letter topic, for people who look after it. */
export class DeadLetterQueue {
  readonly #broker: Broker;
  readonly #topic: string;
  readonly #group: string;
  readonly #fileSystems: FileSystemOf | undefined;

  /** @param fileSystems - for payloads in files; undefined: those cannot be replayed */
  constructor(
    broker: Broker,
    topic: string,
    {
      group = DEAD_LETTER_REPLAY_GROUP,
      fileSystems,
    }: { readonly group?: string; readonly fileSystems?: FileSystemOf } = {},
  ) {
    this.#group = group;
    this.#broker = broker;
    this.#topic = topic;
    this.#fileSystems = fileSystems;
  }

  /** The letter with its payload whole; undefined when only its beginning was kept, or the file is gone. */
  async #whole(letter: DeadLetter): Promise<DeadLetter | undefined> {
    if (letter.isCut !== true) return letter;
    const { payloadAt: path } = letter;
    if (path === undefined || this.#fileSystems === undefined) return undefined;
    try {
      return { ...letter, payload: (await readWhole(this.#fileSystems(path), path)).toString('utf8') };
    } catch (error) {
      if (error instanceof UnreadableFileError) return undefined;
      throw error;
    }
  }

  /** Letters from the earliest on that pass the filter. */
  async *list(filter: LetterFilter = {}, signal = new AbortController().signal): AsyncGenerator<FiledLetter> {
    for await (const { filed } of this.#read(new Map(), signal)) {
      for (const one of filed) if (passes(one.letter, filter)) yield one;
    }
  }

  /** How many letters pass a filter, by what is wrong with them, and the newest `limit` of them. */
  async summarise(filter: LetterFilter, limit: number): Promise<LetterSummary> {
    const groups = new Map<string, { stage: string; reason: string; count: number; newest: string }>();
    const newest: FiledLetter[] = [];
    let total = 0;
    for await (const filed of this.list(filter)) {
      total += 1;
      newest.push(filed);
      if (newest.length > limit) newest.shift();
      const stage = filed.letter?.stage ?? '';
      const reason = generalised(filed.letter?.reason ?? '');
      const group = groups.get(`${stage} ${reason}`) ?? { stage, reason, count: 0, newest: '' };
      group.count += 1;
      group.newest = filed.letter?.timestamp ?? '';
      groups.set(`${stage} ${reason}`, group);
    }
    return { total, groups: [...groups.values()].sort((a, b) => b.count - a.count), newest };
  }

  /**
   * Sends payloads to `toTopic` again, in their order. Without a filter each letter is replayed once: what was replayed is committed for a group,
   * where the broker keeps that. With one, all that pass are sent; whoever reads drops event ids that it knows.
   */
  async replay(toTopic: string, options: ReplayOptions = {}): Promise<ReplayCounts> {
    const { filter = {}, dryRun = false, signal = new AbortController().signal, onProgress } = options;
    const isFiltered = Object.values(filter).some((value) => value !== undefined);
    const from = isFiltered ? new Map() : await this.#broker.committed(this.#group, this.#topic);
    const counts = { replayed: 0, passed: 0, unusable: 0 };
    for await (const { partition, filed, position } of this.#read(from, signal)) {
      const records: OutgoingRecord[] = [];
      for (const { letter } of filed) {
        if (letter !== undefined && !passes(letter, filter)) {
          counts.passed += 1;
          continue;
        }
        const whole = letter === undefined ? undefined : await this.#whole(letter);
        if (whole === undefined) counts.unusable += 1;
        else records.push(recordOf(whole, this.#broker.hasHeaders));
      }
      if (!dryRun) {
        if (records.length > 0) await this.#broker.producer.send(toTopic, records);
        if (!isFiltered) await this.#broker.commit(this.#group, this.#topic, new Map([[partition, position]]));
      }
      counts.replayed += records.length;
      onProgress?.(counts);
    }
    return counts;
  }

  /** What lies there now, a poll at a time. */
  async *#read(from: ReadonlyMap<string, Position>, signal: AbortSignal) {
    const waiting = [...(await this.#broker.listPartitions(this.#topic))];
    for (let partition = waiting.shift(); partition !== undefined; partition = waiting.shift()) {
      const position = from.get(partition);
      const start = position === undefined ? ({ startAt: 'earliest' } as const) : { resumeAfter: position };
      const reader = await this.#broker.openPartition(this.#topic, partition, start);
      try {
        for (;;) {
          const records = await reader.poll({ ...POLL, signal });
          if (records.length > 0) yield { partition, filed: records.map(fileOf), position: reader.position() };
          const successors = reader.successors?.();
          waiting.push(...(successors ?? []));
          if (successors !== undefined || (records.length === 0 && reader.lagRecords() === 0n)) break;
        }
      } finally {
        await reader.close();
      }
    }
  }
}

/** Where a letter lies, as commands and the console name it. */
export const placeOf = ({ partition, offset }: FiledLetter): string => `${partition}/${offset}`;

/** A reason without what differs from letter to letter, so that like ones are counted together. */
const generalised = (reason: string): string => reason.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '…').replace(/\d+/g, 'N');

function fileOf({ partition, offset, value }: LogRecord): FiledLetter {
  const raw = value.toString('utf8');
  return { partition, offset, letter: parseLetter(raw), raw };
}

function parseLetter(raw: string): DeadLetter | undefined {
  try {
    const letter = JSON.parse(raw) as Partial<DeadLetter> | null;
    return typeof letter?.payload === 'string' && typeof letter.stage === 'string' ? (letter as DeadLetter) : undefined;
  } catch {
    return undefined;
  }
}

function passes(letter: DeadLetter | undefined, { stage, reason, sinceMs }: LetterFilter): boolean {
  if (letter === undefined) return stage === undefined && reason === undefined && sinceMs === undefined;
  if (stage !== undefined && letter.stage !== stage) return false;
  if (reason !== undefined && !letter.reason.includes(reason)) return false;
  return sinceMs === undefined || Date.parse(letter.timestamp) >= sinceMs;
}

function recordOf({ payload, attempt }: DeadLetter, hasHeaders: boolean): OutgoingRecord {
  const key = keyOf(payload);
  return {
    ...(key === undefined ? {} : { key }),
    value: payload,
    ...(hasHeaders ? { headers: { [ATTEMPTS_HEADER]: String(attempt) } } : {}),
  };
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
