import { EntityKeyError } from '../errors.ts';
import type { EventSource } from '../sources/source.ts';
import { type EntityKey, entityKeyFromValues, joinKeyValue, type KeyedEntity } from './entity_key.ts';

/** Says of each join key whether events may lack it: such a key was `undefined` or `null`, as an id may be. */
export const optionalJoinKeys = ({
  entity,
  events,
}: KeyedEntity & { readonly events: Pick<EventSource, 'schema'> }): boolean[] =>
  entity.joinKeys.map((field) => {
    const held = events.schema.shape[field] as { safeParse(value: unknown): { readonly success: boolean } } | undefined;
    return held?.safeParse(undefined).success === true || held?.safeParse(null).success === true;
  });

/**
 * Reads a key of releases before entity keys (docs/adr/0017): the join keys as text, `|` between them, without the entity's name.
 *
 * @returns the key as it is now, or why that is ambiguous
 */
export function entityKeyFromPrevious(
  of: KeyedEntity & { readonly events: Pick<EventSource, 'schema'> },
  previous: string,
): { readonly key: EntityKey } | { readonly problem: string } {
  const { joinKeys } = of.entity;
  const parts = joinKeys.length === 1 ? [previous] : previous.split('|');
  if (parts.length !== joinKeys.length) {
    return { problem: `it has ${parts.length} parts for ${joinKeys.length} join keys: it is ambiguous` };
  }
  // For a while `\` and `|` of a part had `\` before them.
  if (joinKeys.length > 1 && /\\[|\\]/.test(previous)) {
    return { problem: 'it has "\\" before "|" or "\\": its parts are ambiguous' };
  }
  const optional = optionalJoinKeys(of);
  const values = parts.map((part, index) => joinKeyValue(of.joinKeyTypes[index] ?? 'string', part));
  const missing = parts.findIndex(
    (part, index) =>
      values[index] === undefined || (optional[index] === true && (part === 'undefined' || part === 'null')),
  );
  if (missing >= 0)
    return { problem: `${joinKeys[missing]} is "${parts[missing]}": it was missing, or of another type` };
  const inexact = values.findIndex((value, index) => of.joinKeyTypes[index] === 'number' && typeof value === 'bigint');
  if (inexact >= 0) return { problem: `${joinKeys[inexact]} is ${parts[inexact]}: beyond 2^53 several ids were one` };
  try {
    return { key: entityKeyFromValues(of, values) };
  } catch (error) {
    if (!(error instanceof EntityKeyError)) throw error;
    return { problem: error.message };
  }
}
