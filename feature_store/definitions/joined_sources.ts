import { z } from 'zod';
import { fieldTypeOf } from './field_types.ts';
import { describeSchema } from './schema_description.ts';
import type { EventSource } from './sources/source.ts';

/** The events that a view is computed from, whatever sources they come from. */
export interface ViewSource {
  /** Names of the sources, `+` between them. */
  readonly name: string;
  readonly eventTypes: readonly [string, ...string[]];
  /** What an event of any of them may hold: a field that only some of the sources have is optional. */
  readonly schema: z.ZodObject;
}

/**
 * Returns what an event's id is unique among: its user's events; of a view with several sources, its user's events of its source, as orders and refunds may both have a number 1.
 *
 * @param source - the event's, by name
 */
export const idOwnerOf = (
  { sources }: { readonly sources: EventSources },
  { source, userId }: { readonly source: string; readonly userId: string | undefined },
): string | undefined => (sources.length === 1 ? userId : JSON.stringify([source, userId ?? null]));

/** One source or more. */
export type EventSources = readonly [EventSource, ...EventSource[]];

/** Returns what events of several sources have in common; of one, the source itself. */
export function joinSources(sources: EventSources): ViewSource {
  const [first, ...others] = sources;
  if (others.length === 0) return first;
  const eventTypes = sources.flatMap((source) => source.eventTypes) as [string, ...string[]];
  const names = new Set(sources.flatMap(({ schema }) => Object.keys(schema.shape)));
  const shape: Record<string, z.ZodType> = {};
  for (const name of names) shape[name] = name === 'event_type' ? z.enum(eventTypes) : joinField(sources, name);
  return { name: sources.map((source) => source.name).join('+'), eventTypes, schema: z.looseObject(shape) };
}

function joinField(sources: EventSources, name: string): z.ZodType {
  const schemas = sources.map(({ schema }) => schema.shape[name] as z.ZodType | undefined);
  const given = schemas.filter((schema) => schema !== undefined);
  const [only, ...others] = new Map(given.map((schema) => [JSON.stringify(describeSchema(schema)), schema])).values();
  const joined = others.length === 0 ? (only as z.ZodType) : z.union([only as z.ZodType, ...others]);
  return given.length === schemas.length ? joined : joined.optional();
}

/** Returns what keeps sources from being read as one: none is there, one is there twice, a field or a type of events has two meanings. */
export function joinProblems(sources: readonly EventSource[]): readonly string[] {
  if (sources.length === 0) return ['it has no source'];
  const problems: string[] = [];
  const named = new Map<string, EventSource>();
  const typed = new Map<string, string>();
  const held = new Map<string, { readonly type: string; readonly in: string }>();
  for (const source of sources) {
    const { name, eventTypes, schema } = source;
    if (named.has(name)) {
      problems.push(`source ${name} is given twice`);
      continue;
    }
    named.set(name, source);
    for (const type of eventTypes) {
      const other = typed.get(type);
      if (other !== undefined) problems.push(`sources ${other} and ${name} both have the event type "${type}"`);
      typed.set(type, name);
    }
    for (const field of Object.keys(schema.shape)) {
      const type = fieldTypeOf(schema, field);
      if (type === undefined) continue;
      const other = held.get(field);
      if (other !== undefined && other.type !== type)
        problems.push(
          `field ${field} is a ${other.type} in ${other.in} and a ${type} in ${name}: give one of them another name, or compute a feature of single events from both`,
        );
      held.set(field, other ?? { type, in: name });
    }
  }
  return problems;
}
