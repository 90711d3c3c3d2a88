import { KEY_GROUPS, keyGroupOf, ownerOfKeyGroup } from '#kernel/keys/key_codec';

/** The share of keys that one of several workers owns (docs/adr/0017, "Key groups"). */
export interface KeyShare {
  ownsKey(key: unknown): boolean;
  /** For elements without a key: their place in the snapshot decides. */
  ownsElement(place: number): boolean;
}

/** Returns the worker that owns a key, 0 to `workers` - 1: the same in every process. */
export const workerOf = (key: unknown, workers: number): number =>
  workers === 1 ? 0 : ownerOfKeyGroup(keyGroupOf(key), workers, KEY_GROUPS);

/** Returns what worker `worker` of `workers` owns. */
export const shareOf = (worker: number, workers: number): KeyShare => ({
  ownsKey: (key) => workerOf(key, workers) === worker,
  ownsElement: (place) => place % workers === worker,
});
