import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import type { LogRecord } from '#connectors/connector';
import { ATTEMPTS_HEADER } from '#connectors/dead_letters/dead_letters';
import { transactions } from '#examples/fraud/features/transactions';
import { DAY_MS, MIN_EVENT_TIME, MINUTE_MS, processingTime } from '#kernel/time';
import { createEventDecoder } from '#pipelines/events/decode_events';
import { createRowDecoder } from '#pipelines/events/row_decoder';
import { hostileValues } from '../../../support/hostile/hostile_values.ts';

// The broker is an open door: whatever lies in it, a pipeline goes on, and nothing that it cannot use moves its watermark.

const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
const decode = createEventDecoder([transactions], { now: () => processingTime(NOW_MS) });

const recordOf = (value: Buffer, headers: Record<string, string> = {}): LogRecord => ({
  key: undefined,
  value,
  headers,
  timestampMs: NOW_MS,
  partition: '0',
  offset: 0n,
});

const EVENT = {
  event_id: 'e1',
  user_id: 'u1',
  event_type: 'transaction',
  timestamp: '2026-11-21T11:59:00Z',
  account_id: 'a1',
  amount: 5,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
};
const encode = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

test('any bytes at all are an event or a dead letter with what they were', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        fc.json().map((text) => Buffer.from(text)),
        fc
          .dictionary(fc.constantFrom(...Object.keys(EVENT), 'received_at'), fc.oneof(fc.jsonValue(), hostileValues))
          .map((changes) => encode({ ...EVENT, ...changes })),
      ),
      (bytes) => {
        const { element, eventTimeMs } = decode(recordOf(bytes), MIN_EVENT_TIME);
        if (element.ok === 'erasure') throw new Error('no erasure was encoded');
        // What is no text is kept as the bytes that it is.
        const isText = element.ok || element.encoding === undefined;
        expect(Buffer.from(element.payload, isText ? 'utf8' : 'base64').equals(bytes)).toBe(true);
        if (element.ok) {
          expect(eventTimeMs).toBeDefined();
        } else {
          expect(element.reason).not.toBe('');
          expect(eventTimeMs).toBeUndefined();
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('no function of a view changes an event that other views compute with', () => {
  const source = {
    ...transactions,
    schema: transactions.schema.extend({ items: z.array(z.object({ price: z.number() })) }),
  };
  const decodeItems = createEventDecoder([source], { now: () => processingTime(NOW_MS) });
  const { element } = decodeItems(recordOf(encode({ ...EVENT, items: [{ price: 1 }] })), MIN_EVENT_TIME);
  if (element.ok !== true) throw new Error(JSON.stringify(element));
  const event = element.event as { amount: number; added?: number; items: { price: number }[] };
  const changes: readonly (() => unknown)[] = [
    () => (event.amount = 0),
    () => (event.added = 1),
    () => event.items.push({ price: 2 }),
    () => ((event.items[0] as { price: number }).price = 9),
    () => delete (event as Partial<typeof event>).items,
  ];
  for (const change of changes) expect(change).toThrow(TypeError);
  expect(event).toMatchObject({ amount: 5, items: [{ price: 1 }] });
});

test.each([
  ['nothing', Buffer.alloc(0), /not JSON/],
  ['half an event', encode(EVENT).subarray(0, 40), /not JSON/],
  ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28]), /not UTF-8/],
  ['an integer that no double is', Buffer.from('{"amount":9007199254740993}'), /^amount: .*9007199254740993/],
  ['a repeated key', Buffer.from('{"amount":1,"amount":2}'), /^amount: is there more than once/],
  ['10 MB of one', Buffer.alloc(10_000_000, 'x'), /not JSON/],
  ['a list', encode([EVENT]), /not a JSON object/],
  ['another type', encode({ ...EVENT, event_type: 'weather' }), /unknown event_type "weather"/],
  ['a year ahead', encode({ ...EVENT, timestamp: new Date(NOW_MS + 365 * DAY_MS).toISOString() }), /timestamp/],
  ['a wrong amount', encode({ ...EVENT, amount: 'lots' }), /amount/],
])('%s is refused, saying why', (_, bytes, reason) => {
  const { element, eventTimeMs } = decode(recordOf(bytes), MIN_EVENT_TIME);
  expect(element).toMatchObject({ ok: false, reason: expect.stringMatching(reason), attempt: 1 });
  expect(eventTimeMs).toBeUndefined();
});

test('an event of a year ago has its own time: it is late, not refused', () => {
  const timestampMs = NOW_MS - 365 * DAY_MS;
  const { element, eventTimeMs } = decode(
    recordOf(encode({ ...EVENT, timestamp: new Date(timestampMs).toISOString() })),
    MIN_EVENT_TIME,
  );
  expect([element.ok, eventTimeMs]).toEqual([true, timestampMs]);
});

test('a replayed record remembers how often it was refused', () => {
  const { element } = decode(recordOf(Buffer.from('{oops'), { [ATTEMPTS_HEADER]: '2' }), MIN_EVENT_TIME);
  expect(element).toMatchObject({ attempt: 3 });
});

test('history may be of any age; lateness of the stream is judged by arrival, and not by the clock of the reader', () => {
  const old = { ...EVENT, timestamp: '1998-06-30T12:00:00Z' };
  const ofRows = createRowDecoder([transactions], { now: () => processingTime(NOW_MS) });
  expect(ofRows({ ok: true, row: old }, undefined, MIN_EVENT_TIME).element).toMatchObject({
    ok: true,
    eventTimeMs: Date.parse(old.timestamp),
  });
  const arrivalOf = (fields: object, timestampMs: number) =>
    decode({ ...recordOf(encode({ ...EVENT, ...fields })), timestampMs }, MIN_EVENT_TIME).element;
  const receivedAt = '1998-06-30T12:30:00.5Z';
  expect(arrivalOf({ ...old, received_at: receivedAt }, NOW_MS)).toMatchObject({ arrivedAtMs: Date.parse(receivedAt) });
  // Of another producer: when the broker took it.
  expect(arrivalOf(old, NOW_MS)).toMatchObject({ ok: true, arrivedAtMs: NOW_MS, receivedAtMs: undefined });
  expect(arrivalOf({ ...old, received_at: 'yesterday' }, NOW_MS)).toMatchObject({ arrivedAtMs: NOW_MS });
  // Of a broker that keeps no time.
  expect(arrivalOf(old, -1)).toMatchObject({ arrivedAtMs: Date.parse(old.timestamp) });
});

test('an event that a gateway accepted whose clock is ahead is not refused by this clock; a time far in the future is', () => {
  const timestamp = new Date(NOW_MS + 20 * MINUTE_MS).toISOString();
  const of = (receivedAtMs: number | undefined, at = timestamp) => {
    const received = receivedAtMs === undefined ? {} : { received_at: new Date(receivedAtMs).toISOString() };
    return decode(recordOf(encode({ ...EVENT, timestamp: at, ...received })), MIN_EVENT_TIME).element.ok;
  };
  expect(of(NOW_MS + 17 * MINUTE_MS)).toBe(true);
  expect(of(undefined)).toBe(false);
  const farMs = NOW_MS + 400 * 24 * 60 * MINUTE_MS;
  expect(of(farMs, new Date(farMs).toISOString())).toBe(false);
});

test.each(['America/New_York', 'Asia/Kolkata', 'UTC'])(
  'times of history without a zone are UTC on a machine in %s',
  (zone) => {
    const before = process.env.TZ;
    process.env.TZ = zone;
    try {
      const ofRows = createRowDecoder([transactions], { now: () => processingTime(NOW_MS) });
      for (const timestamp of [
        '2025-06-30T12:00:00',
        '2025-06-30 12:00:00',
        '2025-06-30T12:00',
        '2025-06-30 12:00:00+00',
      ]) {
        const { element } = ofRows({ ok: true, row: { ...EVENT, timestamp } }, undefined, MIN_EVENT_TIME);
        expect(element).toMatchObject({ ok: true, eventTimeMs: Date.UTC(2025, 5, 30, 12) });
      }
    } finally {
      process.env.TZ = before;
    }
  },
);
