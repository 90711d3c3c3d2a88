/** Growing output buffer with the primitives that coders are made of. Not for concurrent use. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length] = value;
    this.#length += 1;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** UTF-8, without its length. */
  text(value: string): void {
    this.#reserve(value.length * 3);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
  }

  /** UTF-8 after its length as a varint. */
  lengthPrefixedText(value: string): void {
    const size = Buffer.byteLength(value, 'utf8');
    this.varint(size);
    this.#reserve(size);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
  }

  /** Base-128, least significant first; negative numbers as 64-bit two's complement. */
  varint(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value <= 0x7fffffff) {
      this.#reserve(5);
      let rest = value;
      while (rest > 0x7f) {
        this.#buffer[this.#length] = (rest & 0x7f) | 0x80;
        this.#length += 1;
        rest >>>= 7;
      }
      this.#buffer[this.#length] = rest;
      this.#length += 1;
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    this.#reserve(10);
    while (rest > 0x7fn) {
      this.#buffer[this.#length] = Number(rest & 0x7fn) | 0x80;
      this.#length += 1;
      rest >>= 7n;
    }
    this.#buffer[this.#length] = Number(rest);
    this.#length += 1;
  }

  int16(value: number): void {
    this.#reserve(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeUInt32BE(value, this.#length);
  }

  int64(value: bigint): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeBigInt64BE(value, this.#length);
  }

  float(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeFloatBE(value, this.#length);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeDoubleBE(value, this.#length);
  }

  /** What was written, as a copy. */
  finish(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#buffer, 0, this.#length);
  }

  /** What was written, only until the next write or reset. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** Reads what a {@link ByteWriter} wrote. @throws RangeError past the end */
export class ByteReader {
  readonly #buffer: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#buffer.length;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#buffer.length - this.#position;
  }

  byte(): number {
    this.#need(1);
    const value = this.#buffer[this.#position] as number;
    this.#position += 1;
    return value;
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    this.#need(length);
    const start = this.#position;
    this.#position += length;
    return this.#buffer.subarray(start, this.#position);
  }

  text(length: number): string {
    this.#need(length);
    const start = this.#position;
    this.#position += length;
    return this.#buffer.toString('utf8', start, this.#position);
  }

  /** A number where it is exact, otherwise a bigint. */
  varint(): number | bigint {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 7; count += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    let wide = BigInt(value);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      wide |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        const signed = BigInt.asIntN(64, wide);
        const number = Number(signed);
        return Number.isSafeInteger(number) ? number : signed;
      }
    }
    throw new RangeError('a varint is longer than 10 bytes: the bytes are not of this coder');
  }

  /** A varint that is a length or a count. */
  size(): number {
    const size = this.varint();
    if (typeof size !== 'number' || size < 0)
      throw new RangeError(`${size} is no length: the bytes are not of this coder`);
    return size;
  }

  int16(): number {
    this.#need(2);
    const value = this.#buffer.readInt16BE(this.#position);
    this.#position += 2;
    return value;
  }

  int32(): number {
    this.#need(4);
    const value = this.#buffer.readInt32BE(this.#position);
    this.#position += 4;
    return value;
  }

  uint32(): number {
    this.#need(4);
    const value = this.#buffer.readUInt32BE(this.#position);
    this.#position += 4;
    return value;
  }

  int64(): bigint {
    this.#need(8);
    const value = this.#buffer.readBigInt64BE(this.#position);
    this.#position += 8;
    return value;
  }

  float(): number {
    this.#need(4);
    const value = this.#buffer.readFloatBE(this.#position);
    this.#position += 4;
    return value;
  }

  double(): number {
    this.#need(8);
    const value = this.#buffer.readDoubleBE(this.#position);
    this.#position += 8;
    return value;
  }

  #need(length: number): void {
    if (this.#position + length > this.#buffer.length) {
      throw new RangeError(
        `${length} bytes expected at ${this.#position} of ${this.#buffer.length}: the bytes are cut short or not of this coder`,
      );
    }
  }
}
