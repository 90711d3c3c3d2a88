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
  const schema = z.toJSONSchema(source.schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const { eventIdField, timestampField, eventTypes } = source;
  const keyField = keyFieldOf(source);
  const made = fc.sample(arbitraryOf(schema) as fc.Arbitrary<Record<string, unknown>>, { numRuns: events, seed });
  const owners = fc.sample(arbitraryOf(schema) as fc.Arbitrary<Record<string, unknown>>, {
    numRuns: entities,
    seed: seed + 1,
  });
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

/** Values of a JSON schema; such as it leaves open are strings. */
function arbitraryOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map(arbitraryOf));
  const [type] = [schema.type ?? 'string'].flat();
  switch (type) {
    case 'object': {
      const required = new Set(schema.required ?? []);
      const properties = Object.entries(schema.properties ?? {});
      return fc
        .record(Object.fromEntries(properties.map(([name, of]) => [name, arbitraryOf(of)])), {
          requiredKeys: properties.map(([name]) => name).filter((name) => required.has(name)),
          noNullPrototype: true,
        })
        .map((value): unknown => value);
    }
    case 'array':
      return fc.array(arbitraryOf(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 3, 5),
      });
    case 'integer':
      return fc.integer({ min: Math.ceil(leastOf(schema)), max: Math.floor(mostOf(schema)) });
    case 'number':
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

function stringOf({ format, pattern, minLength = 1, maxLength = 12 }: JsonSchema): fc.Arbitrary<string> {
  if (format === 'date-time') {
    return fc
      .integer({ min: 0, max: 1_000_000 })
      .map((seconds) => new Date(1_700_000_000_000 + seconds * 1_000).toISOString());
  }
  if (format === 'uuid') return fc.uuid();
  if (format === 'email') return fc.emailAddress();
  if (format === 'uri') return fc.webUrl();
  if (pattern !== undefined) {
    const matching = fc.stringMatching(new RegExp(pattern));
    return matching.filter((text) => text.length >= minLength && text.length <= Math.max(maxLength, 64));
  }
  const letters = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz');
  return fc.string({ unit: letters, minLength, maxLength: Math.max(minLength, Math.min(maxLength, 12)) });
}
