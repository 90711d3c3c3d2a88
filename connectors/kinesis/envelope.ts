import { type Header, headersOf, lastHeaders, type OutgoingRecord } from '#connectors/connector';
import { decodeHeaders, encodeHeaders } from '../records/header_text.ts';

/**
 * Kinesis records have no headers, so they travel in the data. Data that is a JSON object stays one, with a last member that other readers can
 * ignore; other data goes behind a prefix. Reading gives back what was sent, byte for byte.
 */
const MEMBER = ',"headwater_headers":';
const MEMBER_BYTES = Buffer.from(MEMBER);
/** Begins with a byte that no text begins with. */
const PREFIX = Buffer.from([0xff, 0x48, 0x57, 0x01]);
const LENGTH_BYTES = 4;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const CLOSE_LIST = 0x5d;

export interface Opened {
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly headerList?: readonly Header[];
}

const NO_HEADERS = Object.freeze({});

/** The data of a record with its headers in it; data without headers is left as it is. */
export function sealEnvelope(value: Buffer, record: OutgoingRecord): Buffer {
  const headers = headersOf(record);
  const text = encodeHeaders(headers);
  if (headers.length === 0) return isAmbiguous(value) ? prefixed(value, text) : value;
  // What is put behind an empty object would begin with a comma.
  if (value.length <= 2 || value[0] !== OPEN || value[value.length - 1] !== CLOSE || isAmbiguous(value)) {
    return prefixed(value, text);
  }
  return Buffer.concat([value.subarray(0, -1), MEMBER_BYTES, Buffer.from(`${text}}`)]);
}

function prefixed(value: Buffer, headers: string): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(Buffer.byteLength(headers));
  return Buffer.concat([PREFIX, length, Buffer.from(headers), value]);
}

/** It would be taken for an envelope when it is read. */
const isAmbiguous = (value: Buffer): boolean => {
  const opened = openEnvelope(value);
  return opened.value !== value;
};

export function openEnvelope(data: Buffer): Opened {
  const { length } = data;
  if (length >= PREFIX.length + LENGTH_BYTES && data.subarray(0, PREFIX.length).equals(PREFIX)) {
    const at = PREFIX.length + LENGTH_BYTES;
    const end = at + data.readUInt32BE(PREFIX.length);
    if (end <= length) return opened(data.subarray(end), data.toString('utf8', at, end));
  }
  if (data[0] !== OPEN || data[length - 1] !== CLOSE || data[length - 2] !== CLOSE_LIST) return plain(data);
  const member = data.lastIndexOf(MEMBER_BYTES);
  if (member < 0) return plain(data);
  const text = data.toString('utf8', member + MEMBER_BYTES.length, length - 1);
  // Of another producer, whose member means something else.
  if (decodeHeaders(text).length === 0) return plain(data);
  return opened(Buffer.concat([data.subarray(0, member), data.subarray(-1)]), text);
}

const plain = (value: Buffer): Opened => ({ value, headers: NO_HEADERS });

function opened(value: Buffer, text: string): Opened {
  const headerList = decodeHeaders(text);
  return { value, headers: lastHeaders(headerList), headerList };
}
