import { isUtf8 } from 'node:buffer';
import type { Header, LogRecord } from './connector.ts';

/** A record that could not be used, with everything needed to look at it and to replay it: the value of a record of the dead-letter topic. */
export interface DeadLetter {
  /** The record as it came, whole unless {@link isCut}. */
  readonly payload: string;
  /** How the payload is written, when it is not UTF-8. */
  readonly encoding?: 'base64';
  /** The payload is a whole batch of the broker that cannot be read: it cannot be replayed as a record. */
  readonly isBatch?: boolean;
  /** Where the record lay; absent when it came from no topic. */
  readonly origin?: LetterOrigin;
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

/** The record that a letter was written about, as far as a replay must give it back. */
export interface LetterOrigin {
  readonly topic: string;
  readonly partition: string;
  readonly offset: string;
  /** UTF-8, or base64 with {@link keyEncoding}; absent when the record had none. */
  readonly key?: string;
  readonly keyEncoding?: 'base64';
  /** Names with values in base64; null where there was none. */
  readonly headers?: readonly (readonly [name: string, value: string | null])[];
}

/** Header of a replayed record: how often it was refused before. */
export const ATTEMPTS_HEADER = 'headwater-attempts';
/** Header of a replayed record: which replay has sent it. */
export const REPLAY_HEADER = 'headwater-replay';

/** Header of a replayed record: when it was refused the first time, as far as its letter has it, ms. It was known by then, and not only since the replay. */
export const KNOWN_AT_HEADER = 'headwater-known-at';

/** When a replayed record was known; undefined for others. */
export function knownBefore({ headers }: Pick<LogRecord, 'headers'>): number | undefined {
  const knownAtMs = Number(headers[KNOWN_AT_HEADER] ?? Number.NaN);
  return Number.isFinite(knownAtMs) ? knownAtMs : undefined;
}

/** How often a record was refused before, by its header. */
export function earlierAttempts({ headers }: Pick<LogRecord, 'headers'>): number {
  const attempts = Number(headers[ATTEMPTS_HEADER] ?? 0);
  return Number.isInteger(attempts) && attempts > 0 ? attempts : 0;
}

/** Bytes as a letter holds them: as they read, when they are UTF-8. */
export function payloadOf(bytes: Buffer): Pick<DeadLetter, 'payload' | 'encoding'> {
  if (isUtf8(bytes)) return { payload: bytes.toString('utf8') };
  return { payload: bytes.toString('base64'), encoding: 'base64' };
}

/** Returns where a record lies, and its key and headers: what each event carries along, in case that it is refused. */
export function originOf(topic: string, record: LogRecord): LetterOrigin {
  const { partition, offset, key, keyBytes } = record;
  const origin: Writable<LetterOrigin> = { topic, partition, offset: String(offset) };
  if (keyBytes !== undefined) Object.assign(origin, keyOfLetter(keyBytes));
  else if (key !== undefined) origin.key = key;
  const headers = lettersHeaders(record);
  if (headers.length > 0) origin.headers = headers;
  return origin;
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

function lettersHeaders({ headers, headerList }: LogRecord): [string, string | null][] {
  const kept: [string, string | null][] = [];
  if (headerList !== undefined) {
    for (const [name, value] of headerList)
      if (name !== ATTEMPTS_HEADER) kept.push([name, value?.toString('base64') ?? null]);
    return kept;
  }
  for (const name in headers)
    if (name !== ATTEMPTS_HEADER) kept.push([name, Buffer.from(headers[name] as string, 'utf8').toString('base64')]);
  return kept;
}

function keyOfLetter(key: Buffer): Pick<LetterOrigin, 'key' | 'keyEncoding'> {
  const { payload, encoding } = payloadOf(key);
  return { key: payload, ...(encoding === undefined ? {} : { keyEncoding: encoding }) };
}

/** The headers of a letter's record, as they were. */
export const originHeaders = ({ headers = [] }: LetterOrigin): Header[] =>
  headers.map(([name, value]) => [name, value === null ? null : Buffer.from(value, 'base64')]);

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

export function fileOf({ partition, offset, value }: LogRecord): FiledLetter {
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

export function passes(letter: DeadLetter | undefined, { stage, reason, sinceMs }: LetterFilter): boolean {
  if (letter === undefined) return stage === undefined && reason === undefined && sinceMs === undefined;
  if (stage !== undefined && letter.stage !== stage) return false;
  if (reason !== undefined && !letter.reason.includes(reason)) return false;
  return sinceMs === undefined || Date.parse(letter.timestamp) >= sinceMs;
}
