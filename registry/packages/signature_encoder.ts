import { halfBits } from '../graphs/half_float.ts';
import { INTEGER_RANGES, LARGEST_FLOAT } from '../graphs/typed_tensor.ts';
import type { OnnxElement } from '../onnx/onnx_proto.ts';
import type { ColumnType, InputColumn, ModelSignature, RowValues } from './model_package.ts';

export interface ColumnProblem {
  readonly field: string;
  readonly problem: string;
}

/** Turns feature maps into rows of the model's input tensor, by the rules of its signature. */
export interface SignatureEncoder {
  readonly width: number;
  readonly names: readonly string[];
  readonly types: readonly ColumnType[];
  /** What the model sees for a missing column; undefined where it is required. */
  readonly missing: readonly (number | undefined)[];
  /** Strings that the model takes as they are, by the number that stands for them; undefined where it takes none. */
  readonly texts: TextNumbers | undefined;
  /** Of each column, whether it is a string that the model takes as it is. */
  readonly isText: readonly boolean[];
  /** Of each column, whether any finite number that its rows hold is one that the graph takes. */
  readonly takesAllNumbers: readonly boolean[];
  /** Whether its rows are FP64, because the graph takes what FP32 does not hold. */
  readonly isWide: boolean;
  /** Returns room for so many rows. */
  allocate(rows: number): RowValues;
  /** One value of a column: what the model sees, or what is wrong with it. */
  encodeValue(column: number, value: unknown): number | string;
  /**
   * Writes one row at `offset`; the problems found, all of them, or undefined when there are none.
   *
   * Rules: double and long take finite numbers (long: integers), which the graph's own type must hold; boolean takes true, false, 0 and 1; string takes strings,
   * mapped by the stored categories, or to the model as they are. null or absent is missing: a problem for a required column, `missing` for others.
   * Names that are no column are a problem.
   */
  encode(features: Readonly<Record<string, unknown>>, into: RowValues, offset: number): ColumnProblem[] | undefined;
}

/** Strings that are kept: the oldest make room for others, long after the rows that they were in have been computed. */
const TEXTS_KEPT = 2 ** 20;
/** The first ones stay: a model's examples are among them. */
const TEXTS_THAT_STAY = 2 ** 12;

/** Numbers that stand for strings on their way to a model, which rows of FP32 can hold. */
export class TextNumbers {
  readonly #texts: string[] = [];
  readonly #numbers = new Map<string, number>();
  #next = 0;

  numberOf(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number =
      this.#next < TEXTS_KEPT
        ? this.#next
        : TEXTS_THAT_STAY + ((this.#next - TEXTS_THAT_STAY) % (TEXTS_KEPT - TEXTS_THAT_STAY));
    const before = this.#texts[number];
    if (before !== undefined) this.#numbers.delete(before);
    this.#texts[number] = text;
    this.#numbers.set(text, number);
    this.#next += 1;
    return number;
  }

  textOf(number: number): string {
    return this.#texts[number] ?? '';
  }
}

/**
 * Returns rows of one model as another of the same columns takes them: strings have other numbers in each, and one may take FP64 where the other takes FP32.
 *
 * @param input - [rows, columns], as `from` has encoded them
 */
export function reencoded(from: SignatureEncoder, to: SignatureEncoder, input: RowValues): RowValues {
  if (from === to || (from.texts === undefined && to.texts === undefined && from.isWide === to.isWide)) return input;
  const { width } = to;
  const into = to.allocate(input.length / width);
  for (const [at, value] of input.entries()) {
    const isText = from.isText[at % width] === true && from.texts !== undefined && to.texts !== undefined;
    into[at] = isText ? to.texts.numberOf(from.texts.textOf(value)) : value;
  }
  return into;
}

type EncodeColumn = (value: unknown) => number | string;

export function createEncoder({ inputs, onnx }: ModelSignature): SignatureEncoder {
  const names = inputs.map(({ name }) => name);
  const known = new Set(names);
  const elements = (onnx.inputs ?? []).flatMap(({ element, columns }) =>
    Array.from({ length: columns }, () => element),
  );
  const texts = elements.includes('string') ? new TextNumbers() : undefined;
  const encoders = inputs.map((column, index) => columnEncoder(column, elements[index], texts));
  const width = inputs.length;
  const isWide = elements.some((element) => WIDE.has(element));
  return {
    ...{ width, names, texts, isWide },
    takesAllNumbers: inputs.map((_, index) => ['float32', 'float64'].includes(elements[index] ?? 'float32')),
    isText: inputs.map((_, index) => elements[index] === 'string'),
    allocate: (rows) => (isWide ? new Float64Array(rows * width) : new Float32Array(rows * width)),
    types: inputs.map(({ type }) => type),
    missing: inputs.map(({ required, missing = Number.NaN }, index) =>
      required || (cannotMiss(elements[index]) && Number.isNaN(missing)) ? undefined : missing,
    ),
    encodeValue: (column, value) => (encoders[column] as EncodeColumn)(value),
    encode(features, into, offset) {
      let problems: ColumnProblem[] | undefined;
      for (let index = 0; index < width; index += 1) {
        const name = names[index] as string;
        const value = (encoders[index] as EncodeColumn)(features[name]);
        if (typeof value === 'number') into[offset + index] = value;
        else {
          problems ??= [];
          problems.push({ field: name, problem: value });
        }
      }
      for (const name in features) {
        if (!known.has(name)) {
          problems ??= [];
          problems.push({ field: name, problem: 'is not a feature of this model' });
        }
      }
      return problems;
    },
  };
}

/** What FP32 does not hold. */
const WIDE: ReadonlySet<OnnxElement> = new Set(['float64', 'int32', 'int64', 'uint32', 'uint64']);
/** Only floats have a value for what is missing: NaN. */
const cannotMiss = (element: OnnxElement | undefined): boolean => element !== undefined && !element.startsWith('float');
/** Integers of a request are exact up to here. */
const LARGEST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function columnEncoder(
  column: InputColumn,
  element: OnnxElement | undefined,
  texts: TextNumbers | undefined,
): EncodeColumn {
  const present = element === 'string' ? textEncoder(texts as TextNumbers) : presentEncoder(column);
  const stand = column.missing ?? Number.NaN;
  const isMust = cannotMiss(element) && column.missing === undefined;
  const whenNull = isMust || (column.required && column.nullable !== true) ? 'is required' : stand;
  const whenAbsent = column.required ? 'is required' : whenNull;
  const fits = fitsElement(element ?? 'float32');
  return (value) => {
    if (value === undefined) return whenAbsent;
    if (value === null) return whenNull;
    const encoded = present(value);
    return typeof encoded === 'string' ? encoded : (fits(encoded) ?? encoded);
  };
}

/** Returns what is wrong with a number for a tensor of this type; undefined where the tensor holds it. */
function fitsElement(element: OnnxElement): (value: number) => string | undefined {
  if (element === 'string' || element === 'bool' || element === 'float64') return () => undefined;
  if (element === 'float32') {
    return (value) =>
      Number.isFinite(Math.fround(value)) ? undefined : `must be within ±${LARGEST_FLOAT.float32}, as FP32 has it`;
  }
  if (element === 'float16') {
    return (value) =>
      (halfBits(value) & 0x7c00) === 0x7c00 ? `must be within ±${LARGEST_FLOAT.float16}, as FP16 has it` : undefined;
  }
  const [lowest, highest] = INTEGER_RANGES[element] as readonly [bigint, bigint];
  const least = Number(lowest < -LARGEST_SAFE ? -LARGEST_SAFE : lowest);
  const most = Number(highest > LARGEST_SAFE ? LARGEST_SAFE : highest);
  return (value) => {
    if (!Number.isInteger(value)) return 'must be an integer';
    return value >= least && value <= most ? undefined : `must be from ${least} to ${most}`;
  };
}

const textEncoder =
  (texts: TextNumbers): EncodeColumn =>
  (value) =>
    typeof value === 'string' ? texts.numberOf(value) : 'must be a string';

function presentEncoder(column: InputColumn): EncodeColumn {
  switch (column.type) {
    case 'double':
      return (value) => (typeof value === 'number' && Number.isFinite(value) ? value : 'must be a number');
    case 'long':
      return (value) => (Number.isInteger(value) ? (value as number) : 'must be an integer');
    case 'boolean':
      return (value) => {
        if (value === true || value === 1) return 1;
        return value === false || value === 0 ? 0 : 'must be true or false';
      };
    case 'string': {
      const categories = new Map(Object.entries(column.categories ?? {}));
      const list = [...categories.keys()].join(', ');
      const { unknownCategory } = column;
      return (value) => {
        if (typeof value !== 'string') return 'must be a string';
        return categories.get(value) ?? unknownCategory ?? `"${value}" is not one of ${list}`;
      };
    }
  }
}
