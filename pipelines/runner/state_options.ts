import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeFolder, workFolder } from './snapshot_store.ts';
import { DiskState } from './state/disk_state.ts';

/** Where the state of a job's DoFns lives (docs/adr/0030). */
export type StateOptions =
  | { readonly kind: 'heap' }
  /** @param cacheBytes - of hot keys that stay in the heap, of all threads together */
  | { readonly kind: 'disk'; readonly cacheBytes: number };

/**
 * Returns state on disk that is yet to be opened; undefined for state in the heap.
 *
 * @param snapshots - the thread's folder of snapshots, in which the store works, too; in a temporary folder without it
 */
export function openableState(options: StateOptions | undefined, snapshots: string | undefined): DiskState | undefined {
  if (options?.kind !== 'disk') return undefined;
  const { cacheBytes } = options;
  if (snapshots !== undefined) {
    return new DiskState({ folder: workFolder(snapshots), saved: storeFolder(snapshots), cacheBytes });
  }
  const folder = join(tmpdir(), `headwater-state-${randomUUID()}`);
  return new DiskState({ folder, saved: storeFolder(folder), cacheBytes });
}
