import type { PredictionStore } from '#serving/prediction_store/prediction_store';

/** Rows that versions have answered since a time, by `NAME VERSION`. */
export type CountOfVersion = (sinceMs: number) => Promise<ReadonlyMap<string, number>>;

const KEPT_MS = 30_000;

/** Counts predictions in the log, at most twice a minute: with millions a day it takes a while. */
export function countedVersions(predictions: Pick<PredictionStore, 'countByVersion'>): CountOfVersion {
  let sinceMs = 0;
  const count = keptFor(KEPT_MS, async () => {
    const counts = await predictions.countByVersion(sinceMs);
    return new Map(counts.map(({ model, version, rows }) => [`${model} ${version}`, rows] as const));
  });
  return (since) => {
    sinceMs = since;
    return count();
  };
}

/** Returns a function that reads again when its answer is older than so long; a failure is not kept. */
export function keptFor<T>(ms: number, read: () => Promise<T>): () => Promise<T> {
  let kept: { readonly atMs: number; readonly value: Promise<T> } | undefined;
  return () => {
    const nowMs = performance.now();
    if (kept === undefined || nowMs - kept.atMs > ms) {
      const value = read();
      kept = { atMs: nowMs, value };
      value.catch(() => {
        kept = undefined;
      });
    }
    return kept.value;
  };
}
