import type { LogRecord, OutgoingRecord } from '#connectors/connector';
import { allocateFrame, FRAME_HEADER_BYTES } from '#storage/framing';

/**
 * A record as the payload of a frame, big-endian: f64 timestamp, i32 key length (-1: none), key, u32 header bytes (highest bit: a
 * tombstone, the one below: an erased record), headers as JSON, value.
 */
const FIXED = 8 + 4 + 4;
const TOMBSTONE = 0x80000000;
/** Beside the header bytes: the record was erased, and readers pass over it. */
const ERASED = 0x40000000;
const NO_VALUE = Buffer.alloc(0);

/** Returns a frame with its payload; its header is filled in when it is appended. */
export function encodeRecord(record: OutgoingRecord, timestampMs: number): Buffer {
  const key = record.key === undefined ? undefined : Buffer.from(record.key, 'utf8');
  const value = typeof record.value === 'string' ? Buffer.from(record.value, 'utf8') : (record.value ?? NO_VALUE);
  const headers = record.headers === undefined ? undefined : Buffer.from(JSON.stringify(record.headers), 'utf8');
  const keyBytes = key?.length ?? 0;
  const headerBytes = headers?.length ?? 0;
  const frame = allocateFrame(FIXED + keyBytes + headerBytes + value.length);
  let at = frame.writeDoubleBE(timestampMs, FRAME_HEADER_BYTES);
  at = frame.writeInt32BE(key === undefined ? -1 : keyBytes, at);
  if (key !== undefined) at += key.copy(frame, at);
  at = frame.writeUInt32BE(record.value === null ? headerBytes + TOMBSTONE : headerBytes, at);
  if (headers !== undefined) at += headers.copy(frame, at);
  value.copy(frame, at);
  return frame;
}

const NO_HEADERS = Object.freeze({});

/** A record as it lies in the log. */
export interface KeptRecord extends LogRecord {
  /** Only its place is left. */
  readonly isErased?: boolean;
}

/** Returns what is left of a record that is erased: as many bytes, with its timestamp and nothing else. */
export function erasedPayload(payload: Buffer): Buffer {
  const erased = Buffer.alloc(payload.length);
  payload.copy(erased, 0, 0, 8);
  erased.writeInt32BE(-1, 8);
  erased.writeUInt32BE(ERASED, 12);
  return erased;
}

export function decodeRecord(payload: Buffer, partition: string, offset: bigint): KeptRecord {
  const timestampMs = payload.readDoubleBE(0);
  const keyBytes = payload.readInt32BE(8);
  let cursor = 12;
  const key = keyBytes < 0 ? undefined : payload.toString('utf8', cursor, cursor + keyBytes);
  cursor += Math.max(0, keyBytes);
  const marked = payload.readUInt32BE(cursor);
  if (marked === ERASED) {
    const nothing = { key: undefined, value: NO_VALUE, isTombstone: false, headers: NO_HEADERS };
    return { ...nothing, timestampMs, partition, offset, isErased: true };
  }
  const isTombstone = marked >= TOMBSTONE;
  const headerBytes = isTombstone ? marked - TOMBSTONE : marked;
  cursor += 4;
  const headers =
    headerBytes === 0
      ? NO_HEADERS
      : (JSON.parse(payload.toString('utf8', cursor, cursor + headerBytes)) as Record<string, string>);
  cursor += headerBytes;
  return { key, value: payload.subarray(cursor), isTombstone, headers, timestampMs, partition, offset };
}
