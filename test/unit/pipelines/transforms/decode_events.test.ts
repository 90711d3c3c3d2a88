import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LogRecord } from '#connectors/connector';
import { ATTEMPTS_HEADER } from '#connectors/dead_letters';
import { transactions } from '#feature_store/views/transactions';
import { DAY_MS, MIN_EVENT_TIME, processingTime } from '#kernel/time';
import { createEventDecoder, createRowDecoder } from '#pipelines/transforms/decode_events';

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
          .dictionary(fc.constantFrom(...Object.keys(EVENT)), fc.jsonValue())
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

test('history may be as old as it likes; on the stream it is told where it belongs', () => {
  const old = { ...EVENT, timestamp: '1998-06-30T12:00:00Z' };
  const ofRows = createRowDecoder([transactions], { now: () => processingTime(NOW_MS) });
  expect(ofRows({ ok: true, row: old }, undefined, MIN_EVENT_TIME).element).toMatchObject({
    ok: true,
    eventTimeMs: Date.parse(old.timestamp),
  });
  expect(decode(recordOf(encode(old)), MIN_EVENT_TIME).element).toMatchObject({
    ok: false,
    reason: expect.stringContaining('load history with a back-fill'),
  });
});
