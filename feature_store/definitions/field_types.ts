import { z } from 'zod';
import type { Aggregation, FeatureType } from './feature.ts';
import type { JoinKeyType } from './source.ts';

type FieldType = 'number' | 'boolean' | 'string';

/** What a field of an event holds; undefined where the schema does not say. */
export function fieldTypeOf(schema: z.ZodObject, name: string): FieldType | undefined {
  let field: unknown = schema.shape[name];
  while (field instanceof z.ZodOptional || field instanceof z.ZodNullable || field instanceof z.ZodDefault) {
    field = field.unwrap();
  }
  if (field instanceof z.ZodNumber) return 'number';
  if (field instanceof z.ZodBoolean) return 'boolean';
  if (field instanceof z.ZodString || field instanceof z.ZodEnum || field instanceof z.ZodStringFormat) return 'string';
  return undefined;
}

const HELD_BY: Readonly<Record<FeatureType, FieldType>> = {
  double: 'number',
  long: 'number',
  boolean: 'boolean',
  string: 'string',
};

/** @returns why a feature of this type cannot be that field; undefined when it can, or the schema does not say */
export function typeProblem(schema: z.ZodObject, name: string, type: FeatureType): string | undefined {
  const held = fieldTypeOf(schema, name);
  if (held === undefined || held === HELD_BY[type]) return undefined;
  return `it is ${type}, and field ${name} holds a ${held}`;
}

const OF_NUMBERS: ReadonlySet<Aggregation> = new Set(['sum', 'mean', 'min', 'max', 'stddev', 'variance', 'percentile']);

/** @returns why this cannot be aggregated so; undefined when it can */
export function aggregationProblem(
  held: FieldType | undefined,
  name: string,
  aggregation: Aggregation,
): string | undefined {
  if (held === undefined || held === 'number' || !OF_NUMBERS.has(aggregation)) return undefined;
  return `${aggregation} is of numbers, and ${name} is a ${held}`;
}

export const fieldTypeOfFeature = (type: FeatureType): FieldType => HELD_BY[type];

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
