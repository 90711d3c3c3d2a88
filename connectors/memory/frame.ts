import { crc32 } from 'node:zlib';
import type { LogRecord, OutgoingRecord } from '#connectors/connector';

/**
 * One record on disk, big-endian: u32 length of what follows the CRC, u32 CRC-32 of it, then f64 timestamp, i32 key length
 * (-1: none), key, u32 header bytes (highest bit: a tombstone), headers as JSON, value.
 */
const PREFIX = 8;
const FIXED = 8 + 4 + 4;
const TOMBSTONE = 0x80000000;
const NO_VALUE = Buffer.alloc(0);

export function encodeFrame(record: OutgoingRecord, timestampMs: number): Buffer {
  const key = record.key === undefined ? undefined : Buffer.from(record.key, 'utf8');
  const value = typeof record.value === 'string' ? Buffer.from(record.value, 'utf8') : (record.value ?? NO_VALUE);
  const headers = record.headers === undefined ? undefined : Buffer.from(JSON.stringify(record.headers), 'utf8');
  const keyBytes = key?.length ?? 0;
  const headerBytes = headers?.length ?? 0;
  const frame = Buffer.allocUnsafe(PREFIX + FIXED + keyBytes + headerBytes + value.length);
  let at = frame.writeUInt32BE(frame.length - PREFIX, 0) + 4;
  at = frame.writeDoubleBE(timestampMs, at);
  at = frame.writeInt32BE(key === undefined ? -1 : keyBytes, at);
  if (key !== undefined) at += key.copy(frame, at);
  at = frame.writeUInt32BE(record.value === null ? headerBytes + TOMBSTONE : headerBytes, at);
  if (headers !== undefined) at += headers.copy(frame, at);
  value.copy(frame, at);
  frame.writeUInt32BE(crc32(frame.subarray(PREFIX)), 4);
  return frame;
}

/** Bytes of the whole frame at `at`; 0 when the buffer ends before it does; -1 when it cannot be a frame. */
export function frameLength(buffer: Buffer, at: number, largest: number): number {
  if (at + PREFIX > buffer.length) return 0;
  const length = buffer.readUInt32BE(at);
  if (length < FIXED || length > largest) return -1;
  return at + PREFIX + length > buffer.length ? 0 : PREFIX + length;
}

export function isIntact(buffer: Buffer, at: number, length: number): boolean {
  return crc32(buffer.subarray(at + PREFIX, at + length)) === buffer.readUInt32BE(at + 4);
}

const NO_HEADERS = Object.freeze({});

export function decodeFrame(buffer: Buffer, at: number, length: number, partition: string, offset: bigint): LogRecord {
  let cursor = at + PREFIX;
  const timestampMs = buffer.readDoubleBE(cursor);
  const keyBytes = buffer.readInt32BE(cursor + 8);
  cursor += 12;
  const key = keyBytes < 0 ? undefined : buffer.toString('utf8', cursor, cursor + keyBytes);
  cursor += Math.max(0, keyBytes);
  const marked = buffer.readUInt32BE(cursor);
  const isTombstone = marked >= TOMBSTONE;
  const headerBytes = isTombstone ? marked - TOMBSTONE : marked;
  cursor += 4;
  const headers =
    headerBytes === 0
      ? NO_HEADERS
      : (JSON.parse(buffer.toString('utf8', cursor, cursor + headerBytes)) as Record<string, string>);
  cursor += headerBytes;
  const value = buffer.subarray(cursor, at + length);
  return { key, value, isTombstone, headers, timestampMs, partition, offset };
}
