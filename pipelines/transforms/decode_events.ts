import type { LogRecord } from '#connectors/connector';
import { earlierAttempts } from '#connectors/dead_letters';
import type { EventFields } from '#feature_store/definitions/feature';
import type { EventSource } from '#feature_store/definitions/source';
import { messageOf } from '#kernel/errors';
import { readEventTime } from '#kernel/event_time_text';
import type { Clock, EventTime } from '#kernel/time';

/** A record as a pipeline sees it: an event, or why it is none. */
export type DecodedEvent =
  | {
      readonly ok: true;
      readonly source: string;
      readonly eventId: string;
      readonly event: EventFields;
      readonly eventTimeMs: number;
      /** Its partition's watermark when it was read: it is late when its own time is before that. */
      readonly watermark: EventTime;
      /** When the gateway took it in, ms; undefined when another producer wrote it. */
      readonly receivedAtMs: number | undefined;
      readonly payload: string;
      /** How often it has been tried, this time included: more than 1 when it was replayed. */
      readonly attempt: number;
    }
  | { readonly ok: false; readonly reason: string; readonly payload: string; readonly attempt: number };

/** What the gateway adds to an event. */
const ENRICHED = ['received_at', 'source', 'schema_version'] as const;

/**
 * Reads events of `sources` from broker records. The broker is an open door, so everything is checked again as at the gateway.
 * Only a valid event has an event time: a broken clock must not move the watermark.
 */
export function createEventDecoder(sources: readonly EventSource[], clock: Clock) {
  const byType = new Map(sources.flatMap((source) => source.eventTypes.map((type) => [type, source])));
  return (
    record: LogRecord,
    watermark: EventTime,
  ): { readonly element: DecodedEvent; readonly eventTimeMs: number | undefined } => {
    const payload = record.value.toString('utf8');
    const attempt = earlierAttempts(record) + 1;
    const refuse = (reason: string) => ({
      element: { ok: false, reason, payload, attempt } as const,
      eventTimeMs: undefined,
    });
    let body: unknown;
    try {
      body = JSON.parse(payload);
    } catch (error) {
      return refuse(`not JSON: ${messageOf(error)}`);
    }
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return refuse('not a JSON object');
    const fields = { ...(body as Record<string, unknown>) };
    const receivedAt = fields.received_at;
    for (const name of ENRICHED) delete fields[name];
    const source = byType.get(String(fields.event_type));
    if (source === undefined) return refuse(`unknown event_type ${JSON.stringify(fields.event_type)}`);
    const parsed = source.schema.safeParse(fields);
    if (!parsed.success) {
      const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || '(event)'}: ${message}`);
      return refuse(problems.join('; '));
    }
    const event: EventFields = parsed.data;
    const time = readEventTime(String(event[source.timestampField]), clock.now());
    if ('problem' in time) return refuse(`${source.timestampField}: ${time.problem}`);
    const receivedAtMs = typeof receivedAt === 'string' ? Date.parse(receivedAt) : Number.NaN;
    return {
      element: {
        ok: true,
        source: source.name,
        eventId: String(event[source.eventIdField]),
        event,
        eventTimeMs: time.timeMs,
        watermark,
        receivedAtMs: Number.isNaN(receivedAtMs) ? undefined : receivedAtMs,
        payload,
        attempt,
      },
      eventTimeMs: time.timeMs,
    };
  };
}
