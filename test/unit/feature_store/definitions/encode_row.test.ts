import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { rowJson, storedJson } from '#feature_store/definitions/values/encode_row';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';

test('a row is written as JSON.stringify writes it with its entity, whatever its strings hold', () => {
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  const row = fc.record({
    view: text,
    version: fc.nat(),
    entityKey: fc.tuple(fc.stringMatching(/^[a-z][a-z0-9_]{0,9}$/), text).map(([entity, rest]) => `${entity}:${rest}`),
    eventTime: fc.integer({ min: -1e13, max: 1e13 }),
    computedAt: fc.integer(),
    values: fc.dictionary(text, fc.oneof(text, fc.double(), fc.boolean(), fc.constant(null)), {
      noNullPrototype: true,
    }),
  });
  fc.assert(
    fc.property(row, (any) => {
      const given = any as unknown as FeatureRow;
      const { view, version, ...rest } = given;
      const expected = JSON.stringify({ view, version, entity: given.entityKey.split(':')[0], ...rest });
      expect(rowJson(given)).toBe(expected);
      expect(rowJson(given)).toBe(expected);
      // PostgreSQL sorts keys by their length and bytes.
      const stored = Object.entries(JSON.parse(JSON.stringify(given.values)));
      const sorted = stored.map(([name]) => Buffer.from(name)).sort((a, b) => a.length - b.length || a.compare(b));
      const encodings = sorted.map(
        (name) => `${JSON.stringify(name.toString())}:${JSON.stringify(given.values[name.toString()])}`,
      );
      expect(storedJson(given)).toBe(`{${encodings.join(',')}}`);
    }),
  );
});
