import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { ErasureStore } from '#feature_store/erasure/erasure_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { Erasures } from '../erasure/erasures.ts';

/** Clocks of machines may differ by so much, ms. */
const CLOCK_DIFFERENCE_MS = 60_000;

/**
 * Writes rows of history online, and removes those of entities that were erased while they were on their way. An erasure is stored before it removes
 * anything: one that is found afterwards is made up for here, one that is not found yet removes the rows itself.
 *
 * @param readAtMs - when the rows were read, or earlier
 */
export async function writeUnerased(
  {
    online,
    offline,
  }: {
    readonly online: Pick<OnlineStore, 'write' | 'read' | 'erase'>;
    readonly offline: { readonly erasures: Pick<ErasureStore, 'read'> };
  },
  rows: readonly FeatureRow[],
  readAtMs: number,
): Promise<void> {
  await online.write(rows);
  const erasures = new Erasures();
  erasures.load(await offline.erasures.read(readAtMs - CLOCK_DIFFERENCE_MS));
  for (const row of rows) {
    if (!erasures.isErased(row.entityKey, row.computedAt)) continue;
    // It may be here again, with a row of its own.
    const [held] = await online.read(row, [row.entityKey]);
    if (held !== undefined && erasures.isErased(row.entityKey, held.computedAt))
      await online.erase([row], row.entityKey);
  }
}
