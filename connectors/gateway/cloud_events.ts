import type { IncomingHttpHeaders } from 'node:http';
import { timeFieldValue } from '#kernel/event_fields';
import { decodeUtf8, InvalidJsonError, parseExactJson } from '#kernel/exact/exact_json';
import type { FieldProblem } from '#kernel/field_problems';
import { textOf } from '#kernel/text/text_of';
import { parseRfc3339 } from '#kernel/times/rfc3339';
import { isJsonType, type MediaType, mediaTypeOf } from '#monitoring/http/media_type';
import { TRACEPARENT } from '#monitoring/tracing';
import { InvalidEventError, UnsupportedEventFormError } from './errors.ts';
import type { Incoming } from './event_intake.ts';
import { type EventType, keyFieldOf, parseEvent } from './events/event_validator.ts';

// CloudEvents 1.0.2 over HTTP (cloudevents/spec: spec.md, bindings/http-protocol-binding.md, formats/json-format.md). The data are the event's fields;
// what these leave out is taken from the attributes: id, type, time, and subject as the user.

const STRUCTURED = 'application/cloudevents+json';
const BATCHED = 'application/cloudevents-batch+json';

export type CloudEventMode = 'structured' | 'batched' | 'binary';

/**
 * How a request carries CloudEvents; undefined: not at all.
 *
 * @throws {@link UnsupportedEventFormError} for event formats other than JSON
 */
export function cloudEventMode({ type }: MediaType, headers: IncomingHttpHeaders): CloudEventMode | undefined {
  if (type === STRUCTURED) return 'structured';
  if (type === BATCHED) return 'batched';
  if (type.startsWith('application/cloudevents')) {
    throw new UnsupportedEventFormError(`${type} is not read here: send CloudEvents as ${STRUCTURED} or ${BATCHED}`);
  }
  return headers['ce-specversion'] === undefined ? undefined : 'binary';
}

type Attributes = Readonly<Record<string, unknown>>;

const REQUIRED = ['specversion', 'id', 'source', 'type'];
const NAME = /^[a-z0-9]+$/;
const PAYLOAD = new Set(['data', 'data_base64']);
/** Attributes of the specification that are strings and may be absent. */
const OPTIONAL = ['subject', 'time', 'datacontenttype', 'dataschema'];
/** What stays with the record, as headers. */
const KEPT = ['id', 'source', 'type', 'subject', 'dataschema'];

/** Turns CloudEvents into plain events. */
export class CloudEventReader {
  readonly #byName: ReadonlyMap<string, EventType>;

  constructor(types: readonly EventType[]) {
    this.#byName = new Map(types.flatMap((type) => type.eventTypes.map((name) => [name, type])));
  }

  /** @throws {@link InvalidEventError} */
  structured(body: Buffer | string): Incoming {
    const event = parseEvent(typeof body === 'string' ? body : utf8(body));
    if (typeof event !== 'object' || event === null || Array.isArray(event)) {
      throw new InvalidEventError([{ field: '', problem: 'a CloudEvent must be a JSON object' }]);
    }
    const attributes = event as Attributes;
    checkAttributes(attributes);
    return this.#plain(attributes, dataOf(attributes), undefined);
  }

  /** @throws {@link InvalidEventError} */
  binary(headers: IncomingHttpHeaders, body: Buffer | string, type: MediaType): Incoming {
    const attributes: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(headers)) {
      if (name.startsWith('ce-') && typeof value === 'string') {
        attributes[name.slice('ce-'.length)] = percentDecoded(name, value);
      }
    }
    checkAttributes(attributes);
    if (type.type !== '' && !isJsonType(type)) {
      throw new InvalidEventError([{ field: 'datacontenttype', problem: `${type.type} is not read here: send JSON` }]);
    }
    const text = typeof body === 'string' ? body : utf8(body);
    return this.#plain(attributes, objectOf(parseEvent(text), 'data'), text);
  }

  /** @param text - of the data, when it is at hand as its client has written it */
  #plain(attributes: Attributes, data: Attributes, text: string | undefined): Incoming {
    const name = data.event_type ?? attributes.type;
    const type = this.#byName.get(textOf(name));
    const added: Record<string, unknown> = {};
    const fill = (field: string, value: unknown): void => {
      if (value !== undefined && data[field] === undefined) added[field] = value;
    };
    fill('event_type', attributes.type);
    fill(type?.eventIdField ?? 'event_id', attributes.id);
    fill(type?.timestampField ?? 'timestamp', timeOf(attributes.time, type));
    const owner = keyFieldOf(type ?? {});
    if (type === undefined || owner in type.schema.shape) fill(owner, attributes.subject);
    return { text: merged(added, data, text), headers: headersOf(attributes) };
  }
}

/** The attribute as the field of the event has it; what is no time stays, and is refused for it. */
function timeOf(time: unknown, type: EventType | undefined): unknown {
  const timeMs = type?.timestampUnit === undefined || typeof time !== 'string' ? undefined : parseRfc3339(time);
  return timeMs === undefined || type === undefined ? time : timeFieldValue(timeMs, type);
}

/** The fields of the data with what was added, in the text of the client where there is one. */
function merged(added: Attributes, data: Attributes, text: string | undefined): string {
  if (text === undefined) return JSON.stringify({ ...added, ...data });
  const own = JSON.stringify(added).slice(1, -1);
  if (own === '') return text;
  const brace = text.indexOf('{') + 1;
  return `${text.slice(0, brace)}${own}${Object.keys(data).length === 0 ? '' : ','}${text.slice(brace)}`;
}

/** Where it came from stays with the record, and the trace it is part of. */
function headersOf(attributes: Attributes): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of KEPT) if (attributes[name] !== undefined) headers[`ce_${name}`] = textOf(attributes[name]);
  const { traceparent } = attributes;
  if (typeof traceparent === 'string' && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent)) {
    headers[TRACEPARENT] = traceparent;
  }
  return headers;
}

/** @throws {@link InvalidEventError} naming every attribute that is not as the specification requires it */
function checkAttributes(attributes: Attributes): void {
  const problems: FieldProblem[] = [];
  const refuse = (field: string, problem: string): void => void problems.push({ field, problem });
  for (const name of REQUIRED) {
    const value = attributes[name];
    if (typeof value !== 'string' || value === '') refuse(name, 'is a required attribute: a string that is not empty');
    else if (name === 'specversion' && value !== '1.0') refuse(name, `"${value}" is not supported: send 1.0`);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (PAYLOAD.has(name) || value === null) continue;
    if (!NAME.test(name)) refuse(name, 'is not a name of an attribute: lower-case letters and digits');
    else if (!['string', 'number', 'boolean'].includes(typeof value))
      refuse(name, 'must be a string, integer or boolean');
    else if (OPTIONAL.includes(name) && (typeof value !== 'string' || value === '')) {
      refuse(name, 'must be a string that is not empty');
    }
  }
  const { time, datacontenttype } = attributes;
  if (typeof time === 'string' && parseRfc3339(time) === undefined) refuse('time', 'must be a time of RFC 3339');
  if (typeof datacontenttype === 'string' && !isJsonType(mediaTypeOf(datacontenttype))) {
    refuse('datacontenttype', `${datacontenttype} is not read here: send JSON`);
  }
  if (problems.length > 0) throw new InvalidEventError(problems);
}

function dataOf({ data, data_base64: encoded }: Attributes): Attributes {
  if (data !== undefined && encoded !== undefined) {
    throw new InvalidEventError([{ field: 'data_base64', problem: 'stands beside data: send one of them' }]);
  }
  if (encoded === undefined) return objectOf(data, 'data');
  if (typeof encoded !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) {
    throw new InvalidEventError([{ field: 'data_base64', problem: 'must be a string in base64' }]);
  }
  try {
    return objectOf(parseExactJson(decodeUtf8(Buffer.from(encoded, 'base64'))), 'data_base64');
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    const below = (field: string): string => (field === '' ? 'data_base64' : `data_base64.${field}`);
    throw new InvalidEventError(error.fields.map(({ field, problem }) => ({ field: below(field), problem })));
  }
}

function objectOf(data: unknown, field: string): Attributes {
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) return data as Attributes;
  throw new InvalidEventError([{ field, problem: 'must be a JSON object with the fields of the event' }]);
}

/** A whole value in double quotes, with escapes of RFC 9110, section 5.6.4. */
const QUOTED = /^"((?:[^"\\]|\\.)*)"$/;

/** Section 3.1.3.2: values of headers may be quoted, and are percent-encoded. */
function percentDecoded(name: string, value: string): string {
  const quoted = QUOTED.exec(value)?.[1];
  const encoded = quoted === undefined ? value : quoted.replace(/\\(.)/g, '$1');
  try {
    return parseEvent(JSON.stringify(decodeURIComponent(encoded))) as string;
  } catch {
    throw new InvalidEventError([{ field: name, problem: 'must be printable text, percent-encoded UTF-8' }]);
  }
}

function utf8(body: Buffer): string {
  try {
    return decodeUtf8(body);
  } catch (error) {
    throw error instanceof InvalidJsonError ? new InvalidEventError(error.fields) : error;
  }
}
