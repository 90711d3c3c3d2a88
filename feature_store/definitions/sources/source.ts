import { z } from 'zod';
import type { EventFieldNames } from '#kernel/event_fields';
import { TIME_UNITS, type TimeUnit } from '#kernel/times/time_forms';
import { definitionOfKind } from '../definition_kind.ts';
import { DefinitionError, definedIn } from '../errors.ts';
import { jsonTypeProblems } from './json_types.ts';
import { layoutProblems, type RowLayout } from './row_layout.ts';

/** The validated event a feature is computed from. */
export type EventFields = Readonly<Record<string, unknown>>;

/** What a join key may hold, by the source's schema. */
export type JoinKeyType = 'string' | 'number' | 'bigint' | 'boolean';

/** What features are about: an account, a user, a card. */
export interface Entity {
  /** Lower-case letters, digits and `_`: what its keys begin with (`feature_store/definitions/values/entity_key.ts`). */
  readonly name: string;
  /** Event fields that identify one, in order. */
  readonly joinKeys: readonly string[];
}

/** Names an entity, and the fields that identify one. */
export const entity = (name: string, joinKeys: readonly string[]): Entity => ({ name, joinKeys });

/** Files, with patterns: JSON lines, CSV, Parquet, Avro. */
export interface HistoryFilesSpec extends RowLayout {
  readonly files: readonly [string, ...string[]];
  /** How they are read: one after the other by name, which is the default; or all as one, sorted by time, for Parquet whose parts do not follow time. */
  readonly order?: 'name' | 'time';
}

/** A table of a lake, in its folder; an Iceberg table may be named by its metadata file. Rows are sorted by time. */
export type LakeHistory = RowLayout & ({ readonly delta: string } | { readonly iceberg: string });

/** A query: of the offline store's database, or of another PostgreSQL. It gives columns as the source's fields. */
export interface QueryHistorySpec {
  readonly query: string;
  /** Environment variable with the URL of the other database: `WAREHOUSE_URL`. */
  readonly database?: string;
}

/** Where a source's past lies, and how it is laid out. */
export type History =
  | HistoryFilesSpec
  | LakeHistory
  | (QueryHistorySpec & { readonly [Name in keyof RowLayout]?: never });

/** Returns the files and tables of a history, as {@link HistoryFiles} takes them; undefined for a query. */
export function filesOfHistory(history: History): readonly string[] | undefined {
  if ('files' in history) return history.files;
  if ('delta' in history) return [`delta:${history.delta}`];
  return 'iceberg' in history ? [`iceberg:${history.iceberg}`] : undefined;
}

export interface TestEventSettings {
  readonly events: number;
  readonly seed: number;
  /** Time of the newest, ms. */
  readonly endMs: number;
}

/** A stream of events, of one type or of several that look alike; or a table of rows that look like them. */
export interface EventSource extends EventFieldNames {
  readonly name: string;
  /** What `event_type` may be. */
  readonly eventTypes: readonly [string, ...string[]];
  /** Strict schema of an event as the client posts it. */
  readonly schema: z.ZodObject;
  readonly schemaVersion: number;
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

/**
 * Declares a source with the envelope's field names: `source()` maps other names to them.
 *
 * @throws {@link DefinitionError} for fields of types that JSON does not have
 */
export function eventSource(source: EventSource): EventSource {
  const problems = jsonTypeProblems(source.schema).map((problem) => `source ${source.name}: ${problem}`);
  if (problems.length > 0) throw new DefinitionError(problems, definedIn());
  return definitionOfKind('source', { ...source });
}

/** A source with field names of its own; `T` is the schema's shape. */
export interface SourceSpec<T extends z.ZodRawShape> {
  /**
   * An event as it is posted. What happens with unknown fields is the schema's to say: `z.strictObject` refuses them, `z.object` drops them,
   * `z.looseObject` keeps them. `event_type` may be left out; so may the id and the time when they have their usual names.
   */
  readonly schema: z.ZodObject<T>;
  /** What `event_type` says; default: the source's name. */
  readonly type?: string | readonly [string, ...string[]];
  /**
   * Field with the event's unique id, a string; default: `event_id`. Or the fields that identify an event together, `{ from: ['user_id', 'at'] }`: an event without `event_id` gets one that is made of
   * their values, the same at the gateway, in the stream and in history.
   */
  readonly id?: (keyof T & string) | { readonly from: readonly [keyof T & string, ...(keyof T & string)[]] };
  /** Field with the event's time, RFC 3339; default: `timestamp`. Or a field with a number since 1970, `{ field: 'at', unit: 'ms' }`: a number or a string of digits. */
  readonly timestamp?: (keyof T & string) | { readonly field: keyof T & string; readonly unit: TimeUnit };
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
  const { schema, type = name, key, version = 1 } = spec;
  const { id, idFields, timestamp, unit } = namesOf(spec as unknown as SourceSpec<z.ZodRawShape>);
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
  if (schema.shape[id] === undefined) {
    const given = z.string().min(1).max(128);
    added[id] = idFields === undefined ? given : given.optional();
  }
  if (schema.shape[timestamp] === undefined && unit === undefined)
    added[timestamp] = z.string().meta({ format: 'date-time' });
  const complete = (schema as unknown as z.ZodObject).safeExtend(added) as z.ZodObject;
  const fields = complete.shape as Readonly<Record<string, z.ZodType>>;
  for (const [what, field] of Object.entries({ id, timestamp, ...(key === undefined ? {} : { key }) })) {
    const held = fields[field];
    if (held === undefined) problems.push(`source ${name}: ${what} is "${field}", which is no field of the schema`);
    else if (what === 'timestamp' && unit !== undefined) problems.push(...unitProblems(name, field, held, unit));
    else if (!isString(held))
      problems.push(`source ${name}: field "${field}", its ${what}, must be a string in the schema`);
  }
  for (const field of idFields ?? []) {
    const held = fields[field];
    if (held === undefined) problems.push(`source ${name}: id is made of "${field}", which is no field of the schema`);
    else if (held.safeParse(undefined).success)
      problems.push(
        `source ${name}: id is made of "${field}", which an event may lack: name fields that every event has`,
      );
  }
  if (history !== undefined) {
    problems.push(...layoutProblems(history, Object.keys(fields)).map((problem) => `source ${name}: ${problem}`));
  }
  if (problems.length > 0) throw new DefinitionError(problems, definedIn());
  return eventSource({
    ...{ name, eventTypes: types, schema: complete, schemaVersion: version },
    ...{ eventIdField: id, timestampField: timestamp },
    ...(idFields === undefined ? {} : { idFields }),
    ...(unit === undefined ? {} : { timestampUnit: unit }),
    ...(key === undefined ? {} : { keyField: key }),
    ...(earlier === undefined ? {} : { earlier }),
    ...(history === undefined ? {} : { history }),
    ...(example === undefined ? {} : { example }),
    ...(testEvents === undefined ? {} : { testEvents }),
  });
}

function namesOf({ id = 'event_id', timestamp = 'timestamp' }: Pick<SourceSpec<z.ZodRawShape>, 'id' | 'timestamp'>) {
  return {
    ...(typeof id === 'string' ? { id, idFields: undefined } : { id: 'event_id', idFields: id.from }),
    ...(typeof timestamp === 'string'
      ? { timestamp, unit: undefined }
      : { timestamp: timestamp.field, unit: timestamp.unit }),
  };
}

function unitProblems(name: string, field: string, held: z.ZodType, unit: TimeUnit): string[] {
  if (!TIME_UNITS.includes(unit))
    return [`source ${name}: "${unit}" is no unit of a time: ${TIME_UNITS.join(', ')} are`];
  const type = typeOfSchema(held);
  if (type === 'string') return [];
  if (type !== 'number' && type !== 'integer')
    return [
      `source ${name}: field "${field}", its timestamp in ${unit}, must be a number or a string of digits in the schema`,
    ];
  // A number of JSON does not hold nanoseconds of now.
  return unit === 'ns'
    ? [`source ${name}: field "${field}" is in ns, which no number holds exactly: make it a string of digits`]
    : [];
}

/** Whether a value that the schema takes is a string. */
const isString = (schema: z.ZodType): boolean => typeOfSchema(schema) === 'string';

const typeOfSchema = (schema: z.ZodType): unknown =>
  (z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as { readonly type?: unknown }).type;
