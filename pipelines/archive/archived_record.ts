import type { LogRecord } from '#connectors/connector';
import type { EventSource } from '#feature_store/definitions/sources/source';
import { decodeUtf8 } from '#kernel/exact/exact_json';
import { textOf } from '#kernel/text/text_of';
import { type Clock, MIN_EVENT_TIME, processingTime } from '#kernel/time';
import { readEventTime } from '#kernel/times/event_time_text';
import { createEventDecoder, type DecodedEvent } from '#pipelines/events/decode_events';
import type { ArchivedEvent } from './archived_event.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Makes events of records: those that the pipeline takes, and those of types that no source knows. What the pipeline refuses is in the dead letters, and not here.
 */
export function createRecordReader(sources: readonly EventSource[], clock: Clock, topic: string) {
  const decode = createEventDecoder(sources, clock);
  const known = new Set(sources.flatMap(({ eventTypes }) => eventTypes));
  return (record: LogRecord, generation: number): ArchivedEvent | undefined => {
    const of = {
      ...{ partition: record.partition, generation, offset: record.offset, key: record.key },
      recordedAtMs: record.timestampMs,
      headers: Object.keys(record.headers).length === 0 ? undefined : JSON.stringify(record.headers),
    };
    const { element } = decode(record, MIN_EVENT_TIME, topic);
    if (element.ok === 'erasure') return undefined;
    if (element.ok) {
      const { eventId, eventTimeMs, receivedAtMs, payload, event } = element;
      return { ...of, eventType: textOf(event.event_type), eventId, eventTimeMs, receivedAtMs, payload };
    }
    return foreignEvent(record, known, clock, of);
  };
}

type Placed = Pick<ArchivedEvent, 'partition' | 'generation' | 'offset' | 'key' | 'recordedAtMs' | 'headers'>;

function foreignEvent(
  { value }: LogRecord,
  known: ReadonlySet<unknown>,
  clock: Clock,
  of: Placed,
): ArchivedEvent | undefined {
  try {
    const payload = decodeUtf8(value);
    const event = JSON.parse(payload) as Fields;
    if (typeof event !== 'object' || event === null || typeof event.event_type !== 'string') return undefined;
    if (event.event_type === '' || known.has(event.event_type)) return undefined;
    const time = readEventTime(textOf(event.timestamp), clock.now());
    if ('problem' in time) return undefined;
    const receivedAt = Date.parse(textOf(event.received_at));
    return {
      ...{ ...of, payload, eventType: event.event_type, eventId: textOf(event.event_id), eventTimeMs: time.timeMs },
      receivedAtMs: Number.isNaN(receivedAt) ? undefined : receivedAt,
    };
  } catch {
    return undefined;
  }
}

/** Decodes an archived event as the pipeline has decoded its record. */
export function createArchiveDecoder(sources: readonly EventSource[]) {
  let nowMs = 0;
  // Judged by the clock of then: what was no time of the future or of long ago is none later.
  const decode = createEventDecoder(sources, { now: () => processingTime(nowMs) });
  return (event: ArchivedEvent, watermark: Parameters<typeof decode>[1]): DecodedEvent => {
    nowMs = event.recordedAtMs;
    const { element } = decode(
      {
        key: event.key,
        value: Buffer.from(event.payload),
        headers: event.headers === undefined ? {} : (JSON.parse(event.headers) as Record<string, string>),
        timestampMs: event.recordedAtMs,
        partition: event.partition,
        offset: event.offset,
      },
      watermark,
    );
    return element;
  };
}
