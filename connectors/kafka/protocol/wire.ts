/**
 * Primitive types of Kafka's protocol, also the compact ones of its flexible versions.
 * Source: Apache Kafka, protocol guide, "Protocol Primitive Types"; KIP-482.
 */
export class WireWriter {
  readonly #parts: Buffer[] = [];

  int8(value: number): this {
    return this.#fixed(1, (part) => part.writeInt8(value));
  }

  int16(value: number): this {
    return this.#fixed(2, (part) => part.writeInt16BE(value));
  }

  int32(value: number): this {
    return this.#fixed(4, (part) => part.writeInt32BE(value));
  }

  int64(value: bigint): this {
    return this.#fixed(8, (part) => part.writeBigInt64BE(value));
  }

  #fixed(bytes: number, write: (part: Buffer) => void): this {
    const part = Buffer.allocUnsafe(bytes);
    write(part);
    return this.bytes(part);
  }

  bytes(part: Buffer): this {
    this.#parts.push(part);
    return this;
  }

  uvarint(value: number): this {
    const bytes: number[] = [];
    let rest = value >>> 0;
    while (rest > 0x7f) {
      bytes.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    bytes.push(rest);
    return this.bytes(Buffer.from(bytes));
  }

  string(text: string): this {
    const bytes = Buffer.from(text, 'utf8');
    return this.int16(bytes.length).bytes(bytes);
  }

  compactString(text: string): this {
    const bytes = Buffer.from(text, 'utf8');
    return this.uvarint(bytes.length + 1).bytes(bytes);
  }

  compactArray<T>(values: readonly T[], write: (value: T) => void): this {
    this.uvarint(values.length + 1);
    for (const value of values) write(value);
    return this;
  }

  array<T>(values: readonly T[], write: (value: T) => void): this {
    this.int32(values.length);
    for (const value of values) write(value);
    return this;
  }

  /** No tagged fields. */
  tags(): this {
    return this.int8(0);
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int8(): number {
    this.#at += 1;
    return this.#bytes.readInt8(this.#at - 1);
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#bytes.readBigInt64BE(this.#at - 8);
  }

  uvarint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes.readUInt8(this.#at);
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  bytes(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError('the answer ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Null is read as ''. */
  string(): string {
    return this.bytes(Math.max(0, this.int16())).toString('utf8');
  }

  /** Null is read as ''. */
  compactString(): string {
    return this.bytes(Math.max(0, this.uvarint() - 1)).toString('utf8');
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read);
  }

  compactArray<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.uvarint() - 1) }, read);
  }

  /** Skips tagged fields. */
  tags(): void {
    for (let left = this.uvarint(); left > 0; left -= 1) {
      this.uvarint();
      this.bytes(this.uvarint());
    }
  }
}
