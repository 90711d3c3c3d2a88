import { type Header, type LogRecord, lastHeaders } from '#connectors/connector';
import { messageOf } from '#kernel/errors';
import { codecOf } from './codecs.ts';
import { COMPRESSIONS } from './compressions.ts';
import { crc32c } from './crc32c.ts';

/** A transaction that was aborted: records of its producer from this offset on, until the marker, are void. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

export interface ReadRecords {
  readonly records: readonly LogRecord[];
  /** Offset after the last record seen, void and control records included; undefined when there was not one whole batch. */
  readonly nextOffset: bigint | undefined;
  /** The batch that reading stopped before. */
  readonly unreadable?: UnreadableBatch;
}

export interface UnreadableBatch {
  /** Of its first record. */
  readonly offset: bigint;
  /** Of its last record, as far as it is known. */
  readonly lastOffset: bigint;
  readonly reason: string;
  /** As the broker keeps it. */
  readonly batch: Buffer;
}

const BASE_OFFSET_AT = 0;
const LENGTH_AT = 8;
const LENGTH_ENDS_AT = 12;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_DELTA_AT = 23;
const FIRST_TIME_AT = 27;
const LARGEST_TIME_AT = 35;
const PRODUCER_ID_AT = 43;
const COUNT_AT = 57;
const RECORDS_AT = 61;
const MAGIC = 2;
const COMPRESSION = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const ABORT_MARKER = 0;

const NO_HEADERS = Object.freeze({});
const NO_HEADER_LIST: readonly Header[] = Object.freeze([]);
const EMPTY = Buffer.alloc(0);
/** Shortest value of a batch's length: the rest of its header. */
const LEAST_LENGTH = RECORDS_AT - LENGTH_ENDS_AT;

/** Reads all that {@link BatchDecoder} does, at once. */
export function readRecords(
  bytes: Buffer,
  partition: string,
  from: bigint,
  aborted: readonly AbortedTransaction[],
): Promise<ReadRecords> {
  return new BatchDecoder(bytes, partition, from, aborted).next(Number.POSITIVE_INFINITY);
}

/** Offset after the last whole batch, as batches say it; undefined when there is none. Their records are not looked at. */
export function offsetAfter(bytes: Buffer): bigint | undefined {
  let after: bigint | undefined;
  for (let at = 0; at + RECORDS_AT <= bytes.length; ) {
    const length = bytes.readInt32BE(at + LENGTH_AT);
    const end = at + LENGTH_ENDS_AT + length;
    const lastDelta = bytes.readInt32BE(at + LAST_DELTA_AT);
    if (length < LEAST_LENGTH || end > bytes.length || bytes[at + MAGIC_AT] !== MAGIC || lastDelta < 0) break;
    after = bytes.readBigInt64BE(at + BASE_OFFSET_AT) + BigInt(lastDelta) + 1n;
    at = end;
  }
  return after;
}

/**
 * Reads the record batches (format 2) of a fetch, `read_committed`: control records and those of aborted transactions are left out,
 * and what is cut off at the end. Batches are unpacked one after another, as they are requested. Reading stops before a batch that cannot be
 * read: one whose checksum or structure is wrong, of before Kafka 0.11, or in a compression that does not exist.
 * Source: Apache Kafka, "Record Batch" (protocol guide); KIP-98 for transactions.
 */
export class BatchDecoder {
  readonly #bytes: Buffer;
  readonly #partition: string;
  readonly #from: bigint;
  readonly #waiting: AbortedTransaction[];
  readonly #voidProducers = new Set<bigint>();
  #at = 0;
  #unreadable: (UnreadableBatch & { readonly end: number }) | undefined;

  /** @param from - records before this offset are left out: a batch is always sent whole */
  constructor(bytes: Buffer, partition: string, from: bigint, aborted: readonly AbortedTransaction[]) {
    this.#bytes = bytes;
    this.#partition = partition;
    this.#from = from;
    this.#waiting = [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  }

  /** Nothing whole is left. */
  get isDone(): boolean {
    if (this.#unreadable !== undefined) return false;
    const at = this.#at;
    if (at + RECORDS_AT > this.#bytes.length) return true;
    const length = this.#bytes.readInt32BE(at + LENGTH_AT);
    return length >= LEAST_LENGTH && at + LENGTH_ENDS_AT + length > this.#bytes.length;
  }

  /** @param mostBytes - no other batch is unpacked once its records take so much */
  async next(mostBytes: number): Promise<ReadRecords> {
    const bytes = this.#bytes;
    const records: LogRecord[] = [];
    let nextOffset: bigint | undefined;
    let unpacked = 0;
    while (!this.isDone && unpacked < mostBytes) {
      if (this.#unreadable !== undefined) return { records, nextOffset, unreadable: this.#unreadable };
      const at = this.#at;
      const length = bytes.readInt32BE(at + LENGTH_AT);
      const end = at + LENGTH_ENDS_AT + length;
      const lastDelta = bytes.readInt32BE(at + LAST_DELTA_AT);
      let problem = problemOf(bytes, at, end, length, lastDelta);
      const before = records.length;
      if (problem === undefined) {
        try {
          unpacked += await this.#readBatch(at, end, records);
        } catch (error) {
          records.length = before;
          problem = messageOf(error);
        }
      }
      if (problem === undefined) {
        nextOffset = bytes.readBigInt64BE(at + BASE_OFFSET_AT) + BigInt(lastDelta) + 1n;
        this.#at = end;
      } else {
        this.#unreadable = { ...unreadable(bytes, at, end, problem), end };
      }
    }
    return { records, nextOffset };
  }

  /** Continues after the batch that could not be read. */
  skip(): void {
    if (this.#unreadable === undefined) return;
    const { end } = this.#unreadable;
    // Where its length is wrong the next one cannot be found.
    this.#at = end > this.#at ? end : this.#bytes.length;
    this.#unreadable = undefined;
  }

  /** @returns bytes of its records */
  async #readBatch(at: number, end: number, records: LogRecord[]): Promise<number> {
    const bytes = this.#bytes;
    const baseOffset = bytes.readBigInt64BE(at + BASE_OFFSET_AT);
    const lastOffset = baseOffset + BigInt(bytes.readInt32BE(at + LAST_DELTA_AT));
    const attributes = bytes.readInt16BE(at + ATTRIBUTES_AT);
    const producerId = bytes.readBigInt64BE(at + PRODUCER_ID_AT);
    while (this.#waiting[0] !== undefined && this.#waiting[0].firstOffset <= lastOffset) {
      this.#voidProducers.add((this.#waiting.shift() as AbortedTransaction).producerId);
    }
    const body = bytes.subarray(at + RECORDS_AT, end);
    if ((attributes & CONTROL) !== 0) {
      if (markerOf(body) === ABORT_MARKER) this.#voidProducers.delete(producerId);
      return 0;
    }
    if ((attributes & TRANSACTIONAL) !== 0 && this.#voidProducers.has(producerId)) return 0;
    const compression = attributes & COMPRESSION;
    const batch: Batch = {
      bytes: compression === 0 ? body : await decompress(compression, body),
      partition: this.#partition,
      baseOffset,
      firstTimeMs: Number(bytes.readBigInt64BE(at + FIRST_TIME_AT)),
      appendTimeMs:
        (attributes & LOG_APPEND_TIME) === 0 ? undefined : Number(bytes.readBigInt64BE(at + LARGEST_TIME_AT)),
    };
    const skip = this.#from > baseOffset ? Number(this.#from - baseOffset) : 0;
    readBatch(batch, bytes.readInt32BE(at + COUNT_AT), skip, records);
    return batch.bytes.length;
  }
}

/** Why a batch is not what it should be; undefined when its header and checksum are right. */
function problemOf(bytes: Buffer, at: number, end: number, length: number, lastDelta: number): string | undefined {
  if (bytes[at + MAGIC_AT] !== MAGIC) {
    return bytes[at + MAGIC_AT] === 0 || bytes[at + MAGIC_AT] === 1
      ? `it has record format ${bytes[at + MAGIC_AT]}, of before Kafka 0.11`
      : `its record format is ${bytes[at + MAGIC_AT]}, and 2 is the newest known`;
  }
  if (length < LEAST_LENGTH) return `its length is ${length}`;
  if (crc32c(bytes.subarray(at + ATTRIBUTES_AT, end)) !== bytes.readUInt32BE(at + CRC_AT))
    return 'its checksum is wrong';
  if (lastDelta < 0) return `its last record has the place ${lastDelta}`;
  return undefined;
}

/** What can be said of a batch that cannot be read. Its own end may be wrong: the next batch's beginning is not. */
function unreadable(bytes: Buffer, at: number, end: number, reason: string): UnreadableBatch {
  const offset = bytes.readBigInt64BE(at + BASE_OFFSET_AT);
  const knowsNext = end > at && end + LENGTH_AT <= bytes.length;
  const next = knowsNext ? bytes.readBigInt64BE(end + BASE_OFFSET_AT) : undefined;
  const lastDelta = BigInt(bytes.readInt32BE(at + LAST_DELTA_AT));
  const isNewFormat = bytes[at + MAGIC_AT] === MAGIC && lastDelta >= 0n;
  const own = isNewFormat ? offset + lastDelta : offset;
  const lastOffset = next !== undefined && next > offset ? next - 1n : own;
  return { offset, lastOffset, reason, batch: Buffer.from(bytes.subarray(at, Math.max(end, at + RECORDS_AT))) };
}

async function decompress(compression: number, body: Buffer): Promise<Buffer> {
  const codec = await codecOf(compression);
  try {
    return codec.decompress(body);
  } catch (error) {
    throw new Error(`its records are not ${COMPRESSIONS[compression]}: ${messageOf(error)}`);
  }
}

interface Batch {
  readonly bytes: Buffer;
  readonly partition: string;
  readonly baseOffset: bigint;
  readonly firstTimeMs: number;
  /** Of all its records, where the topic keeps when the broker took them in. */
  readonly appendTimeMs: number | undefined;
}

/** @throws RangeError when a record does not have the structure of one */
function readBatch(batch: Batch, count: number, skip: number, records: LogRecord[]): void {
  const { bytes, firstTimeMs, appendTimeMs } = batch;
  const cursor = new Cursor(bytes);
  for (let index = 0; index < count; index += 1) {
    const length = cursor.varint();
    const end = cursor.at + length;
    if (length < 0 || end > bytes.length) throw new RangeError(`record ${index} of ${count} has ${length} bytes`);
    cursor.at += 1;
    const timestampMs = firstTimeMs + cursor.varlong();
    const offsetDelta = cursor.varint();
    const keyLength = cursor.varint();
    const keyAt = cursor.at;
    cursor.at += Math.max(0, keyLength);
    const valueLength = cursor.varint();
    const valueAt = cursor.at;
    cursor.at += Math.max(0, valueLength);
    if (cursor.at >= end) throw new RangeError(`record ${index} of ${count} is longer than it says`);
    // Most have no headers.
    if (bytes[cursor.at] !== 0) cursor.skipHeaders(end);
    cursor.at = end;
    if (offsetDelta < skip) continue;
    records.push(
      new FetchedRecord(batch, appendTimeMs ?? timestampMs, offsetDelta, keyAt, keyLength, valueAt, valueLength),
    );
  }
}

/** A record within its batch: what is not read is not decoded. */
class FetchedRecord implements LogRecord {
  readonly timestampMs: number;
  readonly #batch: Batch;
  readonly #offsetDelta: number;
  readonly #keyAt: number;
  readonly #keyLength: number;
  readonly #valueAt: number;
  readonly #valueLength: number;

  constructor(
    batch: Batch,
    timestampMs: number,
    offsetDelta: number,
    keyAt: number,
    keyLength: number,
    valueAt: number,
    valueLength: number,
  ) {
    this.#batch = batch;
    this.timestampMs = timestampMs;
    this.#offsetDelta = offsetDelta;
    this.#keyAt = keyAt;
    this.#keyLength = keyLength;
    this.#valueAt = valueAt;
    this.#valueLength = valueLength;
  }

  get partition(): string {
    return this.#batch.partition;
  }

  get offset(): bigint {
    return this.#batch.baseOffset + BigInt(this.#offsetDelta);
  }

  get key(): string | undefined {
    if (this.#keyLength < 0) return undefined;
    return this.#batch.bytes.toString('utf8', this.#keyAt, this.#keyAt + this.#keyLength);
  }

  get keyBytes(): Buffer | undefined {
    if (this.#keyLength < 0) return undefined;
    return this.#batch.bytes.subarray(this.#keyAt, this.#keyAt + this.#keyLength);
  }

  get isTombstone(): boolean {
    return this.#valueLength < 0;
  }

  get value(): Buffer {
    if (this.#valueLength < 0) return EMPTY;
    return this.#batch.bytes.subarray(this.#valueAt, this.#valueAt + this.#valueLength);
  }

  get headers(): Readonly<Record<string, string>> {
    const list = this.headerList;
    return list.length === 0 ? NO_HEADERS : lastHeaders(list);
  }

  get headerList(): readonly Header[] {
    const cursor = new Cursor(this.#batch.bytes);
    cursor.at = this.#valueAt + Math.max(0, this.#valueLength);
    const count = cursor.varint();
    if (count === 0) return NO_HEADER_LIST;
    return Array.from({ length: count }, () => {
      const name = cursor.bytes(cursor.varint())?.toString('utf8') ?? '';
      return [name, cursor.bytes(cursor.varint())] as const;
    });
  }
}

/** Of the tenth byte of a number of 64 bits. */
const MOST_SCALE = 128 ** 9;

class Cursor {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Zigzag, 32 bits. */
  varint(): number {
    let value = 0;
    let shift = 0;
    for (;;) {
      const byte = this.#next();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7;
      if (shift > 28) throw new RangeError('a number has more than 32 bits');
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** Zigzag, up to 53 bits: times in ms. */
  varlong(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#next();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
      if (scale > MOST_SCALE) throw new RangeError('a number has more than 64 bits');
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #next(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new RangeError('its records end too early');
    this.at += 1;
    return byte;
  }

  /** Null for a negative length. */
  bytes(length: number): Buffer | null {
    if (length < 0) return null;
    if (this.at + length > this.#bytes.length) throw new RangeError('its records end too early');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  /** @throws RangeError when headers do not end where their record does */
  skipHeaders(end: number): void {
    for (let left = this.varint(); left > 0; left -= 1) {
      if (this.bytes(this.varint()) === null) throw new RangeError('a header has no name');
      this.bytes(this.varint());
    }
    if (this.at > end) throw new RangeError('headers are longer than their record');
  }
}

/** Which end of a transaction a control batch marks. */
function markerOf(body: Buffer): number {
  const cursor = new Cursor(body);
  cursor.varint();
  cursor.at += 1;
  cursor.varlong();
  cursor.varint();
  cursor.varint();
  // The key: a version, then the type.
  return body.readInt16BE(cursor.at + 2);
}
