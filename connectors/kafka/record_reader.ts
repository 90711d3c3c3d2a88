import { createRequire } from 'node:module';
import type { LogRecord } from '#connectors/connector';

/** A transaction that was aborted: records of its producer from this offset on, until the marker, are void. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

export interface ReadRecords {
  readonly records: readonly LogRecord[];
  /** Offset after the last record seen, void and control records included; undefined when there was not one whole batch. */
  readonly nextOffset: bigint | undefined;
}

const BASE_OFFSET_AT = 0;
const LENGTH_AT = 8;
const LENGTH_ENDS_AT = 12;
const MAGIC_AT = 16;
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

const require = createRequire(import.meta.url);
const { lookupCodec } = require('kafkajs/src/protocol/message/compression') as {
  lookupCodec(type: number): { decompress(buffer: Buffer): Promise<Buffer> } | null;
};
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const NO_HEADERS = Object.freeze({});
const EMPTY = Buffer.alloc(0);

/**
 * Reads the record batches (format 2) of a fetch, `read_committed`: control records and those of aborted transactions are left out,
 * and what is cut off at the end.
 * Source: Apache Kafka, "Record Batch" (protocol guide); KIP-98 for transactions.
 *
 * @param from - records before this offset are left out: a batch is always sent whole
 * @throws Error for batches in the formats of before Kafka 0.11, or with a compression that there is no codec for
 */
export async function readRecords(
  bytes: Buffer,
  partition: string,
  from: bigint,
  aborted: readonly AbortedTransaction[],
): Promise<ReadRecords> {
  const records: LogRecord[] = [];
  const waiting = [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const voidProducers = new Set<bigint>();
  let nextOffset: bigint | undefined;
  for (let at = 0; at + RECORDS_AT <= bytes.length; ) {
    const end = at + LENGTH_ENDS_AT + bytes.readInt32BE(at + LENGTH_AT);
    if (end > bytes.length) break;
    if (bytes[at + MAGIC_AT] !== MAGIC) {
      throw new Error(
        `record format ${bytes[at + MAGIC_AT]} of before Kafka 0.11: convert the topic, or read it from its newer records on`,
      );
    }
    const baseOffset = bytes.readBigInt64BE(at + BASE_OFFSET_AT);
    const lastOffset = baseOffset + BigInt(bytes.readInt32BE(at + LAST_DELTA_AT));
    const attributes = bytes.readInt16BE(at + ATTRIBUTES_AT);
    const producerId = bytes.readBigInt64BE(at + PRODUCER_ID_AT);
    nextOffset = lastOffset + 1n;
    while (waiting[0] !== undefined && waiting[0].firstOffset <= lastOffset) {
      voidProducers.add((waiting.shift() as AbortedTransaction).producerId);
    }
    const body = bytes.subarray(at + RECORDS_AT, end);
    if ((attributes & CONTROL) !== 0) {
      if (markerOf(body) === ABORT_MARKER) voidProducers.delete(producerId);
    } else if ((attributes & TRANSACTIONAL) === 0 || !voidProducers.has(producerId)) {
      const codec = attributes & COMPRESSION;
      const batch: Batch = {
        bytes: codec === 0 ? body : await decompress(codec, body),
        partition,
        baseOffset,
        firstTimeMs: Number(bytes.readBigInt64BE(at + FIRST_TIME_AT)),
        appendTimeMs:
          (attributes & LOG_APPEND_TIME) === 0 ? undefined : Number(bytes.readBigInt64BE(at + LARGEST_TIME_AT)),
      };
      const skip = from > baseOffset ? Number(from - baseOffset) : 0;
      readBatch(batch, bytes.readInt32BE(at + COUNT_AT), skip, records);
    }
    at = end;
  }
  return { records, nextOffset };
}

interface Batch {
  readonly bytes: Buffer;
  readonly partition: string;
  readonly baseOffset: bigint;
  readonly firstTimeMs: number;
  /** Of all its records, where the topic keeps when the broker took them in. */
  readonly appendTimeMs: number | undefined;
}

function readBatch(batch: Batch, count: number, skip: number, records: LogRecord[]): void {
  const { bytes, firstTimeMs, appendTimeMs } = batch;
  const cursor = new Cursor(bytes);
  for (let index = 0; index < count; index += 1) {
    const length = cursor.varint();
    const end = cursor.at + length;
    cursor.at += 1;
    const timestampMs = firstTimeMs + cursor.varlong();
    const offsetDelta = cursor.varint();
    const keyLength = cursor.varint();
    const keyAt = cursor.at;
    cursor.at += Math.max(0, keyLength);
    const valueLength = cursor.varint();
    const valueAt = cursor.at;
    cursor.at = end;
    if (offsetDelta < skip) continue;
    records.push(
      new FetchedRecord(batch, appendTimeMs ?? timestampMs, offsetDelta, keyAt, keyLength, valueAt, valueLength),
    );
  }
}

/** A record within its batch: what is not asked for is not decoded. */
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

  get isTombstone(): boolean {
    return this.#valueLength < 0;
  }

  get value(): Buffer {
    if (this.#valueLength < 0) return EMPTY;
    return this.#batch.bytes.subarray(this.#valueAt, this.#valueAt + this.#valueLength);
  }

  get headers(): Readonly<Record<string, string>> {
    const cursor = new Cursor(this.#batch.bytes);
    cursor.at = this.#valueAt + Math.max(0, this.#valueLength);
    const count = cursor.varint();
    if (count === 0) return NO_HEADERS;
    // Whatever its name: assigning to an object would lose "__proto__".
    const entries: [string, string][] = [];
    for (let index = 0; index < count; index += 1) {
      entries.push([cursor.text(cursor.varint()), cursor.text(cursor.varint())]);
    }
    return Object.fromEntries(entries);
  }
}

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
      const byte = this.#bytes[this.at] as number;
      this.at += 1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7;
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** Zigzag, up to 53 bits: times in ms. */
  varlong(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.at] as number;
      this.at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  text(length: number): string {
    if (length < 0) return '';
    this.at += length;
    return this.#bytes.toString('utf8', this.at - length, this.at);
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

async function decompress(codec: number, body: Buffer): Promise<Buffer> {
  try {
    const found = lookupCodec(codec);
    if (found !== null) return await found.decompress(body);
  } catch (error) {
    throw new Error(`records compressed with ${CODECS[codec] ?? codec} cannot be read`, { cause: error });
  }
  throw new Error(`records compressed with ${CODECS[codec] ?? codec} cannot be read: there is no codec for it`);
}
