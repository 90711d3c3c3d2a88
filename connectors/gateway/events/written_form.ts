import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';

// Pipelines parse a record with the schema that the gateway has parsed the event with. What a schema has converted (`transform`, `coerce`) would be
// converted twice, and what JSON does not have (dates, bigints) would be another value or none.

type Fields = Readonly<Record<string, unknown>>;

/** Types of schemas that leave a value as it is, or fill in one that is missing. Schemas within them are looked at too. */
const PLAIN: ReadonlySet<string> = new Set([
  ...['string', 'number', 'int', 'boolean', 'null', 'undefined', 'literal', 'enum', 'template_literal'],
  ...['any', 'unknown', 'never', 'object', 'array', 'tuple', 'record', 'union', 'intersection'],
  ...['optional', 'nullable', 'nonoptional', 'default', 'readonly'],
]);

/** Returns whether a schema may give another value than it was given, beside defaults and fields that it drops. */
export function convertsValues(schema: z.ZodType): boolean {
  const visited = new Set<unknown>();
  const converts = (part: unknown): boolean => {
    if (Array.isArray(part)) return part.some(converts);
    if (typeof part !== 'object' || part === null || visited.has(part)) return false;
    visited.add(part);
    const { def } = (part as { readonly _zod?: { readonly def?: Definition } })._zod ?? {};
    if (def === undefined) return false;
    if (def.coerce === true || !PLAIN.has(def.type)) return true;
    if (def.checks?.some((check) => check._zod.def.check === 'overwrite')) return true;
    return [...Object.values(def), ...Object.values(def.shape ?? {})].some(converts);
  };
  return converts(schema);
}

interface Definition {
  readonly type: string;
  readonly coerce?: boolean;
  readonly shape?: Readonly<Record<string, unknown>>;
  readonly checks?: readonly { readonly _zod: { readonly def: { readonly check: string } } }[];
}

/**
 * Returns an event as its record holds it, so that parsing it again gives `parsed`: the parsed fields where the schema leaves these as they are,
 * otherwise the fields as they were sent, without those that the schema drops.
 */
export function writtenForm(schema: z.ZodObject, parsed: Fields, sent: Fields): Fields {
  const written = asJson(parsed);
  const again = written === undefined ? undefined : schema.safeParse(written);
  if (again?.success === true && isDeepStrictEqual(again.data, parsed)) return written as Fields;
  return Object.fromEntries(Object.entries(sent).filter(([name]) => name in schema.shape || name in parsed));
}

/** The fields as JSON has them, bigints as strings; undefined where it has no form for them. */
function asJson(fields: Fields): Fields | undefined {
  try {
    return JSON.parse(jsonOfFields(fields)) as Fields;
  } catch {
    return undefined;
  }
}

/** Returns JSON of an event's fields; bigints are strings of digits. */
export const jsonOfFields = (fields: Fields): string =>
  JSON.stringify(fields, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
