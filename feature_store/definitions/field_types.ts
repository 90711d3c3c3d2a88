import { z } from 'zod';
import type { Aggregation, WindowFeature } from './feature.ts';
import type { JoinKeyType } from './sources/source.ts';
import { type FeatureType, typeOf, type ValueType } from './values/value_type.ts';

type FieldType = 'number' | 'bigint' | 'boolean' | 'string';

/** What a field of an event holds; undefined where the schema does not say. */
export function fieldTypeOf(schema: z.ZodObject, name: string): FieldType | undefined {
  let field: unknown = schema.shape[name];
  while (field instanceof z.ZodOptional || field instanceof z.ZodNullable || field instanceof z.ZodDefault) {
    field = field.unwrap();
  }
  if (field instanceof z.ZodNumber) return 'number';
  if (field instanceof z.ZodBigInt) return 'bigint';
  if (field instanceof z.ZodBoolean) return 'boolean';
  if (field instanceof z.ZodString || field instanceof z.ZodEnum || field instanceof z.ZodStringFormat) return 'string';
  return undefined;
}

/** What a field may hold for a feature to be of it; a field whose schema is of none of these, such as an array, may hold any. */
const HELD_BY: Readonly<Record<ValueType['kind'], readonly FieldType[]>> = {
  double: ['number'],
  long: ['number'],
  int64: ['number', 'bigint', 'string'],
  decimal: ['number', 'bigint', 'string'],
  boolean: ['boolean'],
  string: ['string'],
  timestamp: ['string'],
  bytes: ['string'],
  embedding: [],
  array: [],
  struct: [],
};

const canHold = (held: FieldType, type: FeatureType): boolean => HELD_BY[typeOf(type).kind].includes(held);

/** @returns why a feature of this type cannot be that field; undefined when it can, or the schema does not say */
export function typeProblem(schema: z.ZodObject, name: string, type: FeatureType): string | undefined {
  const held = fieldTypeOf(schema, name);
  if (held === undefined || canHold(held, type)) return undefined;
  return `it is ${type}, and field ${name} holds a ${held}`;
}

const OF_NUMBERS: ReadonlySet<Aggregation> = new Set(['sum', 'mean', 'min', 'max', 'stddev', 'variance', 'percentile']);
const EXACT: ReadonlySet<Aggregation> = new Set(['sum', 'min', 'max']);

/**
 * @param input - a field of the schema, or a feature of single events
 * @returns why this cannot be aggregated so; undefined when it can
 */
export function aggregationProblem(
  { aggregation, type }: Pick<WindowFeature, 'aggregation' | 'type'>,
  name: string,
  input: { readonly held: FieldType | undefined } | { readonly type: FeatureType },
): string | undefined {
  if (!OF_NUMBERS.has(aggregation)) return undefined;
  const exact = isExact(type) ? type : undefined;
  if (exact !== undefined && !EXACT.has(aggregation)) return `${aggregation} is a double, not ${type}`;
  if ('type' in input) {
    const kind = typeOf(input.type).kind;
    if (exact !== undefined && exact !== input.type && !(kind === 'long' || kind === 'int64'))
      return `${aggregation} is of ${type}, and ${name} is ${input.type}`;
    if (kind !== 'double' && kind !== 'long' && !isExact(input.type))
      return `${aggregation} is of numbers, and ${name} is ${kind === 'string' || kind === 'boolean' ? 'a ' : ''}${input.type}`;
    return exact === undefined && EXACT.has(aggregation) && isExact(input.type)
      ? `${name} is ${input.type}, and ${aggregation} as ${type} would round it: add { type: '${input.type}' }`
      : undefined;
  }
  const { held } = input;
  if (held === undefined || (exact === undefined ? held === 'number' : canHold(held, exact))) return undefined;
  return exact === undefined && held === 'bigint'
    ? `${name} is a bigint: name the type of ${aggregation}, such as { type: 'int64' }`
    : `${aggregation} is of numbers, and ${name} is a ${held}`;
}

const isExact = (type: FeatureType): boolean => type === 'int64' || type.startsWith('decimal(');

/** @returns what a join key holds by the schema; undefined for what cannot identify an entity */
export const joinKeyTypeOf = (schema: z.ZodObject, name: string): JoinKeyType | undefined =>
  scalarTypeOf(schema.shape[name] as z.ZodType | undefined);

function scalarTypeOf(given: z.core.$ZodType | undefined): JoinKeyType | undefined {
  let field: unknown = given;
  while (
    field instanceof z.ZodOptional ||
    field instanceof z.ZodNullable ||
    field instanceof z.ZodDefault ||
    field instanceof z.ZodPrefault ||
    field instanceof z.ZodNonOptional ||
    field instanceof z.ZodReadonly ||
    field instanceof z.ZodCatch
  ) {
    field = field.unwrap();
  }
  if (field instanceof z.ZodPipe) return scalarTypeOf(field.out);
  if (field instanceof z.ZodNumber) return 'number';
  if (field instanceof z.ZodBigInt) return 'bigint';
  if (field instanceof z.ZodBoolean) return 'boolean';
  if (field instanceof z.ZodString || field instanceof z.ZodStringFormat || field instanceof z.ZodTemplateLiteral)
    return 'string';
  if (field instanceof z.ZodEnum) return sameType(field.options.map((option) => typeof option));
  if (field instanceof z.ZodLiteral) return sameType([...field.values].map((value) => typeof value));
  if (field instanceof z.ZodUnion) return sameType(field.options.map(scalarTypeOf));
  return undefined;
}

/** The type of all of them. */
function sameType(types: readonly (string | undefined)[]): JoinKeyType | undefined {
  const [first, ...others] = new Set(types);
  const isScalar = first === 'string' || first === 'number' || first === 'bigint' || first === 'boolean';
  return isScalar && others.length === 0 ? first : undefined;
}
