import { crc32 } from 'node:zlib';

// How records lie in a segment file. All numbers are big-endian.
//
//   segment header, 32 bytes   "HWR1", u32 version, u64 base, u64 end of the segment before, u32 CRC-32 of these, u32 0
//   frame header, 20 bytes     u32 payload bytes, u64 position, u32 CRC-32 of the payload, u32 CRC-32 of these
//   payload
//
// The header has a checksum of its own: a damaged length would otherwise look like a frame that the file ends before. The position
// tells a frame that was written to the wrong place from the right one, and lets a repair keep what follows a damaged part.
//
// Earlier versions wrote "<base>.log" files without a segment header: u32 bytes after the checksum, u32 CRC-32, payload.

export const SEGMENT_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 20;
/** Bytes of the frame header that its checksum covers. */
const COVERED_BYTES = 16;
export const LARGEST_PAYLOAD_BYTES = 256 * 1024 * 1024;
const MAGIC = 0x48575231;
const VERSION = 1;
const COVERED_BY_SEGMENT_CHECK = 24;

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/** CRC-32 of a frame header: for sixteen bytes a call into native code takes longer. */
function headerChecksum(buffer: Buffer, at: number): number {
  let value = 0xffffffff;
  for (let index = at; index < at + COVERED_BYTES; index += 1) {
    value = (TABLE[(value ^ (buffer[index] as number)) & 0xff] as number) ^ (value >>> 8);
  }
  return (value ^ 0xffffffff) >>> 0;
}

const HIGH = 2 ** 32;

function writePosition(buffer: Buffer, position: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(position / HIGH), at);
  buffer.writeUInt32BE(position % HIGH, at + 4);
}

const readPosition = (buffer: Buffer, at: number): number =>
  buffer.readUInt32BE(at) * HIGH + buffer.readUInt32BE(at + 4);

/** Returns a buffer for a frame; the payload is to be written from {@link FRAME_HEADER_BYTES} on. */
export const allocateFrame = (payloadBytes: number): Buffer => Buffer.allocUnsafe(FRAME_HEADER_BYTES + payloadBytes);

export function frameOf(payload: Uint8Array): Buffer {
  const frame = allocateFrame(payload.length);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** Fills in the header of a frame that has its payload. */
export function sealFrame(frame: Buffer, position: number): void {
  frame.writeUInt32BE(frame.length - FRAME_HEADER_BYTES, 0);
  writePosition(frame, position, 4);
  frame.writeUInt32BE(crc32(frame.subarray(FRAME_HEADER_BYTES)), 12);
  frame.writeUInt32BE(headerChecksum(frame, 0), COVERED_BYTES);
}

export function segmentHeader(base: number, previousEnd: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(VERSION, 4);
  writePosition(header, base, 8);
  writePosition(header, previousEnd, 16);
  header.writeUInt32BE(crc32(header.subarray(0, COVERED_BY_SEGMENT_CHECK)), COVERED_BY_SEGMENT_CHECK);
  return header;
}

/** Returns what a segment header says, or what is wrong with it. */
export function readSegmentHeader(header: Buffer): { base: number; previousEnd: number } | { problem: string } {
  if (header.readUInt32BE(COVERED_BY_SEGMENT_CHECK) !== crc32(header.subarray(0, COVERED_BY_SEGMENT_CHECK))) {
    return { problem: 'the checksum of the segment header does not match' };
  }
  if (header.readUInt32BE(0) !== MAGIC) return { problem: 'it does not begin as a segment does' };
  const version = header.readUInt32BE(4);
  if (version !== VERSION) return { problem: `its format is version ${version}; this version reads ${VERSION}` };
  if (header.readUInt32BE(28) !== 0) return { problem: 'the end of the segment header is not zero' };
  return { base: readPosition(header, 8), previousEnd: readPosition(header, 16) };
}

/** What is at a place in a file, given the bytes from there on: `needs` bytes are required to say more. */
export type Looked =
  | {
      readonly kind: 'frame';
      readonly bytes: number;
      readonly payloadAt: number;
      readonly position: number | undefined;
    }
  | { readonly kind: 'incomplete'; readonly needs: number }
  | { readonly kind: 'damaged'; readonly problem: string };

export interface Framing {
  readonly name: 'records' | 'before';
  readonly headerBytes: number;
  /** Where the first frame begins. */
  readonly firstAt: number;
  look(buffer: Buffer, at: number): Looked;
  /** Fills in the header of a frame that has its payload. */
  seal(frame: Buffer, position: number): void;
}

export const RECORDS: Framing = {
  name: 'records',
  headerBytes: FRAME_HEADER_BYTES,
  firstAt: SEGMENT_HEADER_BYTES,
  look(buffer, at) {
    const available = buffer.length - at;
    if (available < FRAME_HEADER_BYTES) return { kind: 'incomplete', needs: FRAME_HEADER_BYTES };
    if (buffer.readUInt32BE(at + COVERED_BYTES) !== headerChecksum(buffer, at)) {
      return { kind: 'damaged', problem: 'the checksum of the record header does not match' };
    }
    const length = buffer.readUInt32BE(at);
    const bytes = FRAME_HEADER_BYTES + length;
    if (available < bytes) return { kind: 'incomplete', needs: bytes };
    const payloadAt = at + FRAME_HEADER_BYTES;
    const position = readPosition(buffer, at + 4);
    if (crc32(buffer.subarray(payloadAt, at + bytes)) !== buffer.readUInt32BE(at + 12)) {
      return { kind: 'damaged', problem: `the checksum of record ${position} does not match` };
    }
    return { kind: 'frame', bytes, payloadAt, position };
  },
  seal: sealFrame,
};

const HEADER_BEFORE = 8;
const SMALLEST_BEFORE = 16;

/** The framing of versions before 0.2. */
export const BEFORE: Framing = {
  name: 'before',
  headerBytes: HEADER_BEFORE,
  firstAt: 0,
  look(buffer, at) {
    const available = buffer.length - at;
    if (available < HEADER_BEFORE) return { kind: 'incomplete', needs: HEADER_BEFORE };
    const length = buffer.readUInt32BE(at);
    if (length < SMALLEST_BEFORE || length > LARGEST_PAYLOAD_BYTES) {
      return { kind: 'damaged', problem: `a record of ${length} bytes is not possible` };
    }
    const bytes = HEADER_BEFORE + length;
    if (available < bytes) return { kind: 'incomplete', needs: bytes };
    const payloadAt = at + HEADER_BEFORE;
    if (crc32(buffer.subarray(payloadAt, at + bytes)) !== buffer.readUInt32BE(at + 4)) {
      return { kind: 'damaged', problem: 'the checksum of the record does not match' };
    }
    return { kind: 'frame', bytes, payloadAt, position: undefined };
  },
  seal(frame) {
    frame.writeUInt32BE(frame.length - HEADER_BEFORE, 0);
    frame.writeUInt32BE(crc32(frame.subarray(HEADER_BEFORE)), 4);
  },
};
