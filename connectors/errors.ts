import { messageOf, PlatformError } from '#kernel/errors';
import type { FailureClass } from './failure_class.ts';

/** The broker has no such topic. */
export class UnknownTopicError extends PlatformError {
  readonly code = 'CONNECTOR_UNKNOWN_TOPIC';
  readonly failure: FailureClass = 'target';

  constructor(broker: string, topic: string, partition?: string) {
    super(
      `${broker} has no topic ${topic}${partition === undefined ? '' : ` with partition ${partition}`}: create it first (headwater start does)`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** The broker, store or server did not answer as it should; trying again may help. */
export class ConnectionError extends PlatformError {
  readonly code = 'CONNECTOR_UNAVAILABLE';

  constructor(what: string, cause: unknown) {
    super(`${what} is not available: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fault: 'dependency',
      retryable: true,
      cause,
    });
  }
}

/** The records at a position are gone, or were never there. */
export class OffsetOutOfRangeError extends PlatformError {
  readonly code = 'CONNECTOR_OFFSET_OUT_OF_RANGE';
  readonly topic: string;
  readonly partition: string;
  readonly offset: bigint;
  /** What the partition holds, where that is known. */
  readonly held: HeldOffsets | undefined;

  constructor(topic: string, partition: string, offset: bigint, held?: HeldOffsets, cause?: unknown) {
    const now = held === undefined ? '' : `; it holds ${held.earliest} up to ${held.latest}`;
    super(
      `topic ${topic}[${partition}] does not hold offset ${offset}${now}: retention has passed the reader, or the log was cut. Set pipeline.offsetOutOfRange to earliest or latest to continue, back-fill from history, or start from a fresh snapshot directory`,
      { fault: 'dependency', retryable: false, cause },
    );
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.held = held;
  }
}

/** Offsets of a partition: the first that it holds, and the one that its next record gets. */
export interface HeldOffsets {
  readonly earliest: bigint;
  readonly latest: bigint;
}

/** A record that the broker can never take: sending it again does not help. */
export class RecordRefusedError extends PlatformError {
  readonly code = 'CONNECTOR_RECORD_REFUSED';

  constructor(broker: string, topic: string, key: string | undefined, problem: string) {
    super(
      `${broker} cannot take the record${key === undefined ? '' : ` with key ${JSON.stringify(key.slice(0, 100))}`} for ${topic}: ${problem}`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** A record that is larger than its topic takes, alone: key and headers count. */
export class RecordTooLargeError extends PlatformError {
  readonly code = 'CONNECTOR_RECORD_TOO_LARGE';
  readonly httpStatus = 413;
  readonly failure: FailureClass = 'record';
  readonly sizeBytes: number;
  /** Undefined where the broker does not name its limit. */
  readonly maxBytes: number | undefined;

  constructor(
    broker: string,
    topic: string,
    key: string | undefined,
    size: { readonly sizeBytes: number; readonly maxBytes: number | undefined },
  ) {
    const named = key === undefined ? '' : ` with key ${JSON.stringify(key.slice(0, 100))}`;
    super(
      `${broker} cannot take the record${named} for ${topic}: it has ${size.sizeBytes} bytes with key and headers, ${size.maxBytes === undefined ? 'more than the topic takes' : `and the most is ${size.maxBytes}`}. Send less in it, or raise the limit`,
      { fault: 'caller', retryable: false },
    );
    this.sizeBytes = size.sizeBytes;
    this.maxBytes = size.maxBytes;
  }
}

/** A send of which the broker took some records and refused others, each for its own reason. */
export class RecordsRefusedError extends PlatformError {
  readonly code = 'CONNECTOR_RECORDS_REFUSED';
  readonly failure: FailureClass = 'record';
  /** By position in what was sent; all others are written. */
  readonly refused: ReadonlyMap<number, Error>;

  constructor(topic: string, sent: number, refused: ReadonlyMap<number, Error>) {
    const [first] = refused.values();
    super(
      `${refused.size} of ${sent} records for ${topic} were refused, the others are written: ${first?.message ?? ''}`,
      {
        fault: 'caller',
        retryable: false,
      },
    );
    this.refused = refused;
  }
}

/**
 * Returns the error of a send of which some records were refused: the record's own when it was sent alone, {@link RecordsRefusedError} otherwise.
 *
 * @param refused - by position in what was sent; not empty
 */
export function refusalOf(topic: string, sent: number, refused: ReadonlyMap<number, Error>): Error {
  const [first] = refused.values();
  return sent === 1 && first !== undefined ? first : new RecordsRefusedError(topic, sent, refused);
}

/** A file that does not exist, may not be read, or is not what its name says. */
export class UnreadableFileError extends PlatformError {
  readonly code = 'CONNECTOR_UNREADABLE_FILE';

  constructor(path: string, problem: string, cause?: unknown) {
    super(`${path} cannot be read: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}

/** A table of a lake needs an extension of DuckDB that is not installed, or is of another version. */
export class MissingExtensionError extends PlatformError {
  readonly code = 'CONNECTOR_MISSING_EXTENSION';

  constructor(table: string, extension: string, version: string, folder: string | undefined, cause: unknown) {
    const where = folder === undefined ? 'DUCKDB_EXTENSIONS is not set' : `DUCKDB_EXTENSIONS is ${folder}`;
    const release = version.replace(/^v/, '');
    super(
      `${table} needs DuckDB's extension ${extension} for ${version}, and ${where}: run "pip install --no-deps --target FOLDER duckdb-extension-${extension}==${release}" and set DUCKDB_EXTENSIONS=FOLDER (${messageOf(cause).split('\n', 1)[0]})`,
      { fault: 'caller', retryable: false, cause },
    );
  }
}

/** Where something is to be written is not as it must be; an operator can correct it while records wait. */
export class TargetError extends PlatformError {
  readonly code = 'CONNECTOR_TARGET';
  readonly failure: FailureClass = 'target';

  constructor(target: string, cause: unknown) {
    super(`${target} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fault: 'caller',
      retryable: true,
      cause,
    });
  }
}

/** A table, a column or a key of a read does not fit, or a value cannot be taken exactly. */
export class TableUnreadableError extends PlatformError {
  readonly code = 'CONNECTOR_TABLE_UNREADABLE';

  constructor(table: string, problem: string, cause?: unknown) {
    super(`PostgreSQL table ${table} cannot be read: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}

/** What was handed to a trigger is no event of a stream, a table or a bucket. */
export class InvalidStreamEventError extends PlatformError {
  readonly code = 'CONNECTOR_INVALID_STREAM_EVENT';

  constructor(problem: string) {
    super(`the event of the trigger cannot be read: ${problem}`, { fault: 'caller', retryable: false });
  }
}
