import { randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces } from '#feature_store/definitions/values/feature_row';
import { type EmbeddingSearch, METRICS, type Metric } from '#feature_store/offline/embedding_search';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { DAY_MS, eventTime, HOUR_MS, processingTime } from '#kernel/time';
import { nearView } from '../../support/definitions/typed_values.ts';

/**
 * @param accuracy - error of a distance of 1 or less; of larger ones in proportion
 * @param smallest - components nearer to 0 are 0
 */
export function testSimilaritySearch(
  storesOf: () => { readonly embeddings: EmbeddingSearch; readonly features: OfflineStore },
  { accuracy, smallest }: { readonly accuracy: number; readonly smallest: number },
): void {
  const errorAt = (far: number): number => accuracy * Math.max(1, Math.abs(far));

  test('similarity search finds what comparing all of the newest embeddings finds', async () => {
    const { embeddings, features } = storesOf();
    const nowMs = Date.now();
    const number = fc.oneof(fc.constantFrom(0, 1, -1, 0.5), fc.float({ min: -100, max: 100, noNaN: true }));
    const vectors = fc
      .tuple(number, number, number)
      .map((numbers) => Float32Array.from(numbers, (each) => (Math.abs(each) < smallest ? 0 : each)));
    // Of each entity some rows, in any order: hours before now, and the embedding or none.
    const history = fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), fc.option(vectors)), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(history, { minLength: 1, maxLength: 12 }),
        vectors,
        fc.integer({ min: 1, max: 8 }),
        async (all, vector, limit) => {
          const run = randomUUID().slice(0, 8);
          const rows = all.flatMap((own, entity) =>
            own.map(
              ([hours, near], index): FeatureRow => ({
                ...{ view: nearView.name, version: 1, entityKey: entityKeyFromId(nearView, `${run}-${entity}`) },
                ...{ eventTime: eventTime(nowMs - hours * HOUR_MS), computedAt: processingTime(nowMs + index) },
                values: { near },
              }),
            ),
          );
          await features.write(rows);
          const newest = new Map<EntityKey, FeatureRow>();
          for (const row of rows) {
            const held = newest.get(row.entityKey);
            if (held === undefined || replaces(row, held)) newest.set(row.entityKey, row);
          }
          const oldest = eventTime(nowMs - 720 * HOUR_MS);
          for (const metric of METRICS) {
            const known = [...newest.values()].flatMap(({ entityKey, eventTime: at, values }) => {
              const far = values.near instanceof Float32Array ? distance(metric, values.near, vector) : Number.NaN;
              return at >= oldest && !Number.isNaN(far) ? [[entityKey, far] as const] : [];
            });
            const query = { view: nearView.name, version: 1, feature: 'near', vector, metric, limit, oldest };
            const found = await embeddings.search(query);
            const nearest = known
              .map(([, far]) => far)
              .sort((a, b) => a - b)
              .slice(0, limit);
            expect(found).toHaveLength(nearest.length);
            for (const [place, { entityKey, distance: far }] of found.entries()) {
              expect(Math.abs(far - (nearest[place] as number))).toBeLessThanOrEqual(errorAt(far));
              expect(Math.abs(far - (new Map(known).get(entityKey) ?? Number.NaN))).toBeLessThanOrEqual(errorAt(far));
            }
            const [first] = found;
            if (first !== undefined) {
              const others = await embeddings.search({ ...query, limit: 100, except: first.entityKey });
              expect(others.map(({ entityKey }) => entityKey)).not.toContain(first.entityKey);
            }
          }
          // What is erased is found no more, and what is written for the next run is alone.
          for (const key of newest.keys()) await features.eraseRowsComputedBy(key, nowMs + DAY_MS);
          const left = {
            view: nearView.name,
            version: 1,
            feature: 'near',
            vector,
            metric: 'l2',
            limit: 10,
            oldest,
          } as const;
          expect(await embeddings.search(left)).toEqual([]);
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
  }, 120_000);
}

/** What the metrics are, by their definitions. */
function distance(metric: Metric, a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number =>
    x.reduce((sum, each, at) => sum + each * (y[at] as number), 0);
  if (metric === 'inner_product') return -dot(a, b);
  if (metric === 'l2') return Math.hypot(...Array.from(a, (each, at) => each - (b[at] as number)));
  return 1 - dot(a, b) / (Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b)));
}
