import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { Generations } from '#connectors/gateway/generations';
import { transactionSchema, transactions } from '#examples/fraud/features/transactions';
import { eventSource } from '#feature_store/definitions/sources/source';
import { goodEvent } from '../../../support/definitions/good_event.ts';
import { createTestGateway } from './test_gateway.ts';

test('the newest entries are kept: half of the most at least, the most at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.integer({ min: 1, max: 200 }), (max, count) => {
      const kept = new Generations<number>(max);
      for (let index = 0; index < count; index += 1) kept.add(`k${index}`, index);
      const held = Array.from({ length: count }, (_, index) => kept.get(`k${index}`)).filter(
        (each) => each !== undefined,
      );
      expect(held.length).toBeLessThanOrEqual(max);
      const newest = Array.from({ length: Math.min(count, max >> 1) }, (_, at) => count - 1 - at).reverse();
      expect(held.slice(held.length - newest.length)).toEqual(newest);
    }),
  );
});

const refunds = eventSource({
  ...{ ...transactions, name: 'refunds', eventTypes: ['refund'] },
  schema: transactionSchema.extend({ event_type: z.literal('refund') }),
});

test('any order of events of few sources, users, ids and contents: as a map of source, user and id has it, single and in batches', async () => {
  const one = fc.record({
    type: fc.constantFrom('transaction', 'refund'),
    user: fc.nat(2),
    id: fc.nat(3),
    amount: fc.integer({ min: 1, max: 2 }),
  });
  const at = new Date().toISOString();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(one, { minLength: 1, maxLength: 5 }), { maxLength: 8 }), async (batches) => {
      const gateway = await createTestGateway({}, [transactions, refunds]);
      const first = new Map<string, number>();
      for (const batch of batches) {
        const expected = batch.map(({ type, user, id, amount }) => {
          const key = `${type} ${user} ${id}`;
          const known = first.get(key);
          if (known === undefined) first.set(key, amount);
          return known === undefined ? 'accepted' : known === amount ? 'duplicate' : 'rejected';
        });
        const texts = batch.map(({ type, user, id, amount }) =>
          JSON.stringify(goodEvent(`id-${id}`, { event_type: type, user_id: `u${user}`, amount, timestamp: at })),
        );
        if (texts.length === 1) {
          const { status } = await gateway.post('/ingest', texts[0] as string);
          expect(status).toBe({ accepted: 202, duplicate: 200, rejected: 409 }[expected[0] as 'accepted']);
        } else {
          const { body } = await gateway.post('/ingest/batch', texts.join('\n'));
          expect((body.results as { status: string }[]).map(({ status }) => status)).toEqual(expected);
        }
      }
      expect(gateway.valuesOf('raw-events')).toHaveLength(first.size);
    }),
    { numRuns: 60 },
  );
});
