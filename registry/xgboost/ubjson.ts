/** Deeper documents are refused: a model of XGBoost has nine levels. */
const DEEPEST = 64;

type Numbers = Int8Array | Uint8Array | Int16Array | Int32Array | Float32Array | Float64Array | number[];

interface NumberForm {
  readonly size: number;
  readonly room: (count: number) => Numbers;
  readonly read: (view: DataView, at: number) => number;
}

const NUMBERS: Readonly<Record<string, NumberForm>> = {
  i: { size: 1, room: (count) => new Int8Array(count), read: (view, at) => view.getInt8(at) },
  U: { size: 1, room: (count) => new Uint8Array(count), read: (view, at) => view.getUint8(at) },
  I: { size: 2, room: (count) => new Int16Array(count), read: (view, at) => view.getInt16(at) },
  l: { size: 4, room: (count) => new Int32Array(count), read: (view, at) => view.getInt32(at) },
  L: { size: 8, room: (count) => new Array<number>(count), read: (view, at) => exactly(view.getBigInt64(at)) },
  d: { size: 4, room: (count) => new Float32Array(count), read: (view, at) => view.getFloat32(at) },
  D: { size: 8, room: (count) => new Float64Array(count), read: (view, at) => view.getFloat64(at) },
};

function exactly(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`the integer ${value} is beyond 2^53`);
  return number;
}

/**
 * Decodes Universal Binary JSON (draft 12, https://ubjson.org), without high-precision numbers. Arrays of numbers of one type are typed arrays.
 *
 * @throws RangeError naming the byte where the document ends too early or has something else
 */
export function decodeUbjson(bytes: Uint8Array): unknown {
  const reader = new UbjsonReader(bytes);
  const value = reader.value(reader.marker(), 0);
  reader.expectEnd();
  return value;
}

class UbjsonReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Returns the next marker; those of no operation are passed over. */
  marker(): string {
    let marker = this.#character();
    while (marker === 'N') marker = this.#character();
    return marker;
  }

  expectEnd(): void {
    if (this.#at !== this.#bytes.length)
      throw new RangeError(`there are bytes after the document, from byte ${this.#at}`);
  }

  value(marker: string, depth: number): unknown {
    const number = NUMBERS[marker];
    if (number !== undefined) return number.read(this.#view, this.#skip(number.size));
    switch (marker) {
      case '{':
        return this.#object(depth + 1);
      case '[':
        return this.#array(depth + 1);
      case 'S':
        return this.#text();
      case 'C':
        return this.#character();
      case 'T':
        return true;
      case 'F':
        return false;
      case 'Z':
        return null;
      default:
        throw new RangeError(`byte ${this.#at - 1} is ${JSON.stringify(marker)}, which begins no value`);
    }
  }

  #object(depth: number): Record<string, unknown> {
    const { type, count } = this.#header(depth);
    // Names of a document are data.
    const object = Object.create(null) as Record<string, unknown>;
    for (let index = 0; count === undefined || index < count; index += 1) {
      const marker = count === undefined ? this.marker() : undefined;
      if (marker === '}') break;
      const key = this.#text(marker);
      object[key] = this.value(type ?? this.marker(), depth);
    }
    return object;
  }

  #array(depth: number): unknown {
    const { type, count } = this.#header(depth);
    const numbers = type === undefined ? undefined : NUMBERS[type];
    if (numbers !== undefined && count !== undefined) return this.#numbers(numbers, count);
    const array: unknown[] = [];
    while (count === undefined || array.length < count) {
      const marker = type ?? this.marker();
      if (count === undefined && marker === ']') break;
      array.push(this.value(marker, depth));
    }
    return array;
  }

  #numbers({ size, room, read }: NumberForm, count: number): Numbers {
    const from = this.#skip(count * size);
    const numbers = room(count);
    for (let index = 0; index < count; index += 1) numbers[index] = read(this.#view, from + index * size);
    return numbers;
  }

  /** Type and count of a container, which may have neither. */
  #header(depth: number): { readonly type: string | undefined; readonly count: number | undefined } {
    if (depth > DEEPEST) throw new RangeError(`it has more than ${DEEPEST} levels`);
    let type: string | undefined;
    if (this.#next() === '$') {
      this.#at += 1;
      type = this.#character();
      // Values of no bytes could be any number of them.
      if ('TFZN'.includes(type))
        throw new RangeError(`byte ${this.#at - 1}: containers of the type ${type} are not read`);
      if (this.#next() !== '#') throw new RangeError(`byte ${this.#at}: a container with a type has no count`);
    }
    if (this.#next() !== '#') return { type, count: undefined };
    this.#at += 1;
    const count = this.#length();
    if (count > this.#bytes.length - this.#at)
      throw new RangeError(`byte ${this.#at}: ${count} values are more than there are bytes`);
    return { type, count };
  }

  #length(marker = this.#character()): number {
    const form = NUMBERS[marker];
    const length = form?.read(this.#view, this.#skip(form.size));
    if (length === undefined || !Number.isInteger(length) || length < 0) {
      throw new RangeError(`byte ${this.#at}: a length was expected`);
    }
    return length;
  }

  #text(marker?: string): string {
    const length = this.#length(marker);
    const from = this.#skip(length);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + from, length).toString('utf8');
  }

  #next(): string {
    return String.fromCharCode(this.#bytes[this.#at] ?? 0);
  }

  #character(): string {
    return String.fromCharCode(this.#bytes[this.#skip(1)] as number);
  }

  #skip(bytes: number): number {
    const from = this.#at;
    if (from + bytes > this.#bytes.length)
      throw new RangeError(`it ends at byte ${this.#bytes.length}, within a value`);
    this.#at += bytes;
    return from;
  }
}
