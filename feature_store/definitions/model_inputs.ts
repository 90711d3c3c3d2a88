import { DefinitionError } from './errors.ts';
import type { FeatureValue } from './values/feature_row.ts';
import { microsOf } from './values/timestamp_text.ts';
import { type FeatureType, isPlainType, typeOf, type ValueType } from './values/value_type.ts';

/** What a model sees: numbers, booleans and strings. */
export type InputValue = number | string | boolean | null;

/** One input of a model, made of a column of a service: the column itself, or a part of it. */
export interface ModelInput {
  /** `amount`; `address_zip` of a struct, `vector_0` of an embedding. */
  readonly name: string;
  readonly type: 'double' | 'long' | 'boolean' | 'string';
  readonly column: string;
  of(value: FeatureValue): InputValue;
}

interface TypedColumn {
  readonly name: string;
  readonly type: FeatureType;
}

const MICROS_A_SECOND = 1e6;

/**
 * Returns the inputs that a model gets of a service's columns, in their order: decimals and int64 as numbers, timestamps as seconds since 1970, embeddings as a number each, structs
 * as their fields.
 *
 * @throws {@link DefinitionError} naming every column that is no input, such as a list, and inputs of one name
 */
export function modelInputsOf(columns: readonly TypedColumn[]): readonly ModelInput[] {
  const problems: string[] = [];
  const inputs = columns.flatMap(({ name, type }) => inputsOf(name, name, typeOf(type), asItIs, problems));
  const names = inputs.map(({ name }) => name);
  const twice = names.filter((name, at) => names.indexOf(name) !== at);
  for (const name of twice) problems.push(`two columns give an input called ${name}: name one of them otherwise`);
  if (problems.length > 0) throw new DefinitionError(problems);
  return inputs;
}

type Read = (value: FeatureValue) => FeatureValue;
const asItIs: Read = (value) => value;

function inputsOf(name: string, column: string, type: ValueType, read: Read, problems: string[]): ModelInput[] {
  const input = (as: ModelInput['type'], of: (value: FeatureValue) => unknown): ModelInput => ({
    ...{ name, type: as, column },
    of(value) {
      const held = read(value);
      return held === null || held === undefined ? null : (of(held) as InputValue);
    },
  });
  switch (type.kind) {
    case 'double':
    case 'long':
    case 'boolean':
    case 'string':
      return [input(type.kind, asItIs)];
    case 'int64':
    case 'decimal':
      return [input('double', Number)];
    case 'timestamp':
      return [input('double', (value) => Number(microsOf(value as string)) / MICROS_A_SECOND)];
    case 'embedding':
      return Array.from({ length: type.dimension }, (_, at) => ({
        ...{ name: `${name}_${at}`, type: 'double' as const, column },
        of: (value: FeatureValue) => (read(value) as Float32Array | null)?.[at] ?? null,
      }));
    case 'struct':
      return type.fields.flatMap((field) =>
        inputsOf(`${name}_${field.name}`, column, field.type, (value) => fieldOf(read(value), field.name), problems),
      );
    default:
      problems.push(
        `column ${name} is ${type.kind === 'bytes' ? 'bytes' : 'a list'}, which no model takes: leave it out, or make numbers of it`,
      );
      return [];
  }
}

const fieldOf = (value: FeatureValue, name: string): FeatureValue =>
  value === null || value === undefined ? null : ((value as Readonly<Record<string, FeatureValue>>)[name] ?? null);

const isOwnInput = ({ type }: TypedColumn): boolean => isPlainType(type);

const known = new WeakMap<readonly TypedColumn[], ReadonlyMap<string, ModelInput> | null>();

/** Returns a function that gives the inputs of a vector of a service's columns, by name; undefined where each column is its own input. */
export function inputReader(
  columns: readonly TypedColumn[],
): ((values: Readonly<Record<string, FeatureValue>>, input: string) => InputValue | undefined) | undefined {
  let inputs = known.get(columns);
  if (inputs === undefined) {
    inputs = columns.every(isOwnInput)
      ? null
      : new Map(
          columns
            .flatMap(({ name, type }) => inputsOf(name, name, typeOf(type), asItIs, []))
            .map((each) => [each.name, each]),
        );
    known.set(columns, inputs);
  }
  if (inputs === null) return undefined;
  const byName = inputs;
  return (values, name) => {
    const input = byName.get(name);
    return input?.of(values[input.column] ?? null);
  };
}

/** Returns the names of all inputs that columns give; columns that are no input give none. */
export const inputNames = (columns: readonly TypedColumn[]): readonly string[] =>
  columns.flatMap(({ name, type }) => inputsOf(name, name, typeOf(type), asItIs, []).map((input) => input.name));

/** Returns the column that an input may be made of, as far as names tell. */
export function columnOfInput(columns: Readonly<Record<string, unknown>>, input: string): string | undefined {
  if (columns[input] !== undefined) return input;
  for (let at = input.lastIndexOf('_'); at > 0; at = input.lastIndexOf('_', at - 1)) {
    if (columns[input.slice(0, at)] !== undefined) return input.slice(0, at);
  }
  return undefined;
}
