import fc from 'fast-check';
import { z } from 'zod';
import { keyFieldOf } from '#connectors/gateway/events/event_validator';
import { timeFieldValue } from '#kernel/event_fields';
import { stableHash32 } from '#kernel/hashes/hash';
import type { EventFields, EventSource } from '../definitions/sources/source.ts';

export interface SampleSettings {
  readonly events: number;
  readonly seed: number;
  /** Time of the newest event, ms; they spread over `spanMs` before it. */
  readonly endMs: number;
  readonly spanMs: number;
  /** Entities that the events are of; default: 20. */
  readonly entities?: number;
}

type Definitions = Readonly<Record<string, JsonSchema>>;

/** What of JSON Schema values are made from. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  /** Of a tuple. */
  readonly prefixItems?: readonly JsonSchema[];
  /** Of types that are parts of themselves: `#/$defs/NAME`. */
  readonly $ref?: string;
  readonly $defs?: Definitions;
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly examples?: readonly unknown[];
}

/**
 * Returns events that a source's schema takes: with its example's values where it has one, otherwise made from the schema. The same settings give the same
 * events.
 *
 * @param joinKeys - fields that say whose event it is, of which there are `entities` different values
 */
export function sampleEvents(
  source: EventSource,
  joinKeys: readonly string[],
  { events, seed, endMs, spanMs, entities = 20 }: SampleSettings,
): readonly EventFields[] {
  const schema = jsonSchemaOf(source.schema);
  const { eventIdField, timestampField, eventTypes } = source;
  const keyField = keyFieldOf(source);
  const arbitrary = arbitraryOf(schema, schema.$defs) as fc.Arbitrary<Record<string, unknown>>;
  const made = fc.sample(arbitrary, { numRuns: events, seed });
  const owners = fc.sample(arbitrary, { numRuns: entities, seed: seed + 1 });
  return made.map((fields, nth) => {
    const entity = stableHash32(`${seed}:${nth}`) % entities;
    const owner = owners[entity] as Record<string, unknown>;
    const event: Record<string, unknown> = { ...fields, ...without(source.example ?? {}, joinKeys) };
    for (const name of new Set([...joinKeys, keyField])) {
      if (schema.properties?.[name] === undefined) continue;
      event[name] = isFree(schema.properties[name]) ? `sample-${entity}` : (owner[name] ?? fields[name]);
    }
    event.event_type = eventTypes[nth % eventTypes.length];
    event[eventIdField] = `sample-${seed}-${nth}`;
    const timeMs = endMs - spanMs + Math.floor(((nth + 1) / events) * spanMs);
    event[timestampField] = timeFieldValue(timeMs, source, fields[timestampField]);
    return event;
  });
}

/** A schema of zod as JSON Schema, with the forms that integers of any size and dates have in events. */
const jsonSchemaOf = (schema: z.ZodObject): JsonSchema =>
  z.toJSONSchema(schema, {
    ...{ io: 'input', unrepresentable: 'any' },
    override({ zodSchema, jsonSchema }) {
      const { type } = zodSchema._zod.def;
      if (type === 'bigint') Object.assign(jsonSchema, { type: 'integer' });
      if (type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' });
    },
  }) as JsonSchema;

const without = (fields: EventFields, names: readonly string[]): EventFields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

/** Whether any short string will do. */
const isFree = ({ type, pattern, format, maxLength = 64, enum: values, const: constant }: JsonSchema = {}): boolean =>
  type === 'string' &&
  pattern === undefined &&
  format === undefined &&
  maxLength >= 16 &&
  values === undefined &&
  constant === undefined;

/** How deep a type holds itself, at most. */
const MOST_DEPTH = 2;

/** Values of a JSON schema; such as it leaves open are strings. */
function arbitraryOf(schema: JsonSchema, definitions: Definitions = {}, depth = 0): fc.Arbitrary<unknown> {
  const of = (part: JsonSchema): fc.Arbitrary<unknown> => arbitraryOf(part, definitions, depth);
  if (schema.$ref !== undefined) {
    const referred = definitions[schema.$ref.slice('#/$defs/'.length)] ?? {};
    return arbitraryOf(depth < MOST_DEPTH ? referred : shallowOf(referred), definitions, depth + 1);
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map(of));
  const [type] = [schema.type ?? 'string'].flat();
  switch (type) {
    case 'object': {
      const required = new Set(schema.required ?? []);
      const properties = Object.entries(schema.properties ?? {});
      return fc
        .record(Object.fromEntries(properties.map(([name, part]) => [name, of(part)])), {
          requiredKeys: properties.map(([name]) => name).filter((name) => required.has(name)),
          noNullPrototype: true,
        })
        .map((value): unknown => value);
    }
    case 'array':
      if (schema.prefixItems !== undefined) return fc.tuple(...schema.prefixItems.map(of));
      return fc.array(of(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 3, 5),
      });
    case 'integer':
      if (schema.multipleOf !== undefined) return multiplesOf(schema.multipleOf, schema);
      return fc.integer({ min: Math.ceil(leastOf(schema)), max: Math.floor(mostOf(schema)) });
    case 'number':
      if (schema.multipleOf !== undefined) return multiplesOf(schema.multipleOf, schema);
      return fc
        .integer({ min: Math.ceil(leastOf(schema) * 100), max: Math.floor(mostOf(schema) * 100) })
        .map((hundredths) => hundredths / 100);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return stringOf(schema);
  }
}

/** Returns a type that holds itself without the choices that do. */
const shallowOf = ({ anyOf, ...schema }: JsonSchema): JsonSchema => {
  const plain = anyOf?.filter(({ type }) => type !== 'array' && type !== 'object') ?? [];
  return plain.length === 0 ? schema : { ...schema, anyOf: plain };
};

const multiplesOf = (of: number, schema: JsonSchema): fc.Arbitrary<number> =>
  fc.integer({ min: Math.ceil(leastOf(schema) / of), max: Math.floor(mostOf(schema) / of) }).map((times) => times * of);

/** Numbers of a size that people know, where the schema allows it. */
const leastOf = ({ minimum, exclusiveMinimum }: JsonSchema): number =>
  Math.max(
    exclusiveMinimum === undefined ? -1e6 : exclusiveMinimum + 0.01,
    minimum ?? -1e6,
    minimum === undefined && exclusiveMinimum === undefined ? 0 : -1e6,
  );
const mostOf = (schema: JsonSchema): number => {
  const most = Math.min(
    schema.maximum ?? Number.POSITIVE_INFINITY,
    (schema.exclusiveMaximum ?? Number.POSITIVE_INFINITY) - 0.01,
  );
  return Math.min(most, Math.max(leastOf(schema) + 1_000, 1_000));
};

const nameOf = (): fc.Arbitrary<string> => fc.stringMatching(/^[a-z]{3,8}$/);

/** Strings of formats that no pattern describes, or one that fast-check does not read. */
const FORMATS: Readonly<Record<string, () => fc.Arbitrary<string>>> = {
  uuid: () => fc.uuid(),
  email: () => fc.tuple(nameOf(), nameOf()).map(([name, domain]) => `${name}@${domain}.com`),
  uri: () => nameOf().map((name) => `https://${name}.com/`),
  duration: () => fc.integer({ min: 1, max: 90 }).map((minutes) => `PT${minutes}M`),
  emoji: () => fc.constantFrom('😀', '🚀', '👍'),
  jwt: () => fc.constant('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmVk'),
};

/** Returns strings of a pattern; undefined for one that fast-check does not read, as with a look-ahead. */
function matchingOf(pattern: string): fc.Arbitrary<string> | undefined {
  try {
    return fc.stringMatching(new RegExp(pattern));
  } catch {
    return undefined;
  }
}

function stringOf({ format, pattern, minLength = 1, maxLength = 12 }: JsonSchema): fc.Arbitrary<string> {
  if (format === 'date-time') {
    return fc
      .integer({ min: 0, max: 1_000_000 })
      .map((seconds) => new Date(1_700_000_000_000 + seconds * 1_000).toISOString());
  }
  const made = FORMATS[format ?? '']?.();
  if (made !== undefined) return made;
  const matching = pattern === undefined ? undefined : matchingOf(pattern);
  if (matching !== undefined) {
    return matching.filter((text) => text.length >= minLength && text.length <= Math.max(maxLength, 64));
  }
  const letters = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz');
  return fc.string({ unit: letters, minLength, maxLength: Math.max(minLength, Math.min(maxLength, 12)) });
}
