import { z } from 'zod';
import { definitionOfKind } from './definition_kind.ts';
import { DefinitionError, definedIn } from './errors.ts';

/** The validated event a feature is computed from. */
export type EventFields = Readonly<Record<string, unknown>>;

/** What a join key may hold, by the source's schema. */
export type JoinKeyType = 'string' | 'number' | 'bigint' | 'boolean';

/** What features are about: an account, a user, a card. */
export interface Entity {
  /** Lower-case letters, digits and `_`: what its keys begin with (`feature_store/definitions/entity_key.ts`). */
  readonly name: string;
  /** Event fields that identify one, in order. */
  readonly joinKeys: readonly string[];
}

/** Names an entity, and the fields that identify one. */
export const entity = (name: string, joinKeys: readonly string[]): Entity => ({ name, joinKeys });

/** Where a source's past lies: files as a file source takes them, oldest first by name, or a query of the offline store's database. */
export type History = { readonly files: readonly [string, ...string[]] } | { readonly query: string };

export interface TestEventSettings {
  readonly events: number;
  readonly seed: number;
  /** Time of the newest, ms. */
  readonly endMs: number;
}

/** A stream of events, of one type or of several that look alike; or a table of rows that look like them. */
export interface EventSource {
  readonly name: string;
  /** What `event_type` may be. */
  readonly eventTypes: readonly [string, ...string[]];
  /** Strict schema of an event as the client posts it. */
  readonly schema: z.ZodObject;
  readonly schemaVersion: number;
  /** Field with the event's unique id. */
  readonly eventIdField: string;
  /** Field with the event's time: RFC 3339, a string in the schema. */
  readonly timestampField: string;
  /** Field with whose event it is: ids are unique for each of them, and their events stay in order. Default: `user_id`. */
  readonly keyField?: string;
  /** An event as a client posts it, for documents. */
  readonly example?: EventFields;
  /** Makes events for tests and demos, as clients post them; without it they are made from the schema. */
  readonly testEvents?: (settings: TestEventSettings) => Iterable<string | EventFields>;
  /** The same data as it was: for back-fill, and all there is for views computed in batch. */
  readonly history?: History;
  /** Versions that clients may still send; the gateway upgrades them, so that only the newest reaches pipelines. */
  readonly earlier?: readonly {
    readonly version: number;
    readonly schema: z.ZodObject;
    upgrade(fields: EventFields): EventFields;
    /** What the source of `upgrade` does not show: captured variables and helpers, by name. */
    readonly uses?: Readonly<Record<string, unknown>>;
  }[];
}

/** Declares a source with the envelope's field names: `source()` maps other names to them. */
export const eventSource = (source: EventSource): EventSource => definitionOfKind('source', { ...source });

/** A source with field names of its own; `T` is the schema's shape. */
export interface SourceSpec<T extends z.ZodRawShape> {
  /**
   * An event as it is posted. What happens with unknown fields is the schema's to say: `z.strictObject` refuses them, `z.object` drops them,
   * `z.looseObject` keeps them. `event_type` may be left out; so may the id and the time when they have their usual names.
   */
  readonly schema: z.ZodObject<T>;
  /** What `event_type` says; default: the source's name. */
  readonly type?: string | readonly [string, ...string[]];
  /** Field with the event's unique id, a string; default: `event_id`. */
  readonly id?: keyof T & string;
  /** Field with the event's time, RFC 3339; default: `timestamp`. */
  readonly timestamp?: keyof T & string;
  /** Field with whose event it is: ids are unique for each of them, and their events stay in order. Default: `user_id`, where the schema has it. */
  readonly key?: keyof T & string;
  /** Of the schema; default: 1. */
  readonly version?: number;
  readonly earlier?: EventSource['earlier'];
  readonly history?: History;
  readonly example?: EventFields;
  readonly testEvents?: EventSource['testEvents'];
}

const SOURCE_NAME = /^[a-z][a-z0-9_]*$/;
const EVENT_TYPE = /^[^\p{Cc}]{1,128}$/u;

/**
 * Declares a stream of events by their schema and the names of their fields: POST /ingest, the API's documents, pipelines and back-fills know it from
 * there.
 *
 * @throws {@link DefinitionError} with all problems at once: a bad name or event type, fields of the wrong type
 */
export function source<T extends z.ZodRawShape>(name: string, spec: SourceSpec<T>): EventSource {
  const { schema, type = name, id = 'event_id', timestamp = 'timestamp', key, version = 1 } = spec;
  const { earlier, history, example, testEvents } = spec;
  const types = [type].flat() as unknown as readonly [string, ...string[]];
  const problems: string[] = [];
  if (!SOURCE_NAME.test(name)) problems.push(`source "${name}": a name is lower-case letters, digits and _`);
  for (const each of types) {
    if (!EVENT_TYPE.test(each))
      problems.push(`source ${name}: event type ${JSON.stringify(each)} must be 1 to 128 printable characters`);
  }
  if (!Number.isInteger(version) || version < 1) problems.push(`source ${name}: version must be 1 or more`);
  const added: Record<string, z.ZodType> = {};
  if (schema.shape.event_type === undefined) added.event_type = z.enum(types as unknown as [string, ...string[]]);
  if (schema.shape[id] === undefined) added[id] = z.string().min(1).max(128);
  if (schema.shape[timestamp] === undefined) added[timestamp] = z.string().meta({ format: 'date-time' });
  const complete = (schema as unknown as z.ZodObject).safeExtend(added) as z.ZodObject;
  const fields = complete.shape as Readonly<Record<string, z.ZodType>>;
  for (const [what, field] of Object.entries({ id, timestamp, ...(key === undefined ? {} : { key }) })) {
    const held = fields[field];
    if (held === undefined) problems.push(`source ${name}: ${what} is "${field}", which is no field of the schema`);
    else if (!isString(held))
      problems.push(`source ${name}: field "${field}", its ${what}, must be a string in the schema`);
  }
  if (problems.length > 0) throw new DefinitionError(problems, definedIn());
  return eventSource({
    ...{ name, eventTypes: types, schema: complete, schemaVersion: version },
    ...{ eventIdField: id, timestampField: timestamp },
    ...(key === undefined ? {} : { keyField: key }),
    ...(earlier === undefined ? {} : { earlier }),
    ...(history === undefined ? {} : { history }),
    ...(example === undefined ? {} : { example }),
    ...(testEvents === undefined ? {} : { testEvents }),
  });
}

/** Whether a value that the schema takes is a string. */
const isString = (schema: z.ZodType): boolean =>
  (z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as { readonly type?: unknown }).type === 'string';
