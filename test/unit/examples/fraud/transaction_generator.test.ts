import { expect, test } from '@jest/globals';
import {
  ARRIVAL_SHARES,
  FRAUD_SHARE,
  type GeneratedEvent,
  generateTransactions,
} from '#examples/fraud/transaction_generator';
import { DAY_MS } from '#kernel/time';

const options = { seed: 7, events: 24_000, accounts: 600, days: 14, endMs: Date.UTC(2026, 9, 1) };
const events = generateTransactions(options);
const share = (matches: (event: GeneratedEvent) => boolean): number => events.filter(matches).length / events.length;

test('the same options give the same bytes, another seed does not', () => {
  const small = { ...options, events: 500, accounts: 20 };
  expect(generateTransactions(small)).toEqual(generateTransactions(small));
  expect(generateTransactions({ ...small, seed: 8 })[0]?.body).not.toBe(generateTransactions(small)[0]?.body);
});

test('as many events as asked for, with distinct ids, inside the period', () => {
  expect(events).toHaveLength(options.events);
  expect(new Set(events.map((event) => event.eventId)).size).toBe(options.events);
  expect(new Set(events.map((event) => event.accountId)).size).toBeGreaterThan(500);
  for (const { timestampMs } of events) {
    expect(timestampMs).toBeGreaterThanOrEqual(options.endMs - options.days * DAY_MS);
    expect(timestampMs).toBeLessThan(options.endMs + 2 * 60 * 60_000);
  }
});

test.each(['out_of_order', 'late', 'too_late', 'invalid'] as const)('about the declared share is %s', (arrival) => {
  const want = ARRIVAL_SHARES[arrival];
  expect(Math.abs(share((event) => event.arrival === arrival) - want)).toBeLessThan(want * 0.4);
});

test('fraud has the declared share and mostly comes in bursts', () => {
  expect(share((event) => event.isFraud)).toBeCloseTo(FRAUD_SHARE, 3);
  const perAccount = new Map<string, number>();
  for (const { isFraud, accountId } of events) {
    if (isFraud) perAccount.set(accountId, (perAccount.get(accountId) ?? 0) + 1);
  }
  expect(Math.max(...perAccount.values())).toBeGreaterThan(4);
});

test('in-order events arrive by event time; late ones far behind it', () => {
  const times = events.filter((event) => event.arrival === 'in_order').map((event) => event.timestampMs);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  let newest = 0;
  let behindMs = Number.POSITIVE_INFINITY;
  for (const event of events) {
    if (event.arrival === 'late') behindMs = Math.min(behindMs, newest - event.timestampMs);
    newest = Math.max(newest, event.timestampMs);
  }
  expect(behindMs).toBeGreaterThan(60_000);
});

test('days have a rhythm: noon is busier than four in the morning', () => {
  const at = (hour: number) => share((event) => new Date(event.timestampMs).getUTCHours() === hour);
  expect(at(12)).toBeGreaterThan(3 * at(4));
});
