import { isExactNumber } from '#kernel/exact/exact_json';
import type { SignatureEncoder } from '#registry/packages/signature_encoder';
import { ROW_SCAN_WASM } from './kernels/row_scan_wasm.ts';
import { loadKernel, Memory } from './kernels/web_assembly.ts';

interface Kernel {
  readonly TABLES: { readonly value: number };
  configure(columnsAt: number, count: number, followersAt: number, seenAt: number, valuesAt: number): void;
  scan(from: number): number;
}

/** The layout that kernels/row_scan.ts reads. */
const COLUMN_WORDS = 4;
const WORD = 4;
const BODY_AT_LEAST = 2 ** 16;
const QUOTE = 0x22;
/** So few digits are always exact, without an exponent. */
const SURE_DIGITS = 15;
const isSurelyExact = (token: string): boolean => token.length <= SURE_DIGITS && !/[eE]/.test(token);
const LITERALS = new Map<string, boolean | null>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

const kernel = loadKernel(ROW_SCAN_WASM);

/**
 * Reads rows out of the bytes of JSON straight into a model's input, without making objects or strings of them: `{"amount":12.5,"country":"DE",…}`. It
 * reads numbers, strings without escapes, true, false and null, columns in any order, fastest in the one that rows before had. Whatever else it meets,
 * it gives up: then the body is parsed as usual, which also finds what is wrong with it.
 */
export class RowScanner {
  readonly #encoder: SignatureEncoder;
  readonly #memory: Memory;
  readonly #kernel: Kernel;
  readonly #valuesAt: number;
  readonly #bodyAt: number;
  #bytes: Buffer;
  #values: Float32Array;

  constructor(encoder: SignatureEncoder) {
    this.#encoder = encoder;
    const { width, names, types, missing } = encoder;
    const texts = names.map((name) => Buffer.from(JSON.stringify(name)));
    this.#memory = new Memory(1);
    const encode = (column: number, from: number, to: number): number => this.#encode(column, from, to);
    this.#kernel = kernel(this.#memory, { kernel: { encode } }) as Kernel;
    const columnsAt = align(this.#kernel.TABLES.value);
    const followersAt = columnsAt + width * COLUMN_WORDS * WORD;
    const seenAt = followersAt + (width + 1) * WORD;
    this.#valuesAt = seenAt + width * WORD;
    const textsAt = this.#valuesAt + width * WORD;
    this.#bodyAt = align(textsAt + texts.reduce((sum, { length }) => sum + length, 0));
    this.#memory.reserve(this.#bodyAt + BODY_AT_LEAST);
    this.#bytes = this.#memory.bytes;
    this.#values = this.#viewOfValues();
    const words = new Int32Array(this.#memory.bytes.buffer);
    const floats = new Float32Array(this.#memory.bytes.buffer);
    let textAt = textsAt;
    for (const [column, text] of texts.entries()) {
      const at = columnsAt / WORD + column * COLUMN_WORDS;
      words[at] = textAt;
      words[at + 1] = text.length;
      words[at + 2] = types[column] === 'double' ? 1 : 0;
      floats[at + 3] = missing[column] ?? Number.POSITIVE_INFINITY;
      this.#bytes.set(text, textAt);
      textAt += text.length;
    }
    // In the order of the model, until rows come in another.
    for (let column = 0; column <= width; column += 1) words[followersAt / WORD + column] = (column + 1) % width;
    words[followersAt / WORD + width] = 0;
    this.#kernel.configure(columnsAt, width, followersAt, seenAt, this.#valuesAt);
  }

  /** Begins with another body; rows of it are read before the next is opened. */
  open(body: Uint8Array): void {
    const end = this.#bodyAt + body.length;
    if (end >= this.#bytes.length) {
      this.#memory.reserve(end + 1);
      this.#bytes = this.#memory.bytes;
      this.#values = this.#viewOfValues();
    }
    this.#bytes.set(body, this.#bodyAt);
    this.#bytes[end] = 0;
  }

  /**
   * @param from - where in the body the row's brace is
   * @param offset - where its values go in `into`
   * @returns where the body continues after the row; -1: given up
   */
  scan(from: number, into: Float32Array, offset: number): number {
    const end = this.#kernel.scan(this.#bodyAt + from);
    if (end === -1) return -1;
    const values = this.#values;
    for (let column = 0; column < values.length; column += 1) into[offset + column] = values[column] as number;
    return end - this.#bodyAt;
  }

  /** What the kernel does not read itself. @returns infinity for what the column does not take */
  #encode(column: number, from: number, to: number): number {
    const isText = this.#bytes[from] === QUOTE;
    const token = isText ? this.#bytes.toString('utf8', from + 1, to - 1) : this.#bytes.toString('latin1', from, to);
    const isLiteral = LITERALS.has(token);
    // What would not arrive as it was sent is parsed, and refused with its path.
    if (!isText && !isLiteral && !isSurelyExact(token) && !isExactNumber(token)) return Number.POSITIVE_INFINITY;
    const value = isText ? token : isLiteral ? LITERALS.get(token) : Number(token);
    const encoded = this.#encoder.encodeValue(column, value);
    return typeof encoded === 'number' ? encoded : Number.POSITIVE_INFINITY;
  }

  #viewOfValues(): Float32Array {
    return new Float32Array(this.#bytes.buffer, this.#valuesAt, this.#encoder.width);
  }
}

const align = (at: number): number => Math.ceil(at / 8) * 8;
