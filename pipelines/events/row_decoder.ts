import { z } from 'zod';
import type { ReadRow, Row } from '#connectors/files/formats';
import { isTextFile } from '#connectors/files/history_files';
import type { PartitionValues } from '#connectors/files/partition_values';
import { type FeatureView, readsSource } from '#feature_store/definitions/feature_view';
import { type RowLayout, unitOf } from '#feature_store/definitions/sources/row_layout';
import type { EventSource, JoinKeyType } from '#feature_store/definitions/sources/source';
import { joinKeyValue } from '#feature_store/definitions/values/entity_key';
import { messageOf } from '#kernel/errors';
import { timeFieldValue } from '#kernel/event_fields';
import { derivedId } from '#kernel/hashes/derived_id';
import { textOf } from '#kernel/text/text_of';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import type { Clock, EventTime } from '#kernel/time';
import { parseRfc3339 } from '#kernel/times/rfc3339';
import { timeOfNumber } from '#kernel/times/time_forms';
import { type ReadTime, timePattern } from '#kernel/times/time_pattern';
import { instantOf } from '#kernel/times/time_zone';
import { parseUtcTime, utcOfLocalText } from '#kernel/times/utc_time';
import { createEventCheck, type Decoded, type DescribeIssue, jsonOfEvent, refused } from './decode_events.ts';
import { fieldReaders, type ReadField, takenTime, typedValue, unwrappedField } from './row_values.ts';

/** What is known of the rows of one type of events. */
interface RowType {
  readonly source: EventSource;
  readonly layout: RowLayout;
  readonly fields: ReadonlyMap<string, ReadField>;
  readonly joinKeys: ReadonlyMap<string, JoinKeyType>;
  readonly readTime: (value: unknown) => unknown;
}

type Body = Record<string, unknown>;

/**
 * Reads events of rows of files, tables and queries, by the layout of their source's history. Formats have types of their own: times may be timestamps, integers bigints, decimals exact; in CSV all is
 * text: an empty cell is a missing field, and numbers and booleans are read where the schema has them. Columns that folders name are read where the schema has such a field. Where there is one type of events only,
 * rows need no `event_type`.
 *
 * @param views - whose join keys keep integers of 64 bits exact
 * @returns a decoder; `path` is the file, undefined for rows of a query; `placeOf` names the row in messages
 */
export function createRowDecoder(sources: readonly EventSource[], clock: Clock, views: readonly FeatureView[] = []) {
  const check = createEventCheck(sources, clock, describeValue);
  const types = new Map(
    sources.flatMap((source) => source.eventTypes.map((type) => [type, rowTypeOf(source, views)] as const)),
  );
  const [onlyType, ...otherTypes] = types.keys();
  const defaults = otherTypes.length === 0 ? { event_type: onlyType } : {};
  return (row: ReadRow, path: string | undefined, watermark: EventTime, placeOf?: () => string): Decoded => {
    const placed = (decoded: Decoded): Decoded => {
      if (decoded.element.ok !== false || placeOf === undefined) return decoded;
      return { ...decoded, element: { ...decoded.element, reason: `${decoded.element.reason} (${placeOf()})` } };
    };
    if (!row.ok) return placed(refusedRow(row));
    const isText = path !== undefined && isTextFile(path);
    const type = types.get(textOf(row.row.event_type ?? row.partition?.event_type ?? onlyType));
    const { body, exact } = bodyOf(row.row, row.partition, { isText, type, defaults });
    let payload: string;
    try {
      payload = jsonOfEvent(exact === undefined ? body : { ...body, ...exact });
    } catch (error) {
      return placed(refused(`no JSON: ${messageOf(error)}`, String(Object.keys(row.row)), 1));
    }
    // The order of a history is its arrival.
    const arrival = { arrivedAtMs: watermark, knownAtMs: undefined };
    const { element, eventTimeMs } = check(body, payload, 1, watermark, arrival);
    if (element.ok === false) return placed({ element: withColumns(element, row.row, type), eventTimeMs });
    if (exact === undefined || element.ok !== true) return { element, eventTimeMs };
    return { element: { ...element, event: { ...element.event, ...exact } }, eventTimeMs };
  };
}

function rowTypeOf(source: EventSource, views: readonly FeatureView[]): RowType {
  const layout: RowLayout = source.history ?? {};
  return {
    source,
    layout,
    fields: fieldReaders(source.schema),
    joinKeys: joinKeysOf(source, views),
    readTime: timeReader(layout, source),
  };
}

interface BodyOf {
  readonly isText: boolean;
  readonly type: RowType | undefined;
  readonly defaults: Readonly<Record<string, unknown>>;
}

/** The event of a row; `exact`: integers of join keys whose schema knows numbers only. */
function bodyOf(
  row: Row,
  partition: PartitionValues | undefined,
  { isText, type, defaults }: BodyOf,
): { readonly body: Body; readonly exact: Body | undefined } {
  const body: Body = { ...defaults };
  if (type === undefined) {
    for (const [name, value] of Object.entries(row)) if (value !== null) body[name] = typedValue(value);
    return { body, exact: undefined };
  }
  const { fields, joinKeys, layout, source, readTime } = type;
  let exact: Body | undefined;
  const put = (name: string, value: unknown, textual: boolean): void => {
    const reader = fields.get(name);
    const read = isMissing(value, textual)
      ? undefined
      : name === source.timestampField
        ? readTime(value)
        : readValue(value, textual, reader, joinKeys.get(name));
    if (typeof read === 'bigint' && joinKeys.get(name) === 'number') {
      // The schema knows numbers only; the key is what the number came from.
      exact ??= {};
      exact[name] = read;
      body[name] = Number(read);
    } else if (read !== undefined && !Number.isNaN(read)) body[name] = read;
    else if (reader?.missing === null) body[name] = null;
  };
  if (layout.columns === undefined) {
    for (const name of Object.keys(row)) put(name, row[name], isText);
    for (const name of Object.keys(partition ?? {}))
      if (fields.has(name) && row[name] === undefined) put(name, partition?.[name], true);
  } else {
    for (const name of fields.keys()) {
      const column = layout.columns[name] ?? name;
      const held = valueAt(row, column);
      if (held !== undefined) put(name, held, isText);
      else if (partition?.[column] !== undefined) put(name, partition[column], true);
    }
  }
  if (layout.id !== undefined && body[source.eventIdField] === undefined) {
    const values = layout.id.map((column) => idPart(row, partition, body, column, layout));
    body[source.eventIdField] = values.find((value) => value instanceof UnreadableValue) ?? derivedId(values);
  }
  return { body, exact };
}

const isMissing = (value: unknown, textual: boolean): boolean =>
  value === null || value === undefined || (textual && value === '');

function readValue(
  value: unknown,
  textual: boolean,
  reader: ReadField | undefined,
  key: JoinKeyType | undefined,
): unknown {
  if (key !== undefined && (textual || typeof value === 'bigint')) {
    const read = joinKeyValue(key, value) ?? value;
    return key === 'bigint' && Number.isSafeInteger(read) ? BigInt(read as number) : read;
  }
  if (reader === undefined) return typedValue(value);
  return textual && typeof value === 'string' ? reader.text(value) : reader.typed(value);
}

/** A column, or with points one inside of others. */
function valueAt(row: Row, column: string): unknown {
  if (column in row || !column.includes('.')) return row[column];
  let value: unknown = row;
  for (const name of column.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Row)[name];
  }
  return value;
}

/** A value that an id is made of, as the event has it where it is a field: the same in every format. */
function idPart(
  row: Row,
  partition: PartitionValues | undefined,
  body: Body,
  column: string,
  { columns = {} }: RowLayout,
): unknown {
  const field = Object.keys(columns).find((name) => columns[name] === column) ?? column;
  const value = body[field] ?? valueAt(row, column) ?? partition?.[column];
  if (value === undefined || value === null || value === '')
    return new UnreadableValue(`cannot be made: column "${column}" of history.id is missing`, '');
  return typeof value === 'object' ? typedValue(value) : value;
}

/** Reads the time of an event as text of RFC 3339. What is no time stays as it is, and is refused for it. */
function timeReader(layout: RowLayout, source: EventSource): (value: unknown) => unknown {
  const { timestampUnit, timestampField } = source;
  if (timestampUnit === undefined) {
    const read = textReader(layout);
    const schema = unwrappedField(source.schema, timestampField);
    return (value) => takenTime(read(value), schema);
  }
  // The event has a number: what is one in the same unit stays.
  const isText = unwrappedField(source.schema, timestampField) instanceof z.ZodString;
  const format = layout.time?.format ?? timestampUnit;
  const read = textReader({ ...layout, time: { ...layout.time, format } });
  return (value) => {
    const text = read(value);
    const timeMs = typeof text === 'string' ? parseRfc3339(text) : undefined;
    if (timeMs === undefined) return text;
    if (format === timestampUnit && textOf(value) !== text) return isText ? textOf(value) : Number(value);
    return timeFieldValue(timeMs, source, isText ? '' : 0);
  };
}

/** The same for events whose time is text of RFC 3339. */
function textReader({ time: { format, zone = 'UTC' } = {} }: RowLayout): (value: unknown) => unknown {
  const unit = unitOf(format);
  const pattern = unit === undefined && format !== undefined ? (timePattern(format) as ReadTime) : undefined;
  return (value) => {
    if (value instanceof Date) return typedValue(value);
    // Whole, with its zone: nothing is left to say.
    if (typeof value === 'string' && parseRfc3339(value) !== undefined) return value;
    if (unit !== undefined) return timeOfNumber(value, unit);
    if (typeof value === 'number' || typeof value === 'bigint') {
      const problem = `holds the number ${value}: say its unit with history.time.format (s, ms, us or ns)`;
      return new UnreadableValue(problem, String(value));
    }
    if (typeof value !== 'string') return typedValue(value);
    return pattern === undefined ? withZone(value, zone) : inForm(value, pattern, zone);
  };
}

function inForm(text: string, pattern: ReadTime, zone: string): unknown {
  const read = pattern(text, zone);
  if (typeof read === 'number') return new Date(read).toISOString();
  return new UnreadableValue(`holds "${text.slice(0, 100)}", which ${read}`, text);
}

/** Files and databases hold times without a zone: they are of the history's, UTC by default. */
function withZone(text: string, zone: string): unknown {
  const local = zone === 'UTC' ? undefined : utcOfLocalText(text);
  if (local === undefined) {
    const timeMs = parseUtcTime(text);
    return timeMs === undefined ? text : new Date(timeMs).toISOString();
  }
  const instant = instantOf(local, zone);
  if (typeof instant === 'number') return new Date(instant).toISOString();
  return new UnreadableValue(`holds "${text}", which ${instant}`, text);
}

/** A line that is no row, with its bytes. */
const refusedRow = ({ ok, reason, text, ...encoding }: Extract<ReadRow, { ok: false }>): Decoded => ({
  element: { ok, reason, payload: text, attempt: 1, ...encoding },
  eventTimeMs: undefined,
});

/** Join keys of a source's events, with their types. */
const joinKeysOf = (source: EventSource, views: readonly FeatureView[]): ReadonlyMap<string, JoinKeyType> =>
  new Map(
    views
      .filter((view) => readsSource(view, source.name))
      .flatMap(({ entity, joinKeyTypes }) =>
        entity.joinKeys.map((key, index) => [key, joinKeyTypes[index] as JoinKeyType] as const),
      ),
  );

const LONGEST_SHOWN = 60;
const MISSING_FIELD = 'is missing';

const describeValue: DescribeIssue = ({ path, message }, fields) => {
  const name = path.join('.') || '(event)';
  let value: unknown = fields;
  for (const step of path) value = (value as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[step];
  if (path.length === 0) return `${name}: ${message}`;
  if (value === undefined) return `${name}: ${MISSING_FIELD} (${message})`;
  return `${name}: ${message}, not ${shown(value)}`;
};

function shown(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN)}…`;
}

/** Where a field is missing, says which columns there are. */
function withColumns<T extends { readonly reason: string }>(element: T, row: Row, type: RowType | undefined): T {
  if (type === undefined || !element.reason.includes(`: ${MISSING_FIELD}`)) return element;
  const columns = Object.keys(row).join(', ').slice(0, 300);
  return { ...element, reason: `${element.reason}. The row has columns ${columns}: name others with history.columns` };
}
