import type { Message } from '@google-cloud/pubsub';
import { type LogRecord, lastHeaders, type OutgoingRecord } from '#connectors/connector';
import { RecordRefusedError, RecordTooLargeError } from '../errors.ts';
import { decodeHeaders, encodeHeaders } from '../records/header_text.ts';
import { recordBytes } from '../records/record_size.ts';

const KEY = 'headwater-key';
/** A key that is no string, in base64. */
const KEY_BYTES = 'headwater-key-bytes';
const EMPTY = 'headwater-empty';
/** Headers that attributes cannot hold: repeated names, and values that are no strings. */
const HEADERS = 'headwater-headers';
/** Attributes of the connector's own; the others are the record's headers. */
const OWN: ReadonlySet<string> = new Set([KEY, KEY_BYTES, EMPTY, HEADERS]);
const TOMBSTONE = 'tombstone';
/** Of a publish request, and so of a message with its attributes and ordering key. */
const MOST_BYTES = 10 * 1024 * 1024;
const MOST_ATTRIBUTE_BYTES = 1_024;
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
  const { key, keyBytes, value, headers, headerList } = record;
  const refuse = (problem: string): never => {
    throw new RecordRefusedError('Pub/Sub', topic, key, problem);
  };
  const data = typeof value === 'string' ? Buffer.from(value, 'utf8') : (value ?? Buffer.alloc(0));
  const sizeBytes = recordBytes({ ...record, value: data }) + OVERHEAD_BYTES;
  if (sizeBytes > MOST_BYTES) {
    throw new RecordTooLargeError('Pub/Sub', topic, key, { sizeBytes, maxBytes: MOST_BYTES });
  }
  const attributes: Record<string, string> = { ...(headerList === undefined ? headers : lastHeaders(headerList)) };
  const reserved = Object.keys(attributes).find((name) => OWN.has(name));
  if (reserved !== undefined) refuse(`header ${reserved} is the platform's own`);
  if (headerList !== undefined) attributes[HEADERS] = encodeHeaders(headerList);
  const long = Object.entries(attributes).find(([, text]) => Buffer.byteLength(text) > MOST_ATTRIBUTE_BYTES);
  if (long !== undefined) {
    refuse(`header ${long[0]} has ${Buffer.byteLength(long[1])} bytes, and the most is ${MOST_ATTRIBUTE_BYTES}`);
  }
  if (value === null) attributes[EMPTY] = TOMBSTONE;
  // A message without data must have an attribute.
  else if (data.length === 0) attributes[EMPTY] = 'value';
  if (keyBytes !== undefined) {
    const encoded = keyBytes.toString('base64');
    const own = { data, attributes: { ...attributes, [KEY_BYTES]: encoded } };
    return ordering && encoded !== '' && encoded.length <= MOST_ORDERING_KEY_BYTES
      ? { ...own, orderingKey: encoded }
      : own;
  }
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
  const headers = Object.fromEntries(Object.entries(attributes).filter(([name]) => !OWN.has(name)));
  const { [KEY_BYTES]: encodedKey, [HEADERS]: encodedHeaders } = attributes;
  const keyBytes = encodedKey === undefined ? undefined : Buffer.from(encodedKey, 'base64');
  return {
    key:
      keyBytes?.toString('utf8') ?? (orderingKey === undefined || orderingKey === '' ? attributes[KEY] : orderingKey),
    ...(keyBytes === undefined ? {} : { keyBytes }),
    ...(encodedHeaders === undefined ? {} : { headerList: decodeHeaders(encodedHeaders) }),
    value: data,
    isTombstone: attributes[EMPTY] === TOMBSTONE,
    headers,
    timestampMs: publishTime.getTime(),
    partition,
    offset: BigInt(sequence),
  };
}
