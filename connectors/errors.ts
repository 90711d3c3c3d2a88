import { PlatformError } from '#kernel/errors';

export class UnknownTopicError extends PlatformError {
  readonly code = 'CONNECTOR_UNKNOWN_TOPIC';

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

export class LogLockedError extends PlatformError {
  readonly code = 'CONNECTOR_LOG_LOCKED';

  constructor(directory: string, pid: number) {
    super(
      `the log in ${directory} is open in process ${pid}: one process at a time may use it. Stop that one, or set DATA_DIRECTORY to another folder`,
      { fault: 'caller', retryable: false },
    );
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
      `topic ${topic}[${partition}] does not hold offset ${offset}${now}: retention has passed the reader, or the log was cut. Set pipeline.offsetOutOfRange to earliest or latest to go on, back-fill from history, or start from a fresh snapshot directory`,
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

/** A file that is not there, may not be read, or is not what its name says. */
export class UnreadableFileError extends PlatformError {
  readonly code = 'CONNECTOR_UNREADABLE_FILE';

  constructor(path: string, problem: string, cause?: unknown) {
    super(`${path} cannot be read: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}

/** Where something is to be written is not as it must be; somebody can put that right while records wait. */
export class TargetError extends PlatformError {
  readonly code = 'CONNECTOR_TARGET';

  constructor(target: string, cause: unknown) {
    super(`${target} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fault: 'caller',
      retryable: true,
      cause,
    });
  }
}
