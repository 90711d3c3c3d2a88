import type { Executor, RestoredTransform } from '#pipelines/engine/executor';
import type { LoadedSnapshot } from './snapshot_file.ts';
import type { DiskState } from './state/disk_state.ts';

/**
 * Opens a thread's store with what a snapshot's store holds, where that can be used as it is; otherwise empty, and the executors restore it entry by entry.
 *
 * @param disk - undefined where state is in the heap
 * @param snapshot - of this thread alone, with all of its keys
 * @returns what is left for the executors to restore
 */
export async function openWith(
  disk: DiskState | undefined,
  snapshot: Pick<LoadedSnapshot, 'store' | 'transforms'> | undefined,
  executors: readonly Executor[],
): Promise<readonly RestoredTransform[]> {
  const { store, transforms = [] } = snapshot ?? {};
  const isUsable =
    store !== undefined &&
    transforms.every(
      (transform) => transform.stored === undefined || executors.some((executor) => executor.isAsSaved(transform)),
    );
  await disk?.open(isUsable ? store : undefined);
  const isUsed = disk !== undefined && isUsable;
  return transforms.map((one) => ({ ...one, ...(isUsed ? { stored: undefined } : { due: undefined }) }));
}
