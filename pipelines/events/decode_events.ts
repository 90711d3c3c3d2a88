import { z } from 'zod';
import type { LogRecord } from '#connectors/connector';
import {
  type DeadLetter,
  earlierAttempts,
  knownBefore,
  type LetterOrigin,
  originOf,
  payloadOf,
} from '#connectors/dead_letters';
import { formatOf, type ReadRow } from '#connectors/files/formats';
import { ENRICHED, keyFieldOf } from '#connectors/gateway/event_validator';
import type { UnreadableBatchError } from '#connectors/kafka/errors';
import { type EntityKey, joinKeyValue } from '#feature_store/definitions/entity_key';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EventFields, EventSource, JoinKeyType } from '#feature_store/definitions/source';
import { type ErasureRequest, Erasures, readErasureRequest } from '#feature_store/erasure/erasures';
import { messageOf } from '#kernel/errors';
import { readEventTime } from '#kernel/event_time_text';
import { decodeUtf8, InvalidJsonError, parseExactJson } from '#kernel/exact_json';
import { numberOfInteger, numberOfText } from '#kernel/exact_number';
import { parseRfc3339 } from '#kernel/rfc3339';
import { textOf } from '#kernel/text_of';
import { type Clock, type EventTime, HOUR_MS } from '#kernel/time';
import { UnreadableValue, unstorableTextIn } from '#kernel/unstorable_text';
import { parseUtcTime } from '#kernel/utc_time';
import { TRACEPARENT } from '#monitoring/tracing';

/** What was known of an entity by then is to be forgotten. */
export interface ErasedEntity {
  readonly ok: 'erasure';
  readonly entityKey: EntityKey;
  readonly erasedAtMs: number;
}

/** A record as a pipeline sees it: an event, an erasure, or why it is neither. */
export type DecodedEvent =
  | {
      readonly ok: true;
      readonly source: string;
      readonly eventId: string;
      /** Whose event it is, where the source says so: its id is unique among theirs. */
      readonly userId: string | undefined;
      readonly event: EventFields;
      readonly eventTimeMs: number;
      /** Its partition's watermark when it was read: an event of before that is out of order. */
      readonly watermark: EventTime;
      /** When the gateway received it, ms; undefined when another producer wrote it. */
      readonly receivedAtMs: number | undefined;
      /** When it was known to the platform, ms: received by the gateway, or else taken in by the broker, or in a file that says neither, its own time. */
      readonly knownAtMs: number;
      /** When it arrived, ms: its lateness is judged by this (docs/adr/0020). */
      readonly arrivedAtMs: number;
      readonly payload: string;
      /** How often it has been tried, this time included: more than 1 when it was replayed. */
      readonly attempt: number;
      /** The record, for a dead letter; absent when it came from no topic. */
      readonly origin?: LetterOrigin;
      /** Of the request that brought it, where somebody looks at traces. */
      readonly traceparent?: string | undefined;
    }
  | ErasedEntity
  | ({ readonly ok: false; readonly reason: string; readonly attempt: number } & Pick<
      DeadLetter,
      'payload' | 'encoding' | 'isBatch' | 'origin'
    >);

/** A batch that cannot be read, as the dead letter that it becomes. */
export function unreadableEvent(error: UnreadableBatchError): DecodedEvent {
  const { topic, partition, offset, message, batch } = error;
  const origin = { topic, partition, offset: String(offset) };
  const payload = batch.toString('base64');
  return { ok: false, reason: message, attempt: 1, payload, encoding: 'base64', isBatch: true, origin };
}

/** The gateway's clock may be so far ahead of the pipeline's; beyond, `received_at` does not vouch for an event's time. */
const MOST_CLOCK_DIFFERENCE_MS = HOUR_MS;

/**
 * Reads events of `sources` from broker records. Others write to the broker too, so everything is checked again as at the gateway.
 * Only a valid event has an event time: a broken clock must not move the watermark.
 */
export function createEventDecoder(sources: readonly EventSource[], clock: Clock, erasures = new Erasures()) {
  const check = createEventCheck(sources, clock);
  return (record: LogRecord, watermark: EventTime, topic?: string): Decoded => {
    const attempt = earlierAttempts(record) + 1;
    const origin = topic === undefined ? undefined : originOf(topic, record);
    let payload = '';
    let body: unknown;
    try {
      payload = decodeUtf8(record.value);
      body = parseExactJson(payload);
    } catch (error) {
      return ofRecord(refused(reasonOf(error), payload, attempt), record, origin);
    }
    const request = readErasureRequest(body);
    if (request !== undefined) return erasureOf(request, erasures, payload, attempt);
    const takenInMs = timeOf(record);
    const arrival = { arrivedAtMs: takenInMs, knownAtMs: knownBefore(record) ?? takenInMs };
    const decoded = ofRecord(check(body, payload, attempt, watermark, arrival), record, origin);
    const traceparent = record.headers[TRACEPARENT];
    if (traceparent === undefined || decoded.element.ok !== true) return decoded;
    return { ...decoded, element: { ...decoded.element, traceparent } };
  };
}

/** Whoever can write events cannot erase with them: the proof needs the database's secret. */
function erasureOf(request: ErasureRequest, erasures: Erasures, payload: string, attempt: number): Decoded {
  if (!erasures.isGenuine(request)) {
    return refused(
      'an erasure whose proof is wrong: it was not made by "headwater erase" on this database',
      payload,
      attempt,
    );
  }
  const { key: entityKey, erasedAtMs } = request;
  // Known at once, also to views of other entities.
  erasures.add(entityKey, erasedAtMs);
  return { element: { ok: 'erasure', entityKey, erasedAtMs }, eventTimeMs: undefined };
}
/** When the broker took the record; undefined where it does not say. */
const timeOf = ({ timestampMs }: LogRecord): number | undefined => (timestampMs > 0 ? timestampMs : undefined);

/** With the record it is of; one that is refused keeps its bytes, whatever they are. */
function ofRecord({ element, eventTimeMs }: Decoded, { value }: LogRecord, origin: LetterOrigin | undefined): Decoded {
  const from = origin === undefined ? {} : { origin };
  if (element.ok === true) return { element: { ...element, ...from }, eventTimeMs };
  if (element.ok === 'erasure') return { element, eventTimeMs };
  return { element: { ...element, ...payloadOf(value), ...from }, eventTimeMs };
}

/**
 * The same of rows of files and queries, whose formats have types of their own: times may be dates, whole numbers bigints, and in CSV all is
 * text: an empty cell is a field that is missing, and numbers and booleans are read where the schema wants them. Where there is one type
 * of events only, rows need not say it. `path`: the file; undefined for rows of a query.
 *
 * @param views - whose join keys keep 64-bit integers exact
 */
export function createRowDecoder(sources: readonly EventSource[], clock: Clock, views: readonly FeatureView[] = []) {
  const check = createEventCheck(sources, clock);
  const readers = new Map(sources.flatMap((source) => source.eventTypes.map((type) => [type, textReaders(source)])));
  const keys = new Map(sources.flatMap((source) => source.eventTypes.map((type) => [type, joinKeysOf(source, views)])));
  const timestamps = new Map(
    sources.flatMap((source) => source.eventTypes.map((type) => [type, source.timestampField])),
  );
  const [onlyType, ...otherTypes] = readers.keys();
  const defaults = otherTypes.length === 0 ? { event_type: onlyType } : {};
  return (row: ReadRow, path: string | undefined, watermark: EventTime): Decoded => {
    if (!row.ok) return refusedRow(row);
    const isText = path !== undefined && formatOf(path).format === 'csv';
    const type = textOf(row.row.event_type ?? onlyType);
    const ofType = isText ? readers.get(type) : undefined;
    const joinKeys = keys.get(type);
    const body: Record<string, unknown> = { ...defaults };
    let exact: Record<string, bigint> | undefined;
    for (const [name, value] of Object.entries(row.row)) {
      if (value === null || value === undefined || (isText && value === '')) continue;
      const keyType = joinKeys?.get(name);
      if (keyType === undefined || !(isText || typeof value === 'bigint')) {
        body[name] = ofType?.get(name)?.(textOf(value)) ?? asJson(value);
        continue;
      }
      const key = joinKeyValue(keyType, value) ?? value;
      if (keyType === 'number' && typeof key === 'bigint') {
        // The schema knows numbers only; the key is what the number came from.
        exact ??= {};
        exact[name] = key;
        body[name] = Number(key);
      } else body[name] = keyType === 'bigint' && Number.isSafeInteger(key) ? BigInt(key as number) : key;
    }
    const timestampField = timestamps.get(type);
    if (timestampField !== undefined) body[timestampField] = withZone(body[timestampField]);
    let payload: string;
    try {
      payload = jsonOfEvent(exact === undefined ? body : { ...body, ...exact });
    } catch (error) {
      return refused(`no JSON: ${messageOf(error)}`, String(Object.keys(row.row)), 1);
    }
    // The order of a history is its arrival.
    const arrival = { arrivedAtMs: watermark, knownAtMs: undefined };
    const { element, eventTimeMs } = check(body, payload, 1, watermark, arrival);
    if (exact === undefined || element.ok !== true) return { element, eventTimeMs };
    return { element: { ...element, event: { ...element.event, ...exact } }, eventTimeMs };
  };
}

/** A line that is no row, with its bytes. */
const refusedRow = ({ ok, reason, text, ...encoding }: Extract<ReadRow, { ok: false }>): Decoded => ({
  element: { ok, reason, payload: text, attempt: 1, ...encoding },
  eventTimeMs: undefined,
});

/** JSON of an event; integers that no number holds are strings. */
export function jsonOfEvent(body: Readonly<Record<string, unknown>> | null): string {
  for (const name in body) {
    if (typeof body[name] !== 'bigint') continue;
    return JSON.stringify(body, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
  }
  return JSON.stringify(body);
}

/** Join keys of a source's events, with their types. */
const joinKeysOf = (source: EventSource, views: readonly FeatureView[]): ReadonlyMap<string, JoinKeyType> =>
  new Map(
    views
      .filter((view) => view.source.name === source.name)
      .flatMap(({ entity, joinKeyTypes }) =>
        entity.joinKeys.map((key, index) => [key, joinKeyTypes[index] as JoinKeyType] as const),
      ),
  );

type ReadText = (text: string) => unknown;

/** How the fields that are no texts are read out of one; what is none stays a text, and is refused for it. */
function textReaders({ schema }: EventSource): ReadonlyMap<string, ReadText> {
  const readers = new Map<string, ReadText>();
  for (const [name, field] of Object.entries(schema.shape)) {
    const inner = field instanceof z.ZodOptional ? field.unwrap() : field;
    if (inner instanceof z.ZodNumber) readers.set(name, (text) => numberOfText(text) ?? text);
    else if (inner instanceof z.ZodBoolean) readers.set(name, (text) => ({ true: true, false: false })[text] ?? text);
  }
  return readers;
}

/** Files and databases hold times without a zone: they are UTC. What is no time stays as it is, and is refused for it. */
function withZone(value: unknown): unknown {
  if (typeof value !== 'string' || parseRfc3339(value) !== undefined) return value;
  const timeMs = parseUtcTime(value);
  return timeMs === undefined ? value : new Date(timeMs).toISOString();
}

/** A value as an event of the gateway would have it; an {@link UnreadableValue} for an integer that no double holds. */
function asJson(value: unknown): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid time' : value.toISOString();
  if (typeof value === 'bigint') return numberOfInteger(value);
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (value instanceof UnreadableValue) return value;
  if (Array.isArray(value)) return value.map(asJson);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, asJson(field)]));
}

function ownerOf(source: EventSource, event: EventFields): string | undefined {
  const owner = event[keyFieldOf(source)];
  return typeof owner === 'string' ? owner : undefined;
}

export interface Decoded {
  readonly element: DecodedEvent;
  readonly eventTimeMs: number | undefined;
}

const reasonOf = (error: unknown): string => (error instanceof InvalidJsonError ? error.problems : messageOf(error));

const refused = (reason: string, payload: string, attempt: number): Decoded => ({
  element: { ok: false, reason, payload, attempt },
  eventTimeMs: undefined,
});

/** Of an event that does not say when it was received; undefined: when it happened. */
interface Arrival {
  readonly arrivedAtMs: number | undefined;
  readonly knownAtMs: number | undefined;
}

function createEventCheck(sources: readonly EventSource[], clock: Clock) {
  const byType = new Map(sources.flatMap((source) => source.eventTypes.map((type) => [type, source])));
  return (body: unknown, payload: string, attempt: number, watermark: EventTime, arrival: Arrival): Decoded => {
    const refuse = (reason: string): Decoded => refused(reason, payload, attempt);
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return refuse('not a JSON object');
    const unstorable = unstorableTextIn(body);
    if (unstorable !== undefined) return refuse(`${unstorable.path} ${unstorable.problem}`);
    const fields = { ...(body as Record<string, unknown>) };
    const receivedAt = fields.received_at;
    for (const name of ENRICHED) delete fields[name];
    const source = byType.get(textOf(fields.event_type));
    if (source === undefined) return refuse(`unknown event_type ${JSON.stringify(fields.event_type)}`);
    let parsed: ReturnType<typeof source.schema.safeParse>;
    try {
      parsed = source.schema.safeParse(fields);
    } catch (error) {
      // A check of the schema's own, written by its author.
      return refuse(`the schema of ${source.name} failed: ${messageOf(error)}`);
    }
    if (!parsed.success) {
      const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || '(event)'}: ${message}`);
      return refuse(problems.join('; '));
    }
    const event: EventFields = parsed.data;
    const receivedAtMs = typeof receivedAt === 'string' ? parseRfc3339(receivedAt) : undefined;
    const nowMs = clock.now();
    const isVouchedFor = receivedAtMs !== undefined && receivedAtMs <= nowMs + MOST_CLOCK_DIFFERENCE_MS;
    // What the gateway accepted by its clock is not refused by this one.
    const time = readEventTime(
      textOf(event[source.timestampField]),
      isVouchedFor ? Math.max(nowMs, receivedAtMs) : nowMs,
    );
    if ('problem' in time) return refuse(`${source.timestampField}: ${time.problem}`);
    return {
      element: {
        ok: true,
        source: source.name,
        eventId: textOf(event[source.eventIdField]),
        userId: ownerOf(source, event),
        event,
        eventTimeMs: time.timeMs,
        watermark,
        receivedAtMs,
        arrivedAtMs: receivedAtMs ?? arrival.arrivedAtMs ?? time.timeMs,
        knownAtMs: receivedAtMs ?? arrival.knownAtMs ?? time.timeMs,
        payload,
        attempt,
      },
      eventTimeMs: time.timeMs,
    };
  };
}
