import { messageOf } from '#kernel/errors';
import { InvalidKeyError, MalformedKeyError } from '#kernel/keys/key_errors';
import { type KeyPart, keyTextOf, parseKeyText } from '#kernel/keys/key_text';
import { textOf } from '#kernel/text/text_of';
import { EntityKeyError } from '../errors.ts';
import type { Entity, EventFields, JoinKeyType } from '../sources/source.ts';

/**
 * Identifies an entity everywhere: `<entity>:<text>`, such as `user:u1`, `order:#5`, `sensor:s1|temperature`. The entity's name ends at the first colon, what
 * follows is the key text of its join keys (kernel/keys/key_text.ts). Only this file builds and parses it.
 */
export type EntityKey = string & { readonly __brand: 'EntityKey' };

/** An entity with the types of its join keys: a view, or a feature service. */
export interface KeyedEntity {
  readonly entity: Entity;
  readonly joinKeyTypes: readonly JoinKeyType[];
}

/** Of an id, in UTF-8: PostgreSQL's indexes end at 2,704 bytes. */
const LONGEST_BYTES = 1_024;
/** What is its own key text, as most ids are. */
const PLAIN = /^[\w.@:-][\w.@:# -]{0,199}$/;
/** Digits, in and of 64 bits or not. */
const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Returns the key of the entity that an event is about.
 *
 * @throws {@link EntityKeyError} naming entity and field when a join key is missing, null, empty, not finite, or not exact
 */
export function entityKeyOf({ name, joinKeys }: Entity, event: EventFields): EntityKey {
  if (joinKeys.length === 1) {
    const field = joinKeys[0] as string;
    const value = event[field];
    if (typeof value === 'string' && PLAIN.test(value)) return `${name}:${value}` as EntityKey;
    return keyOf(name, joinKeys, [value]);
  }
  return keyOf(
    name,
    joinKeys,
    joinKeys.map((field) => event[field]),
  );
}

/** Returns the key of the entity that an event identifies; undefined where it identifies none: a join key is missing, or not exact. */
export function keyIn(entity: Entity, event: EventFields): EntityKey | undefined {
  try {
    return entityKeyOf(entity, event);
  } catch (error) {
    if (error instanceof EntityKeyError) return undefined;
    throw error;
  }
}

/** Returns whether an event identifies an entity: it has all of its join keys, and they are exact. */
export const identifies = (entity: Entity, event: EventFields): boolean => keyIn(entity, event) !== undefined;

/**
 * Reads an id as people write it. With one join key it is taken literally, by the type of the join key; with several it is the key text, such as
 * `s1|temperature`, in which numbers may be written without `#`.
 *
 * @throws {@link EntityKeyError} naming the entity, and what its ids look like
 */
export function entityKeyFromId(of: KeyedEntity, id: string): EntityKey {
  const { name, joinKeys } = of.entity;
  if (joinKeys.length > 1) return keyFromText(of, id);
  if (of.joinKeyTypes[0] === 'string') {
    return PLAIN.test(id) ? (`${name}:${id}` as EntityKey) : keyOf(name, joinKeys, [id]);
  }
  return entityKeyFromValues(of, [id]);
}

/** Reads a key as logs, tables and topics have it: `user:u1`. @throws {@link EntityKeyError} when it is none of this entity */
export function entityKeyFromText(of: KeyedEntity, text: string): EntityKey {
  const { name } = of.entity;
  if (!text.startsWith(`${name}:`)) throw new EntityKeyError(name, `"${text}" does not begin with "${name}:"`);
  return keyFromText(of, text.slice(name.length + 1));
}

/**
 * Builds a key of values as files and queries have them, in the order of the join keys: numbers may be strings, integers bigints.
 *
 * @throws {@link EntityKeyError} naming entity and field
 */
export function entityKeyFromValues({ entity, joinKeyTypes }: KeyedEntity, values: readonly unknown[]): EntityKey {
  const { name, joinKeys } = entity;
  const parts = values.map((value, index) => {
    const read = joinKeyValue(joinKeyTypes[index] as JoinKeyType, value);
    if (read === undefined && value !== undefined && value !== null && value !== '') {
      throw new EntityKeyError(name, `${joinKeys[index]} is "${textOf(value)}", and no ${joinKeyTypes[index]}`);
    }
    return read ?? value;
  });
  return keyOf(name, joinKeys, parts);
}

/**
 * Finds whose row of a file or a query it is: by `entity_key`, a key or an id as people write it, or by columns called as the join keys are, which are taken
 * literally.
 *
 * @throws {@link EntityKeyError} when it identifies no entity
 */
export function entityKeyFromRow(of: KeyedEntity, row: Readonly<Record<string, unknown>>): EntityKey {
  const { name, joinKeys } = of.entity;
  const { entity_key: given } = row;
  if (given === undefined) {
    if (joinKeys.some((field) => row[field] === undefined)) {
      throw new EntityKeyError(name, `entity_key is missing, and so is ${joinKeys.join(' or ')}`);
    }
    return entityKeyFromValues(
      of,
      joinKeys.map((field) => row[field]),
    );
  }
  if (typeof given === 'string') {
    return given.startsWith(`${name}:`) ? entityKeyFromText(of, given) : entityKeyFromId(of, given);
  }
  if (given === null) throw new EntityKeyError(name, 'entity_key is null');
  return joinKeys.length === 1 ? entityKeyFromValues(of, [given]) : entityKeyFromId(of, String(given));
}

/** Takes a key apart. @throws {@link MalformedKeyError} when it is none */
export function parseEntityKey(key: string): { readonly entity: string; readonly parts: readonly KeyPart[] } {
  const end = key.indexOf(':');
  if (end < 1) throw new MalformedKeyError(`"${key}" does not begin with an entity's name and a colon`);
  return { entity: key.slice(0, end), parts: parseKeyText(key.slice(end + 1)) };
}

/** Returns the name of a key's entity. */
export const entityOf = (key: EntityKey): string => key.slice(0, key.indexOf(':'));

/** Returns a key's id as people write it: what {@link entityKeyFromId} reads. */
export function idOf(key: EntityKey): string {
  const text = key.slice(key.indexOf(':') + 1);
  const [only, ...others] = parseKeyText(text);
  return others.length > 0 || only instanceof Uint8Array || Array.isArray(only) ? text : String(only);
}

/**
 * Reads a join key's value by its type: strings of CSV files and requests as numbers, bigints as numbers where those are exact.
 *
 * @returns undefined for what is none of the type
 */
export function joinKeyValue(type: JoinKeyType, value: unknown): KeyPart | undefined {
  switch (type) {
    case 'string':
      if (typeof value === 'string') return value;
      if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) return value;
      return typeof value === 'bigint' || typeof value === 'number' ? String(value) : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? value : ({ true: true, false: false } as const)[String(value)];
    default:
      if (typeof value === 'number') return value;
      if (typeof value === 'bigint') return exact(value);
      if (typeof value !== 'string') return undefined;
      if (INTEGER.test(value)) return exact(BigInt(value.replace(/^\+/, '')));
      return type === 'number' && NUMBER.test(value) ? Number(value) : undefined;
  }
}

const exact = (value: bigint): number | bigint =>
  value > -9007199254740992n && value < 9007199254740992n ? Number(value) : value;

function keyFromText(of: KeyedEntity, text: string): EntityKey {
  const { name, joinKeys } = of.entity;
  let parts: readonly KeyPart[];
  try {
    parts = parseKeyText(text);
  } catch (error) {
    if (!(error instanceof MalformedKeyError)) throw error;
    throw new EntityKeyError(name, `"${text}" is no key text: ${messageOf(error)}`);
  }
  if (parts.length !== joinKeys.length) {
    throw new EntityKeyError(
      name,
      `"${text}" has ${parts.length} parts, not ${joinKeys.length} (${joinKeys.join('|')}); "\\" goes before "|", "\\", "(" and ")" inside of one`,
    );
  }
  for (const [index, part] of parts.entries()) {
    if (of.joinKeyTypes[index] === 'string' && typeof part !== 'string') {
      throw new EntityKeyError(name, `${joinKeys[index]} is a string: write "\\#" where one begins with "#"`);
    }
  }
  return entityKeyFromValues(of, parts);
}

function keyOf(name: string, fields: readonly string[], values: readonly unknown[]): EntityKey {
  for (let index = 0; index < values.length; index += 1) {
    const problem = problemOf(values[index]);
    if (problem !== undefined) throw new EntityKeyError(name, `${fields[index]} ${problem}`);
  }
  const text = keyTextOf(values as readonly KeyPart[]);
  if (text.length * 3 > LONGEST_BYTES && Buffer.byteLength(text) > LONGEST_BYTES) {
    throw new EntityKeyError(
      name,
      `${fields.join(' and ')} take ${Buffer.byteLength(text)} bytes, ${LONGEST_BYTES} at most`,
    );
  }
  return `${name}:${text}` as EntityKey;
}

function problemOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      if (value === '') return 'is empty';
      if (value.includes('\u0000')) return 'holds NUL, which stores refuse';
      return value.isWellFormed() ? undefined : 'holds a lone surrogate, which is no character';
    case 'number':
      if (!Number.isFinite(value)) return `is ${value}, which is not finite`;
      return Number.isInteger(value) && !Number.isSafeInteger(value)
        ? `is ${value}: beyond 2^53 a number is not exact, send a string or a bigint`
        : undefined;
    case 'bigint':
      return value >= -(2n ** 63n) && value < 2n ** 64n ? undefined : `is ${value}, which is no integer of 64 bits`;
    case 'boolean':
      return undefined;
    case 'undefined':
      return 'is missing';
    default:
      return problemOfObject(value);
  }
}

function problemOfObject(value: unknown): string | undefined {
  if (value === null) return 'is null';
  try {
    keyTextOf([value as KeyPart]);
    return undefined;
  } catch (error) {
    if (!(error instanceof InvalidKeyError)) throw error;
    return 'is neither a string, a number, a boolean, bytes, nor a tuple of these';
  }
}
