import type { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { type EventFieldNames, eventTimeOf, missingFieldsOf, withEventId } from '#kernel/event_fields';
import { InvalidJsonError, parseExactJson } from '#kernel/exact/exact_json';
import { type FieldProblem, plainIssues, problemsOfIssues } from '#kernel/field_problems';
import { textOf } from '#kernel/text/text_of';
import { InvalidEventError } from '../errors.ts';
import { convertsValues, writtenForm } from './written_form.ts';

/** A type of event the gateway takes, or several that look alike. */
export interface EventType extends EventFieldNames {
  readonly eventTypes: readonly [string, ...string[]];
  readonly schema: z.ZodObject;
  readonly schemaVersion: number;
  /** Field with whose event it is; default: `user_id`. */
  readonly keyField?: string | undefined;
  /** An event as a client posts it, for documents. */
  readonly example?: Readonly<Record<string, unknown>> | undefined;
  /** Versions that clients may still send, as `schema_version`; absent there, the newest is meant. */
  readonly earlier?: readonly EarlierVersion[] | undefined;
}

/** A version of an event type that newer ones have followed. */
export interface EarlierVersion {
  readonly version: number;
  readonly schema: z.ZodObject;
  /** The same event as the newest version has it. */
  upgrade(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
}

/** Returns the field with whose event it is. */
export const keyFieldOf = ({ keyField = 'user_id' }: { readonly keyField?: string | undefined }): string => keyField;

export interface ValidEvent {
  readonly eventId: string;
  /** The first event type of its source, or its own where none is known: ids are unique for each source and user. */
  readonly source: string;
  /** Whose it is, where that is known. */
  readonly userId: string | undefined;
  /** Partitioning key: the user, so that a user's events stay in order. */
  readonly key: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** The event as its record holds it: what pipelines read from it are the fields. */
  readonly written: Readonly<Record<string, unknown>>;
  readonly schemaVersion: number;
  /** The fields are the body's, none changed, added or taken out. */
  readonly isAsSent: boolean;
  /** Names of {@link ENRICHED} that are fields of its own: the gateway adds nothing under them. */
  readonly ownNames?: ReadonlySet<string> | undefined;
  /** When it was received, ms: its lateness was judged by this. */
  readonly receivedAtMs: number;
}

/** What the gateway adds to an event, but for names that its schema has as fields. */
export const ENRICHED = ['received_at', 'source', 'schema_version'] as const;

const ADDED: ReadonlySet<string> = new Set(ENRICHED);

/** Returns the names of {@link ENRICHED} that a schema has as fields of its own; undefined: none. */
export function ownNamesOf({ shape }: z.ZodObject): ReadonlySet<string> | undefined {
  const own = ENRICHED.filter((name) => name in shape);
  return own.length === 0 ? undefined : new Set(own);
}

/** An event without what the gateway has added, or adds; itself where it has nothing of that. */
export function withoutEnriched(
  fields: Readonly<Record<string, unknown>>,
  ownNames: ReadonlySet<string> | undefined,
): Readonly<Record<string, unknown>> {
  const isAdded = (name: string): boolean => ADDED.has(name) && ownNames?.has(name) !== true;
  if (!ENRICHED.some((name) => name in fields && isAdded(name))) return fields;
  // One copy, whichever of them it has.
  const left: Record<string, unknown> = {};
  for (const name in fields) if (!isAdded(name)) left[name] = fields[name];
  return left;
}

/** Checks one event. */
export type ValidateEvent = (body: unknown, nowMs: number) => ValidEvent;

export interface EventValidatorSettings {
  /** What to do with an event whose type has no schema. */
  readonly unknownTypes?: 'reject' | 'accept';
  /** How old an event may be when it is received, ms: the pipeline's setting. */
  readonly allowedLatenessMs: number;
}

/** @throws {@link InvalidEventError} with all problems at once */
export function createEventValidator(
  types: readonly EventType[],
  { unknownTypes = 'reject', allowedLatenessMs }: EventValidatorSettings,
): ValidateEvent {
  const byType = new Map(
    types.flatMap((type) => {
      const traits = { ownNames: ownNamesOf(type.schema), isConverting: convertsValues(type.schema) };
      return type.eventTypes.map((name): [string, KnownType] => [name, { ...type, ...traits }]);
    }),
  );
  return (body, nowMs) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw new InvalidEventError([{ field: '', problem: 'an event must be a JSON object' }]);
    }
    const fields = body as Readonly<Record<string, unknown>>;
    const { event_type: eventType } = fields;
    const type = typeof eventType === 'string' ? byType.get(eventType) : undefined;
    const received = { nowMs, allowedLatenessMs };
    if (type !== undefined) return validateKnown(type, fields, received);
    if (typeof eventType === 'string' && unknownTypes === 'accept') return validateUnknown(fields, received);
    const problem =
      eventType === undefined
        ? 'is required'
        : `${JSON.stringify(eventType)} is not a known type; known: ${[...byType.keys()].join(', ')}`;
    throw new InvalidEventError([{ field: 'event_type', problem }]);
  };
}

/** With what its schema says of every event. */
interface KnownType extends EventType {
  readonly ownNames: ReadonlySet<string> | undefined;
  readonly isConverting: boolean;
}

interface Received {
  readonly nowMs: number;
  readonly allowedLatenessMs: number;
}

const problemsIn = (schema: z.ZodObject, body: unknown): FieldProblem[] =>
  problemsOfIssues(schema.safeParse(body, { error: plainIssues }).error?.issues ?? []);

function validateKnown(type: KnownType, sent: Readonly<Record<string, unknown>>, received: Received): ValidEvent {
  const { schema, earlier } = versionOf(type, sent);
  const { ownNames } = type;
  // Taken out only where it is: most events do not say.
  const body =
    'schema_version' in sent && ownNames?.has('schema_version') !== true ? without(sent, 'schema_version') : sent;
  const parsed = callSchema(type, () => schema.safeParse(body));
  // The words are for events that are refused: others are not parsed with them.
  const problems = parsed.success ? [] : callSchema(type, () => problemsIn(schema, body));
  const fields = parsed.success ? withoutEnriched(asNewest(type, parsed.data, earlier), ownNames) : undefined;
  const timed = fields ?? body;
  if (fields !== undefined) problems.push(...missingFieldsOf(fields, type));
  if (timed[type.timestampField] !== undefined && !problems.some(({ field }) => field === type.timestampField)) {
    problems.push(...timeProblems(timed, type, received));
  }
  if (fields === undefined || problems.length > 0) throw new InvalidEventError(problems);
  const eventId = textOf(fields[type.eventIdField]);
  const isAsSent = earlier === undefined && isSame(fields, sent);
  const owner = fields[keyFieldOf(type)];
  const userId = owner === undefined || owner === null ? undefined : textOf(owner);
  const { schemaVersion, eventTypes } = type;
  const [source] = eventTypes;
  const written = isAsSent ? sent : callSchema(type, () => writtenOf(type, fields, body, earlier));
  const receivedAtMs = received.nowMs;
  const key = userId ?? eventId;
  return { eventId, source, userId, key, fields, written, schemaVersion, isAsSent, ownNames, receivedAtMs };
}

const asNewest = (type: EventType, parsed: Readonly<Record<string, unknown>>, earlier: EarlierVersion | undefined) =>
  withEventId(earlier === undefined ? parsed : callSchema(type, () => earlier.upgrade(parsed)), type);

/** Calls code that the author of a schema has written. @throws {@link InvalidEventError} for what it throws */
function callSchema<T>({ eventTypes }: EventType, task: () => T): T {
  try {
    return task();
  } catch (error) {
    throw new InvalidEventError([
      { field: '', problem: `the schema of ${eventTypes.join(', ')} failed: ${messageOf(error)}` },
    ]);
  }
}

function writtenOf(
  type: KnownType,
  fields: Readonly<Record<string, unknown>>,
  body: Readonly<Record<string, unknown>>,
  earlier: EarlierVersion | undefined,
): Readonly<Record<string, unknown>> {
  // An upgrade gives what a client of the newest version sends.
  if (earlier !== undefined || !type.isConverting) return fields;
  return writtenForm(type.schema, fields, withoutEnriched(body, type.ownNames));
}

/** @throws {@link InvalidEventError} when there is no such version */
function versionOf(
  type: KnownType,
  { schema_version: wanted }: Readonly<Record<string, unknown>>,
): { readonly schema: z.ZodObject; readonly earlier: EarlierVersion | undefined } {
  const isOwn = type.ownNames?.has('schema_version') === true;
  if (wanted === undefined || wanted === type.schemaVersion || isOwn)
    return { schema: type.schema, earlier: undefined };
  const earlier = type.earlier?.find(({ version }) => version === wanted);
  if (earlier !== undefined) return { schema: earlier.schema, earlier };
  const versions = [...(type.earlier ?? []).map(({ version }) => version), type.schemaVersion];
  throw new InvalidEventError([
    {
      field: 'schema_version',
      problem: `${JSON.stringify(wanted)} is no version of ${type.eventTypes.join(', ')}; versions: ${versions.join(', ')}`,
    },
  ]);
}

/** Nothing is known of it but that it is an event: it has an id and a time. */
function validateUnknown(fields: Readonly<Record<string, unknown>>, received: Received): ValidEvent {
  const { event_id: eventId, timestamp, user_id: userId, schema_version: version } = fields;
  const problems: FieldProblem[] = [];
  if (typeof eventId !== 'string' || eventId === '') problems.push({ field: 'event_id', problem: 'must be a string' });
  if (typeof timestamp === 'string') problems.push(...timeProblems(fields, UNKNOWN, received));
  else problems.push({ field: 'timestamp', problem: 'must be a string' });
  if (problems.length > 0) throw new InvalidEventError(problems);
  const own = withoutEnriched(fields, undefined);
  return {
    eventId: eventId as string,
    source: fields.event_type as string,
    userId: typeof userId === 'string' ? userId : undefined,
    key: typeof userId === 'string' ? userId : (eventId as string),
    fields: own,
    written: own,
    schemaVersion: typeof version === 'number' ? version : 0,
    isAsSent: own === fields,
    receivedAtMs: received.nowMs,
  };
}

/** Whether a schema has left everything as it was: it may fill in, convert or drop fields. */
function isSame(parsed: Readonly<Record<string, unknown>>, sent: Readonly<Record<string, unknown>>): boolean {
  let left = 0;
  for (const name in sent) {
    if (parsed[name] !== sent[name]) return false;
    left += 1;
  }
  for (const _ in parsed) left -= 1;
  return left === 0;
}

/** Fields of events of which nothing is known. */
const UNKNOWN: EventFieldNames = { eventIdField: 'event_id', timestampField: 'timestamp' };

function timeProblems(
  event: Readonly<Record<string, unknown>>,
  names: EventFieldNames,
  { nowMs, allowedLatenessMs }: Received,
): FieldProblem[] {
  const { [names.eventIdField]: eventId } = event;
  const field = names.timestampField;
  const time = eventTimeOf(event, names, nowMs, allowedLatenessMs);
  if (!('problem' in time)) return [];
  const of = typeof eventId === 'string' ? `event ${JSON.stringify(eventId.slice(0, 100))}: ` : '';
  return [{ field, problem: `${of}${time.problem}` }];
}

function without(fields: Readonly<Record<string, unknown>>, name: string): Record<string, unknown> {
  const { [name]: _, ...rest } = fields;
  return rest;
}

/** @throws {@link InvalidEventError} when the text is not JSON, or JSON that cannot be taken exactly as it was sent */
export function parseEvent(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    throw error instanceof InvalidJsonError ? new InvalidEventError(error.fields) : error;
  }
}
