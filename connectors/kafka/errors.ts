import { messageOf, PlatformError } from '#kernel/errors';
import { ConnectionError, OffsetOutOfRangeError, RecordRefusedError, UnknownTopicError } from '../errors.ts';
import type { FailureClass } from '../failure_class.ts';
import { KAFKA_ERRORS, type KafkaErrorKind } from './error_codes.ts';

export interface KafkaErrorCode {
  readonly code: number;
  readonly name: string;
  readonly kind: KafkaErrorKind;
  readonly message: string;
}

const BY_CODE = new Map<number, KafkaErrorCode>(
  KAFKA_ERRORS.map(([code, name, kind, message]) => [code, { code, name, kind, message }]),
);

/** A code of a newer Kafka: what it means for the request cannot be known. */
const unknownCode = (code: number): KafkaErrorCode => ({
  code,
  name: `CODE_${code}`,
  kind: 'unavailable',
  message: `This version does not know the error code ${code}`,
});

export const kafkaErrorOf = (code: number): KafkaErrorCode => BY_CODE.get(code) ?? unknownCode(code);

/** Kafka answered, and refused the request: it is available. */
export class KafkaRefusedError extends PlatformError {
  readonly code = 'CONNECTOR_KAFKA_REFUSED';
  /** An operator can correct the cluster or the configuration while records wait; none of them is at fault. */
  readonly failure: FailureClass;

  constructor(topic: string | undefined, { code, name, kind, message }: KafkaErrorCode, cause?: unknown) {
    const about = topic === undefined ? 'a request' : `a request about topic ${topic}`;
    const advice = kind === 'access' ? ': grant the right, or correct the credentials' : '';
    super(`Kafka refused ${about} with ${name} (${code}): ${message}${advice}`, {
      fault: kind === 'fenced' ? 'dependency' : 'caller',
      // Rights can be granted while records wait, and a fenced client begins anew.
      retryable: kind === 'access' || kind === 'fenced',
      cause,
    });
    this.failure = kind === 'fenced' ? 'transient' : 'target';
  }
}

/** A batch of records that cannot be read, and never will be as it is. */
export class UnreadableBatchError extends PlatformError {
  readonly code = 'CONNECTOR_UNREADABLE_BATCH';
  readonly topic: string;
  readonly partition: string;
  /** Offset of its first record. */
  readonly offset: bigint;
  /** Offset of its last record. */
  readonly lastOffset: bigint;
  readonly reason: string;
  /** The batch as the broker keeps it. */
  readonly batch: Buffer;

  constructor(
    topic: string,
    partition: string,
    unreadable: {
      readonly offset: bigint;
      readonly lastOffset: bigint;
      readonly reason: string;
      readonly batch: Buffer;
    },
  ) {
    const { offset, lastOffset, reason, batch } = unreadable;
    super(
      `the batch of topic ${topic}[${partition}] at offsets ${offset} to ${lastOffset} cannot be read: ${reason}. Set pipeline.unreadableBatches to dead_letter to set it aside, or start after it`,
      { fault: 'dependency', retryable: false },
    );
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.lastOffset = lastOffset;
    this.reason = reason;
    this.batch = batch;
  }
}

interface KafkaJsError extends Error {
  /** Name of a protocol error. */
  readonly type?: string;
  readonly code?: unknown;
  readonly originalError?: unknown;
  readonly errors?: readonly unknown[];
}

const WRAPPERS = new Set(['KafkaJSNumberOfRetriesExceeded', 'KafkaJSNonRetriableError', 'KafkaJSAggregateError']);

/** States of kafkajs that a new try, connection or lookup ends; others of its errors are mistakes of this program. */
const TRANSIENT = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
  'KafkaJSStaleTopicMetadataAssignment',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSLockTimeout',
  'KafkaJSTimeout',
  'KafkaJSPartialMessageError',
  'KafkaJSNoBrokerAvailableError',
  'DeadlineExceededError',
]);

export interface ErrorContext {
  /** `Kafka at host:port`. */
  readonly where: string;
  readonly topic?: string | undefined;
  readonly partition?: string | undefined;
  readonly offset?: bigint | undefined;
}

/** Turns what kafkajs and the protocol report into the platform's errors; what is neither is returned as it is. */
export function understood(error: unknown, context: ErrorContext): unknown {
  const root = rootOf(error);
  if (!(root instanceof Error) || (root instanceof PlatformError && !TRANSIENT.has(root.name))) return root;
  const { type, code, name } = root as KafkaJsError;
  const { where, topic, partition, offset } = context;
  if (type !== undefined && typeof code === 'number') {
    const known = kafkaErrorOf(code);
    switch (known.kind) {
      case 'retryable':
      case 'unavailable':
        return new ConnectionError(where, error);
      case 'topic':
        return topic === undefined
          ? new ConnectionError(where, error)
          : new UnknownTopicError('Kafka', topic, partition);
      case 'offset':
        return topic === undefined
          ? new KafkaRefusedError(topic, known, error)
          : new OffsetOutOfRangeError(topic, partition ?? '?', offset ?? -1n, undefined, error);
      case 'record':
        return new RecordRefusedError(
          'Kafka',
          topic ?? '(unknown topic)',
          undefined,
          `${known.name}: ${messageOf(root)}`,
        );
      default:
        return new KafkaRefusedError(topic, known, error);
    }
  }
  const isNetwork = typeof code === 'string' && /^E[A-Z]+/.test(code);
  if (isNetwork || TRANSIENT.has(name) || name.startsWith('KafkaJSSASL')) return new ConnectionError(where, error);
  return root;
}

/** kafkajs wraps what it has given up retrying. */
function rootOf(error: unknown): unknown {
  let root = error;
  for (let depth = 0; depth < 5; depth += 1) {
    const { name, originalError, errors, cause } = (root ?? {}) as KafkaJsError & { readonly cause?: unknown };
    const inner = name === 'KafkaJSAggregateError' ? errors?.[0] : (originalError ?? cause);
    if (!WRAPPERS.has(name) || inner === undefined) break;
    root = inner;
  }
  return root;
}
