import type { z } from 'zod';
import { functionIdentityOf } from '#kernel/functions/function_identity';
import type { Code } from './code_identity.ts';

/** Parts of a zod schema that only change messages, and patterns of formats, which follow from the format's name. */
const OF_MESSAGES: ReadonlySet<string> = new Set(['error', 'abort', 'message', 'version', 'when', 'pattern']);
const NAMED_BY_PATTERN: ReadonlySet<unknown> = new Set(['regex', 'template_literal']);

/** Returns what values a schema takes, and what it makes of them, as data: equal for schemas that do the same. */
export function describeSchema(schema: unknown, within: readonly unknown[] = []): unknown {
  const def = (schema as z.core.$ZodType)._zod.def as unknown as Readonly<Record<string, unknown>>;
  return describeParts(def, [...within, schema]);
}

function describeParts(def: Readonly<Record<string, unknown>>, within: readonly unknown[]): unknown {
  const parts = Object.keys(def)
    .sort()
    .flatMap((key): [string, unknown][] => {
      const isNaming = key === 'pattern' && (NAMED_BY_PATTERN.has(def.format) || def.format === undefined);
      const value = def[key];
      if (value === undefined || (OF_MESSAGES.has(key) && !isNaming)) return [];
      if (key === 'checks' && Array.isArray(value) && value.length === 0) return [];
      return [[key, describePart(value, within)]];
    });
  return Object.fromEntries(parts);
}

function describePart(value: unknown, within: readonly unknown[]): unknown {
  if (typeof value === 'function') return { code: functionIdentityOf(value as Code).hash };
  if (typeof value === 'bigint') return { bigint: `${value}` };
  if (typeof value === 'number' && !Number.isFinite(value)) return { number: `${value}` };
  if (typeof value !== 'object' || value === null) return value;
  // A schema of itself, by `z.lazy` or a getter.
  if (within.includes(value)) return { recursion: within.length - within.indexOf(value) };
  if ('_zod' in value) return describeSchema(value, within);
  if (value instanceof RegExp) return { regex: value.source, flags: value.flags };
  if (value instanceof Date) return { date: value.getTime() };
  if (Array.isArray(value)) return value.map((part) => describePart(part, [...within, value]));
  if (value instanceof Set || value instanceof Map)
    return [...value].map((part) => describePart(part, [...within, value]));
  return describeParts(value as Readonly<Record<string, unknown>>, [...within, value]);
}
