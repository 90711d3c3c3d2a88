import fc from 'fast-check';
import type { ArchivedEvent } from '#pipelines/archive/archived_event';

/** Offsets of Kafka and of the embedded log, and sequence numbers of Kinesis. */
const offset = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 2n ** 63n, max: 2n ** 206n }),
  fc.constantFrom(0n, 2n ** 63n - 1n, 2n ** 63n),
);
const timeMs = fc.integer({ min: 0, max: 4_000_000_000_000 });

/** Returns events of a type and partition with any other fields; some of their payloads hold ids as they are, or escaped. */
export const archivedEvent = ({
  eventType,
  partition,
}: Pick<ArchivedEvent, 'eventType' | 'partition'>): fc.Arbitrary<ArchivedEvent> =>
  fc.record({
    ...{ eventType: fc.constant(eventType), partition: fc.constant(partition), generation: fc.constant(0) },
    eventId: fc.string({ unit: 'grapheme', minLength: 1 }),
    ...{ eventTimeMs: timeMs, receivedAtMs: fc.option(timeMs, { nil: undefined }), recordedAtMs: timeMs },
    offset,
    key: fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
    headers: fc.option(fc.constant('[["h","v"]]'), { nil: undefined }),
    payload: fc.oneof(
      fc.json(),
      fc.constantFrom('{"account_id":"a1"}', '{"account_id":"\\u00611"}', '{"a":"it\'s","b":"x%_ é"}'),
    ),
  });
