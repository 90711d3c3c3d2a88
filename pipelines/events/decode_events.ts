import type { z } from 'zod';
import type { LogRecord } from '#connectors/connector';
import {
  type DeadLetter,
  earlierAttempts,
  knownBefore,
  type LetterOrigin,
  originOf,
  payloadOf,
} from '#connectors/dead_letters/dead_letters';
import { keyFieldOf, ownNamesOf, withoutEnriched } from '#connectors/gateway/events/event_validator';
import type { UnreadableBatchError } from '#connectors/kafka/errors';
import type { EventFields, EventSource } from '#feature_store/definitions/sources/source';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type ErasureRequest, Erasures, readErasureRequest } from '#feature_store/erasure/erasures';
import { messageOf } from '#kernel/errors';
import { eventTimeOf, missingFieldsOf, withEventId } from '#kernel/event_fields';
import { decodeUtf8, InvalidJsonError, parseExactJson } from '#kernel/exact/exact_json';
import { textOf } from '#kernel/text/text_of';
import { unstorableTextIn } from '#kernel/text/unstorable_text';
import { type Clock, type EventTime, HOUR_MS } from '#kernel/time';
import { parseRfc3339 } from '#kernel/times/rfc3339';
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
      /** Whose event it is, where the source declares it: its id is unique among theirs. */
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
      /** Of the request that brought it, where traces are recorded. */
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

/** A client that can write events cannot erase with them: the proof needs the database's secret. */
function erasureOf(request: ErasureRequest, erasures: Erasures, payload: string, attempt: number): Decoded {
  if (!erasures.isGenuine(request)) {
    return refused(
      'an erasure whose proof is wrong: it was not made by "headwater entities erase" on this database',
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

/** JSON of an event; integers that no number holds are strings. */
export function jsonOfEvent(body: Readonly<Record<string, unknown>> | null): string {
  for (const name in body) {
    if (typeof body[name] !== 'bigint') continue;
    return JSON.stringify(body, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
  }
  return JSON.stringify(body);
}

function ownerOf(source: EventSource, event: EventFields): string | undefined {
  const owner = event[keyFieldOf(source)];
  return owner === undefined || owner === null ? undefined : textOf(owner);
}

export interface Decoded {
  readonly element: DecodedEvent;
  readonly eventTimeMs: number | undefined;
}

const reasonOf = (error: unknown): string => (error instanceof InvalidJsonError ? error.problems : messageOf(error));

export const refused = (reason: string, payload: string, attempt: number): Decoded => ({
  element: { ok: false, reason, payload, attempt },
  eventTimeMs: undefined,
});

/** Of an event that does not say when it was received; undefined: when it happened. */
interface Arrival {
  readonly arrivedAtMs: number | undefined;
  readonly knownAtMs: number | undefined;
}

/** Describes a value that a schema does not take. @param fields - the event */
export type DescribeIssue = (issue: z.core.$ZodIssue, fields: Readonly<Record<string, unknown>>) => string;

const describeIssue: DescribeIssue = ({ path, message }) => `${path.join('.') || '(event)'}: ${message}`;

/** Parses an event by the version that it was accepted as: a backlog, an archive and dead letters hold events of before the newest. */
function parseEvent({ schema, schemaVersion, earlier }: EventSource, fields: EventFields, version: unknown) {
  const before = version === schemaVersion ? undefined : earlier?.find((each) => each.version === version);
  const parsed = before?.schema.safeParse(fields);
  // What the version it names does not take either is judged by the newest.
  return schema.safeParse(before !== undefined && parsed?.success === true ? before.upgrade(parsed.data) : fields);
}

/** Freezes an event and all within it: views share it, and what a function of one of them changed, the others would compute with. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}

/** Checks events of some sources, of any origin. */
export function createEventCheck(sources: readonly EventSource[], clock: Clock, describe = describeIssue) {
  const byType = new Map(
    sources.flatMap((source) => {
      const known = { source, ownNames: ownNamesOf(source.schema) };
      return source.eventTypes.map((type) => [type, known]);
    }),
  );
  return (body: unknown, payload: string, attempt: number, watermark: EventTime, arrival: Arrival): Decoded => {
    const refuse = (reason: string): Decoded => refused(reason, payload, attempt);
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return refuse('not a JSON object');
    const unstorable = unstorableTextIn(body);
    if (unstorable !== undefined) return refuse(`${unstorable.path} ${unstorable.problem}`);
    const whole = body as Readonly<Record<string, unknown>>;
    const known = byType.get(textOf(whole.event_type));
    if (known === undefined) return refuse(`unknown event_type ${JSON.stringify(whole.event_type)}`);
    const { source, ownNames } = known;
    const fields = withoutEnriched(whole, ownNames);
    const receivedAt = ownNames?.has('received_at') === true ? undefined : whole.received_at;
    const version = ownNames?.has('schema_version') === true ? undefined : whole.schema_version;
    let parsed: ReturnType<typeof source.schema.safeParse>;
    try {
      parsed = parseEvent(source, fields, version);
    } catch (error) {
      // A check of the schema's own, written by its author.
      return refuse(`the schema of ${source.name} failed: ${messageOf(error)}`);
    }
    if (!parsed.success) {
      return refuse(parsed.error.issues.map((issue) => describe(issue, fields)).join('; '));
    }
    const event: EventFields = frozen(withEventId(parsed.data, source));
    const missing = missingFieldsOf(event, source);
    if (missing.length > 0) return refuse(missing.map(({ field, problem }) => `${field}: ${problem}`).join('; '));
    const receivedAtMs = typeof receivedAt === 'string' ? parseRfc3339(receivedAt) : undefined;
    const nowMs = clock.now();
    const isVouchedFor = receivedAtMs !== undefined && receivedAtMs <= nowMs + MOST_CLOCK_DIFFERENCE_MS;
    // A time of after now was not written by the gateway: it says nothing of when the event arrived.
    const vouchedMs = isVouchedFor ? receivedAtMs : undefined;
    // What the gateway accepted by its clock is not refused by this one.
    const time = eventTimeOf(event, source, vouchedMs === undefined ? nowMs : Math.max(nowMs, vouchedMs));
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
        receivedAtMs: vouchedMs,
        arrivedAtMs: vouchedMs ?? arrival.arrivedAtMs ?? time.timeMs,
        knownAtMs: vouchedMs ?? arrival.knownAtMs ?? time.timeMs,
        payload,
        attempt,
      },
      eventTimeMs: time.timeMs,
    };
  };
}
