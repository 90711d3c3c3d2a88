import { type Header, headersOf, type OutgoingRecord } from '#connectors/connector';
import type { BatchCompression } from './codecs.ts';
import { crc32c } from './crc32c.ts';

/** The producer that a batch is from, and the number of its first record there: how a broker knows a repetition. */
export interface BatchOrigin {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

const HEADER_BYTES = 61;
const LENGTH_AT = 8;
const LEADER_EPOCH_AT = 12;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_DELTA_AT = 23;
const FIRST_TIME_AT = 27;
const LARGEST_TIME_AT = 35;
const PRODUCER_ID_AT = 43;
const PRODUCER_EPOCH_AT = 51;
const SEQUENCE_AT = 53;
const COUNT_AT = 57;
const MAGIC = 2;
const NO_LEADER_EPOCH = -1;
/** Its zigzag code has 32 bits. */
const LARGEST_SHORT_DELTA_MS = 2 ** 30;

const zigzag = (value: number): number => (value << 1) ^ (value >> 31);

/** Bytes of a number as a varint; `encoded` is zigzagged, 32 bits. */
function varintBytes(encoded: number): number {
  const unsigned = encoded >>> 0;
  if (unsigned < 0x80) return 1;
  if (unsigned < 0x4000) return 2;
  if (unsigned < 0x200000) return 3;
  return unsigned < 0x10000000 ? 4 : 5;
}

/**
 * Records of one partition in the form they have on the wire and in the log: a record batch, format 2. Each record is encoded when it is added.
 * Source: Apache Kafka, "Record Batch" (protocol guide), DefaultRecordBatch and DefaultRecord.
 */
export class RecordBatchBuilder {
  #buffer: Buffer;
  #at = HEADER_BYTES;
  #count = 0;
  #firstTimeMs = 0;
  #largestTimeMs = 0;

  constructor(initialBytes = 4_096) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get bytes(): number {
    return this.#at;
  }

  get count(): number {
    return this.#count;
  }

  /** @param nowMs - for a record without a time of its own */
  add(record: OutgoingRecord, nowMs: number): void {
    const { key, keyBytes: rawKey, value, headers, headerList } = record;
    const timestampMs = Math.floor(record.timestampMs ?? nowMs);
    if (this.#count === 0) {
      this.#firstTimeMs = timestampMs;
      this.#largestTimeMs = timestampMs;
    }
    if (timestampMs > this.#largestTimeMs) this.#largestTimeMs = timestampMs;
    const keyBytes = rawKey?.length ?? (key === undefined ? -1 : Buffer.byteLength(key, 'utf8'));
    const valueBytes =
      value === null ? -1 : typeof value === 'string' ? Buffer.byteLength(value, 'utf8') : value.length;
    const isPlain = headers === undefined && headerList === undefined;
    const encodedHeaders = isPlain ? undefined : encodeHeaders(headersOf(record));
    const delta = timestampMs - this.#firstTimeMs;
    // Deltas of more than 12 days are rare, so that they may cost.
    const longDelta = Math.abs(delta) > LARGEST_SHORT_DELTA_MS ? encodeLong(delta) : undefined;
    const length =
      1 +
      (longDelta?.length ?? varintBytes(zigzag(delta))) +
      varintBytes(zigzag(this.#count)) +
      sizeWithLength(keyBytes) +
      sizeWithLength(valueBytes) +
      (encodedHeaders?.length ?? 1);
    this.#reserve(length + 5);
    this.#varint(zigzag(length));
    this.#buffer[this.#at] = 0;
    this.#at += 1;
    if (longDelta === undefined) this.#varint(zigzag(delta));
    else this.#at += longDelta.copy(this.#buffer, this.#at);
    this.#varint(zigzag(this.#count));
    this.#varint(zigzag(keyBytes));
    if (rawKey !== undefined) this.#at += rawKey.copy(this.#buffer, this.#at);
    else if (key !== undefined) this.#at += this.#buffer.write(key, this.#at, 'utf8');
    this.#varint(zigzag(valueBytes));
    if (typeof value === 'string') this.#at += this.#buffer.write(value, this.#at, 'utf8');
    else if (value !== null) this.#at += value.copy(this.#buffer, this.#at);
    if (encodedHeaders === undefined) this.#varint(0);
    else this.#at += encodedHeaders.copy(this.#buffer, this.#at);
    this.#count += 1;
  }

  #varint(encoded: number): void {
    let rest = encoded >>> 0;
    while (rest > 0x7f) {
      this.#buffer[this.#at] = (rest & 0x7f) | 0x80;
      this.#at += 1;
      rest >>>= 7;
    }
    this.#buffer[this.#at] = rest;
    this.#at += 1;
  }

  #reserve(more: number): void {
    const needed = this.#at + more;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  /** The batch as it is sent; may be called again with another origin. Valid until the next `add`. */
  finish({ producerId, producerEpoch, baseSequence }: BatchOrigin, compression?: BatchCompression): Buffer {
    const out = this.#packed(compression);
    out.writeBigInt64BE(0n, 0);
    out.writeInt32BE(out.length - LEADER_EPOCH_AT, LENGTH_AT);
    out.writeInt32BE(NO_LEADER_EPOCH, LEADER_EPOCH_AT);
    out[MAGIC_AT] = MAGIC;
    out.writeInt16BE(compression?.attribute ?? 0, ATTRIBUTES_AT);
    out.writeInt32BE(this.#count - 1, LAST_DELTA_AT);
    out.writeBigInt64BE(BigInt(this.#firstTimeMs), FIRST_TIME_AT);
    out.writeBigInt64BE(BigInt(this.#largestTimeMs), LARGEST_TIME_AT);
    out.writeBigInt64BE(producerId, PRODUCER_ID_AT);
    out.writeInt16BE(producerEpoch, PRODUCER_EPOCH_AT);
    out.writeInt32BE(baseSequence, SEQUENCE_AT);
    out.writeInt32BE(this.#count, COUNT_AT);
    out.writeUInt32BE(crc32c(out.subarray(ATTRIBUTES_AT)), CRC_AT);
    return out;
  }

  /** Room for the header, then the records. */
  #packed(compression: BatchCompression | undefined): Buffer {
    if (compression === undefined) return this.#buffer.subarray(0, this.#at);
    const records = compression.compress(this.#buffer.subarray(HEADER_BYTES, this.#at));
    return Buffer.concat([this.#buffer.subarray(0, HEADER_BYTES), records]);
  }
}

const sizeWithLength = (bytes: number): number => varintBytes(zigzag(bytes)) + Math.max(0, bytes);

const ZERO = Buffer.from([0]);

/** A zigzag varint of up to 64 bits. */
function encodeLong(value: number): Buffer {
  if (value === 0) return ZERO;
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function encodeHeaders(headers: readonly Header[]): Buffer {
  const parts = [encodeLong(headers.length)];
  for (const [name, value] of headers) {
    const bytes = Buffer.from(name, 'utf8');
    parts.push(encodeLong(bytes.length), bytes, encodeLong(value?.length ?? -1));
    if (value !== null) parts.push(value);
  }
  return Buffer.concat(parts);
}

const MURMUR_SEED = 0x9747b28c;
const MURMUR_M = 0x5bd1e995;

/** The hash by which Kafka's own clients spread keys over partitions: MurmurHash2, 32 bits, signed. */
export function murmur2(key: Buffer, length = key.length): number {
  let hash = MURMUR_SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = key.readInt32LE(at);
    word = Math.imul(word, MURMUR_M);
    word ^= word >>> 24;
    word = Math.imul(word, MURMUR_M);
    hash = Math.imul(hash, MURMUR_M) ^ word;
  }
  const left = length - at;
  if (left === 3) hash ^= (key[at + 2] as number) << 16;
  if (left >= 2) hash ^= (key[at + 1] as number) << 8;
  if (left >= 1) {
    hash ^= key[at] as number;
    hash = Math.imul(hash, MURMUR_M);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MURMUR_M);
  return hash ^ (hash >>> 15);
}
