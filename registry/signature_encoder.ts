import type { ColumnType, InputColumn, ModelSignature } from './model_package.ts';
import type { OnnxElement } from './onnx/onnx_proto.ts';

export interface ColumnProblem {
  readonly field: string;
  readonly problem: string;
}

/** Turns feature maps into rows of the model's input tensor, by the rules of its signature. */
export interface SignatureEncoder {
  readonly width: number;
  readonly names: readonly string[];
  readonly types: readonly ColumnType[];
  /** What the model sees for a column that is not there; undefined where it is required. */
  readonly missing: readonly (number | undefined)[];
  /** Texts that the model takes as they are, by the number that stands for them; undefined where it takes none. */
  readonly texts: TextNumbers | undefined;
  /** One value of a column: what the model sees, or what is wrong with it. */
  encodeValue(column: number, value: unknown): number | string;
  /**
   * Writes one row at `offset`; the problems found, all of them, or undefined when there are none.
   *
   * Rules: double and long take finite numbers (long: whole ones); boolean takes true, false, 0 and 1; string takes strings,
   * mapped by the stored categories, or to the model as they are. null or absent is missing: a problem for a required column, `missing` for others.
   * Names that are no column are a problem.
   */
  encode(features: Readonly<Record<string, unknown>>, into: Float32Array, offset: number): ColumnProblem[] | undefined;
}

/** Texts that are kept: the oldest make room for others, long after the rows that they were in have been computed. */
const TEXTS_KEPT = 2 ** 20;
/** The first ones stay: a model's examples are among them. */
const TEXTS_THAT_STAY = 2 ** 12;

/** Numbers that stand for texts on their way to a model, which rows of FP32 can hold. */
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
  return {
    ...{ width, names, texts },
    types: inputs.map(({ type }) => type),
    missing: inputs.map(({ required, missing = Number.NaN }) => (required ? undefined : missing)),
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

/** Beyond that, FP32 does not hold every whole number. */
const LARGEST_WHOLE = 2 ** 24;

function columnEncoder(
  column: InputColumn,
  element: OnnxElement | undefined,
  texts: TextNumbers | undefined,
): EncodeColumn {
  const present = element === 'string' ? textEncoder(texts as TextNumbers) : presentEncoder(column);
  const isWhole = element === 'int64' || element === 'int32';
  const isFilled = isWhole || element === 'bool' || element === 'string';
  // Only FP32 and FP64 have a value for what is missing.
  const stand = column.missing ?? Number.NaN;
  const whenMissing = column.required || (isFilled && column.missing === undefined) ? 'is required' : stand;
  return (value) => {
    if (value === undefined || value === null) return whenMissing;
    const encoded = present(value);
    return isWhole && Math.abs(encoded as number) > LARGEST_WHOLE ? `must be within ±${LARGEST_WHOLE}` : encoded;
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
      return (value) => (Number.isInteger(value) ? (value as number) : 'must be a whole number');
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
