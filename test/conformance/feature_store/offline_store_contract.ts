import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FeatureRow } from '#feature_store/definitions/feature_row';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { DAY_MS, eventTime, HOUR_MS, processingTime } from '#kernel/time';

const START = Date.UTC(2026, 4, 30);
const at = (hours: number) => eventTime(START + hours * HOUR_MS);

/** What every offline store must do. */
export function describeOfflineStore(name: string, open: () => Promise<OfflineStore>): void {
  describe(`${name} keeps the contract of an offline store`, () => {
    let store: OfflineStore;
    beforeAll(async () => {
      store = await open();
    }, 60_000);
    afterAll(() => store.stop());

    const row = (view: string, entityKey: string, hours: number, value: number, computedAt = 0): FeatureRow => ({
      view,
      version: 1,
      entityKey,
      eventTime: at(hours),
      computedAt: processingTime(START + 10 * DAY_MS + computedAt),
      values: { value, name: 'x"y,z', flag: true, nothing: null },
    });

    test('the newest row of every entity comes page by page, by key', async () => {
      const view = randomUUID();
      const keys = Array.from({ length: 25 }, (_, index) => `entity-${String(index).padStart(2, '0')}`);
      for (const hours of [0, 5, 40 * 24]) {
        // Not every entity has been seen lately.
        const seen = keys.filter((_, index) => hours === 0 || index % (hours === 5 ? 2 : 3) === 0);
        await store.write(seen.map((key) => row(view, key, hours, hours)));
      }
      const newest: FeatureRow[] = [];
      for (let after: string | undefined; ; after = newest.at(-1)?.entityKey) {
        const page = await store.newestRows(
          { view, version: 1 },
          { limit: 10, ...(after === undefined ? {} : { after }) },
        );
        if (page.length === 0) break;
        expect(page.length).toBeLessThanOrEqual(10);
        newest.push(...page);
      }
      expect(newest.map(({ entityKey }) => entityKey)).toEqual(keys);
      const hoursOf = (index: number): number => (index % 3 === 0 ? 40 * 24 : index % 2 === 0 ? 5 : 0);
      expect(newest).toEqual(keys.map((key, index) => row(view, key, hoursOf(index), hoursOf(index))));
    });

    test('writing again changes nothing; an older computation never replaces a newer one', async () => {
      const view = randomUUID();
      const rows = [row(view, 'a', 0, 1), row(view, 'a', 1, 2), row(view, 'b', 0, 3), row(view, 'b', 0, 4, 5)];
      await store.write(rows);
      await store.write(rows);
      await store.write([row(view, 'b', 0, 99, -5)]);
      expect(await store.countRows({ view, version: 1 })).toBe(3);
      await store.writeLabels(view, [{ labelId: 'l', entityKey: 'b', eventTime: at(2), label: 1 }]);
      const query = { view: { view, version: 1 }, features: ['value'] };
      const [joined] = await store.pointInTimeJoin(view, { from: at(0), to: at(10) }, query);
      expect(joined?.values).toEqual({ value: 4 });
    });

    test('the point-in-time join equals a brute-force one, across months, ttls and late computations', async () => {
      const entry = fc.record({
        key: fc.constantFrom('a', 'b'),
        hours: fc.integer({ min: 0, max: 90 }),
        computed: fc.integer({ min: 0, max: 10 }),
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(entry, { maxLength: 25 }),
          fc.array(entry, { minLength: 1, maxLength: 10 }),
          fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
          fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined }),
          async (written, asked, ttlHours, knownBy) => {
            const view = randomUUID();
            const unique = new Map<string, FeatureRow>();
            for (const [index, { key, hours, computed }] of written.entries()) {
              const candidate = row(view, key, hours, index, computed);
              const held = unique.get(`${key}${hours}`);
              if (held === undefined || held.computedAt <= candidate.computedAt)
                unique.set(`${key}${hours}`, candidate);
            }
            await store.write([...unique.values()]);
            await store.writeLabels(
              view,
              asked.map(({ key, hours }, index) => ({
                labelId: String(index).padStart(3, '0'),
                entityKey: key,
                eventTime: at(hours),
                label: index % 2,
              })),
            );
            const known = knownBy === undefined ? undefined : processingTime(START + 10 * DAY_MS + knownBy);
            const ttlMs = ttlHours === undefined ? undefined : ttlHours * HOUR_MS;
            const query = { view: { view, version: 1 }, features: ['value', 'nothing'], ttlMs, knownBy: known };
            const joined = await store.pointInTimeJoin(view, { from: at(0), to: at(1_000) }, query);
            const expected = asked
              .map(({ key, hours }, index) => {
                const newest = [...unique.values()]
                  .filter((candidate) => candidate.entityKey === key && candidate.eventTime <= at(hours))
                  .filter((candidate) => ttlMs === undefined || candidate.eventTime >= at(hours) - ttlMs)
                  .filter((candidate) => known === undefined || candidate.computedAt <= known)
                  .sort((x, y) => y.eventTime - x.eventTime)[0];
                const labelId = String(index).padStart(3, '0');
                const values = { value: newest?.values.value ?? null, nothing: null };
                return { labelId, entityKey: key, eventTime: at(hours), label: index % 2, values };
              })
              .sort((x, y) => x.eventTime - y.eventTime || (x.labelId < y.labelId ? -1 : 1));
            expect(joined).toEqual(expected);
          },
        ),
        { numRuns: 25 },
      );
    }, 120_000);

    test('predictions are kept once each', async () => {
      const before = await store.countPredictions();
      const prediction = {
        requestId: randomUUID(),
        rowIndex: 0,
        modelName: 'fraud_detector',
        modelVersion: 2,
        features: { amount: 1 },
        prediction: 'fraud',
        probabilities: { legitimate: 0.2, fraud: 0.8 },
        predictedAtMs: Date.now(),
      };
      await store.writePredictions([prediction, { ...prediction, rowIndex: 1, entityKey: 'a' }]);
      await store.writePredictions([prediction]);
      expect(await store.countPredictions()).toBe(before + 2);
    });
  });
}
