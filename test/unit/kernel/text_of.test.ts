import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isInText } from '#connectors/entity_mention';
import { InvalidEventError } from '#connectors/gateway/errors';
import { createEventValidator } from '#connectors/gateway/events/event_validator';
import { textOf } from '#kernel/text/text_of';
import { transactions } from '../../../examples/fraud/features/transactions.ts';
import { hostileValues } from '../../support/hostile/hostile_values.ts';

test('whatever JSON holds has a text, and primitives have their own', () => {
  fc.assert(
    fc.property(fc.oneof(hostileValues, fc.jsonValue()), (value) => expect(typeof textOf(value)).toBe('string')),
  );
  expect([1, 'a', true, null, undefined, 5n].map(textOf)).toEqual(['1', 'a', 'true', 'null', 'undefined', '5']);
});

test('the gateway refuses such values in any field by name', () => {
  const validate = createEventValidator([transactions], { allowedLatenessMs: 1_000, unknownTypes: 'accept' });
  const event = transactions.example as Record<string, unknown>;
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(event), 'schema_version'), hostileValues, (field, value) => {
      const sent = JSON.parse(JSON.stringify({ ...event, [field]: value }));
      expect(() => validate(sent, Date.parse(String(event.timestamp)))).toThrow(InvalidEventError);
    }),
  );
});

test('a search for an entity passes over records with such values', () => {
  const mention = { key: 'user:x9', joinKeys: { user_id: 'x9' } } as Parameters<typeof isInText>[1];
  fc.assert(
    fc.property(hostileValues, (value) => {
      expect(isInText(JSON.stringify({ user_id: value, other: value }), mention)).toBe(false);
      expect(isInText(JSON.stringify({ before: value, user_id: 'x9' }), mention)).toBe(true);
    }),
  );
});
