import fc from 'fast-check';
import type { JsonSchema } from '#feature_store/testing/sample_events';

/** A value that a schema does not allow, right but for one field. */
export interface Wrong {
  /** `type`, `missing`, `unknown`, `empty`, `huge`, `value` */
  readonly what: string;
  /** Dotted path of what is wrong. */
  readonly field: string;
  readonly value: unknown;
}

const formsOf = ({ anyOf, oneOf }: JsonSchema): readonly JsonSchema[] | undefined => anyOf ?? oneOf;

/** The JSON types that a schema allows; none: all. */
const typesOf = (schema: JsonSchema): readonly string[] => {
  const forms = formsOf(schema);
  if (forms !== undefined) return forms.some((form) => typesOf(form).length === 0) ? [] : forms.flatMap(typesOf);
  if (schema.type !== undefined) return [schema.type].flat();
  if (schema.const !== undefined) return [kindOf(schema.const)];
  return schema.enum === undefined ? [] : schema.enum.map(kindOf);
};

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/** Returns a value that the schema allows: an example of its own, or the smallest. */
export function sampled(schema: JsonSchema): unknown {
  const [example] = schema.examples ?? [];
  if (example !== undefined) return example;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const [form] = formsOf(schema) ?? [];
  if (form !== undefined) return sampled(form);
  switch (typesOf(schema)[0]) {
    case 'object':
      return Object.fromEntries(
        (schema.required ?? []).map((name) => [name, sampled(schema.properties?.[name] ?? {})]),
      );
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, () => sampled(schema.items ?? {}));
    case 'integer':
    case 'number':
      return schema.minimum ?? (schema.exclusiveMinimum ?? 0) + 1;
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      if (schema.format === 'date-time') return '2026-11-28T12:00:00Z';
      return schema.format === 'date' ? '2026-11-28' : 'x'.repeat(Math.max(1, schema.minLength ?? 1));
  }
}

/** Values of one JSON type, nested ones among them. */
const OF_TYPE: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  string: fc.constantFrom('', 'x', '1e3x', '{}', 'é'.repeat(50)),
  // 1e300 is an integer.
  number: fc.constantFrom(0.5, -1.25, 1e-3),
  integer: fc.constantFrom(0, -7, 12_345),
  boolean: fc.boolean(),
  null: fc.constant(null),
  array: fc.constantFrom<unknown>([], [null], [[[]]], [{ a: [1] }]),
  object: fc.constantFrom<unknown>({}, { toString: 1 }, { a: { b: { c: [] } } }),
};

/** Values of the types that are not among these. In a text everything is text: only one that is no value of the type is wrong. */
function ofOtherTypes(types: readonly string[], isText: boolean): fc.Arbitrary<unknown> | undefined {
  if (types.length === 0) return undefined;
  if (isText) return types.includes('string') ? undefined : fc.constantFrom('x', '1x', '[]', '{"a":1}', 'é');
  const others = Object.keys(OF_TYPE).filter(
    (type) => !types.includes(type) && !(type === 'integer' && types.includes('number')),
  );
  return others.length === 0 ? undefined : fc.oneof(...others.map((type) => OF_TYPE[type] as fc.Arbitrary<unknown>));
}

/** Values of the right type that limits, choices and formats do not allow, by what is wrong with them. */
function beyondLimits(schema: JsonSchema, value: unknown): readonly (readonly [what: string, value: unknown])[] {
  const { minLength = 0, maxLength, minItems = 0, maxItems, minimum, maximum, exclusiveMinimum, items = {} } = schema;
  const types = typesOf(schema);
  const isNumber = types.includes('number') || types.includes('integer');
  return [
    ...(types.includes('string') && minLength > 0 ? [['empty', ''] as const] : []),
    ...(maxLength === undefined ? [] : [['huge', 'x'.repeat(maxLength + 1)] as const]),
    ...(minItems > 0 ? [['empty', []] as const] : []),
    ...(maxItems === undefined
      ? []
      : [
          [
            'huge',
            Array.from({ length: maxItems + 1 }, () => (value as readonly unknown[])?.[0] ?? sampled(items)),
          ] as const,
        ]),
    ...(minimum === undefined ? [] : [['value', minimum - 1] as const]),
    ...(maximum === undefined ? [] : [['huge', maximum + 1] as const]),
    ...(exclusiveMinimum === undefined ? [] : [['value', exclusiveMinimum] as const]),
    ...(isNumber && !types.includes('number') ? [['value', (minimum ?? 0) + 0.5] as const] : []),
    ...(schema.enum !== undefined && types.includes('string') ? [['value', 'none of these'] as const] : []),
    ...(schema.format === 'date' || schema.format === 'date-time' ? [['value', 'soon'] as const] : []),
    ...(schema.pattern === undefined ? [] : [['value', '!? !'] as const]),
  ];
}

/** The form of the value, among those that a schema has. */
const formOf = (schema: JsonSchema, value: unknown): JsonSchema =>
  formsOf(schema)?.find((form) => {
    const { event_type: type } = form.properties ?? {};
    // Forms of events differ in their type.
    if (type?.const !== undefined) return (value as { event_type?: unknown }).event_type === type.const;
    const known = Object.keys(form.properties ?? {});
    const isKind = typesOf(form).includes(kindOf(value));
    return isKind && (known.length === 0 || Object.keys(value as object).every((name) => known.includes(name)));
  }) ?? schema;

/**
 * Makes values that a schema does not allow, each right but for one field: of another type, missing, unknown, empty, too large, nested, outside of limits. Three are drawn for
 * each field and type.
 *
 * @param isText - the values are text, of a URL or a header
 */
export function wrongValues(schema: JsonSchema, seed: number, { isText = false } = {}): readonly Wrong[] {
  const valid = isText ? {} : sampled(schema);
  return wrongIn(schema, valid, { seed, isText, isRoot: true });
}

interface Way {
  readonly seed: number;
  readonly isText: boolean;
  readonly isRoot: boolean;
}

function wrongIn(schema: JsonSchema, value: unknown, way: Way): readonly Wrong[] {
  const { seed, isText, isRoot } = way;
  const within = { ...way, isRoot: false };
  const others = isText && isRoot ? undefined : ofOtherTypes(typesOf(schema), isText);
  const own: Wrong[] = [
    ...(others === undefined
      ? []
      : fc.sample(others, { numRuns: 3, seed }).map((other) => ({ what: 'type', field: '', value: other }))),
    ...beyondLimits(schema, value).map(([what, other]) => ({ what, field: '', value: other })),
  ];
  const form = formOf(schema, value);
  if (form.properties !== undefined && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const fields = value as Readonly<Record<string, unknown>>;
    for (const name of form.required ?? []) {
      const { [name]: _, ...rest } = fields;
      own.push({ what: 'missing', field: name, value: rest });
    }
    if (form.additionalProperties === false) {
      own.push({ what: 'unknown', field: 'unknown_field', value: { ...fields, unknown_field: 1 } });
    }
    for (const [name, property] of Object.entries(form.properties)) {
      const inner = fields[name] ?? sampled(property);
      for (const wrong of wrongIn(property, inner, within)) {
        own.push({ ...wrong, field: under(name, wrong.field), value: { ...fields, [name]: wrong.value } });
      }
    }
  }
  if (form.items !== undefined && Array.isArray(value)) {
    const [first = sampled(form.items), ...rest] = value as readonly unknown[];
    for (const wrong of wrongIn(form.items, first, within)) {
      own.push({ ...wrong, field: under('0', wrong.field), value: [wrong.value, ...rest] });
    }
  }
  return own;
}

const under = (name: string, field: string): string => (field === '' ? name : `${name}.${field}`);
