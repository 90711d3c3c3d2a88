import type { FastifyRequest } from 'fastify';
import { isJsonType, isUtf8Label, mediaTypeOf } from '#monitoring/http/media_type';
import { type CloudEventMode, type CloudEventReader, cloudEventMode } from './cloud_events.ts';
import { UnsupportedEventFormError } from './errors.ts';
import type { ReadIncoming } from './event_intake.ts';

/** Besides JSON: what clients send that do not think of it (curl, fetch with a string), and lines of JSON. */
const ALSO_TAKEN: ReadonlySet<string> = new Set([
  ...['', 'text/plain', 'application/octet-stream', 'application/x-www-form-urlencoded'],
  ...['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/x-jsonlines'],
]);

export interface EventForm {
  /** Undefined: events in their plain form. */
  readonly cloudEvents: CloudEventMode | undefined;
  /** Undefined: nothing is to be done. */
  readonly read: ReadIncoming | undefined;
}

const PLAIN: EventForm = { cloudEvents: undefined, read: undefined };

/**
 * How the events of a request are written.
 *
 * @throws {@link UnsupportedEventFormError} for media types and charsets that are not read
 */
export function eventFormOf({ headers }: FastifyRequest, reader: CloudEventReader): EventForm {
  const type = mediaTypeOf(headers['content-type']);
  const mode = cloudEventMode(type, headers);
  if (!isUtf8Label(type)) {
    throw new UnsupportedEventFormError(`the charset ${type.charset?.slice(0, 100)} is not read here: send UTF-8`);
  }
  if (mode === 'structured' || mode === 'batched')
    return { cloudEvents: mode, read: (body) => reader.structured(body) };
  if (!isJsonType(type) && !ALSO_TAKEN.has(type.type)) {
    throw new UnsupportedEventFormError(`${type.type.slice(0, 100)} is not read here: send application/json`);
  }
  if (mode === 'binary') return { cloudEvents: mode, read: (body) => reader.binary(headers, body, type) };
  return PLAIN;
}
