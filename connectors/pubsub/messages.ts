import type { Message } from '@google-cloud/pubsub';
import type { LogRecord, OutgoingRecord } from '#connectors/connector';
import { RecordRefusedError, RecordTooLargeError } from '../errors.ts';
import { recordBytes } from '../record_size.ts';

/** Attributes of ours begin like this; the others are the record's headers. */
const OWN = 'headwater-';
const KEY = `${OWN}key`;
const EMPTY = `${OWN}empty`;
const TOMBSTONE = 'tombstone';
/** Of a publish request, and so of a message with its attributes and ordering key. */
const MOST_BYTES = 10 * 1024 * 1024;
/** What the request adds to a message that is alone in it: topic, field lengths. */
const OVERHEAD_BYTES = 1_024;
const MOST_ORDERING_KEY_BYTES = 1_024;

/** What the client publishes. */
export interface PublishedMessage {
  readonly data: Buffer;
  readonly attributes: Record<string, string>;
  readonly orderingKey?: string;
}

/** @throws {@link RecordRefusedError} or {@link RecordTooLargeError} for a record that Pub/Sub can never take */
export function toMessage(topic: string, record: OutgoingRecord, ordering: boolean): PublishedMessage {
  const { key, value, headers } = record;
  const refuse = (problem: string): never => {
    throw new RecordRefusedError('Pub/Sub', topic, key, problem);
  };
  const data = typeof value === 'string' ? Buffer.from(value, 'utf8') : (value ?? Buffer.alloc(0));
  const sizeBytes = recordBytes({ key, value: data, headers }) + OVERHEAD_BYTES;
  if (sizeBytes > MOST_BYTES) {
    throw new RecordTooLargeError('Pub/Sub', topic, key, { sizeBytes, maxBytes: MOST_BYTES });
  }
  const attributes: Record<string, string> = { ...headers };
  const reserved = Object.keys(attributes).find((name) => name.startsWith(OWN));
  if (reserved !== undefined) refuse(`header ${reserved} begins with ${OWN}, which is the platform's own`);
  if (value === null) attributes[EMPTY] = TOMBSTONE;
  // A message without data must have an attribute.
  else if (data.length === 0) attributes[EMPTY] = 'value';
  if (key === undefined) return { data, attributes };
  if (!ordering || key === '') return { data, attributes: { ...attributes, [KEY]: key } };
  if (Buffer.byteLength(key) > MOST_ORDERING_KEY_BYTES) {
    refuse(
      `its key has ${Buffer.byteLength(key)} bytes, and the most for an ordering key is ${MOST_ORDERING_KEY_BYTES}`,
    );
  }
  return { data, attributes, orderingKey: key };
}

export function fromMessage(message: Message, partition: string, sequence: number): LogRecord {
  const { attributes, orderingKey, data, publishTime } = message;
  const headers = Object.fromEntries(Object.entries(attributes).filter(([name]) => !name.startsWith(OWN)));
  return {
    key: orderingKey === undefined || orderingKey === '' ? attributes[KEY] : orderingKey,
    value: data,
    isTombstone: attributes[EMPTY] === TOMBSTONE,
    headers,
    timestampMs: publishTime.getTime(),
    partition,
    offset: BigInt(sequence),
  };
}
