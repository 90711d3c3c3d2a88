import type { ColumnType, InputColumn, ModelSignature } from './model_package.ts';

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
  /** One value of a column: what the model sees, or what is wrong with it. */
  encodeValue(column: number, value: unknown): number | string;
  /**
   * Writes one row at `offset`; the problems found, all of them, or undefined when there are none.
   *
   * Rules: double and long take finite numbers (long: whole ones); boolean takes true, false, 0 and 1; string takes strings,
   * mapped by the stored categories. null or absent is missing: a problem for a required column, `missing` for others.
   * Names that are no column are a problem.
   */
  encode(features: Readonly<Record<string, unknown>>, into: Float32Array, offset: number): ColumnProblem[] | undefined;
}

type EncodeColumn = (value: unknown) => number | string;

export function createEncoder({ inputs }: ModelSignature): SignatureEncoder {
  const names = inputs.map(({ name }) => name);
  const known = new Set(names);
  const encoders = inputs.map(columnEncoder);
  const width = inputs.length;
  return {
    width,
    names,
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

function columnEncoder(column: InputColumn): EncodeColumn {
  const whenMissing = column.required ? 'is required' : (column.missing ?? Number.NaN);
  const present = presentEncoder(column);
  return (value) => (value === undefined || value === null ? whenMissing : present(value));
}

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
