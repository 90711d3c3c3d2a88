import { join } from 'node:path';
import { KEY_GROUPS } from '#kernel/keys/key_codec';
import type { Logger } from '#monitoring/log';
import { SnapshotError } from '#pipelines/engine/errors';
import type { RestoredTransform } from '#pipelines/engine/executor';
import { type KeyShare, shareOf } from '#pipelines/engine/state/key_share';
import { type LoadedSnapshot, SnapshotStore } from './snapshot_store.ts';
import type { SavedStore } from './state/disk_state.ts';

/** Which snapshot a thread restores, and how many threads have written it. */
export type SnapshotReference = Pick<LoadedSnapshot, 'sequence' | 'shards' | 'keyGroups'>;

/** Where a worker thread keeps its part of a job's snapshots. */
export const shardFolder = (directory: string, shard: number): string => join(directory, `shard-${shard}`);

/** Reads all of a snapshot: the job's own file, and the parts of the worker threads that it had. */
export async function loadWhole(directory: string, log: Logger, snapshot: LoadedSnapshot): Promise<LoadedSnapshot> {
  if (snapshot.shards === 0) return snapshot;
  const transforms = [...snapshot.transforms, ...(await loadShards(directory, log, snapshot))];
  return { ...snapshot, transforms, store: undefined };
}

async function loadShards(
  directory: string,
  log: Logger,
  { sequence, shards }: SnapshotReference,
): Promise<RestoredTransform[]> {
  const parts: RestoredTransform[] = [];
  for (let shard = 0; shard < shards; shard += 1)
    parts.push(...(await loadFile(shardFolder(directory, shard), log, sequence)).transforms);
  return parts;
}

async function loadFile(folder: string, log: Logger, sequence: number): Promise<LoadedSnapshot> {
  const loaded = await new SnapshotStore(folder, log).load(sequence);
  if (loaded === undefined) throw new SnapshotError(`there is no snapshot ${sequence} in ${folder}`);
  return loaded;
}

/** A worker thread's part of a snapshot. */
export interface SnapshotPart {
  readonly transforms: readonly RestoredTransform[];
  /** Where all of it is the thread's: the store of it that can be used as it is. */
  readonly store?: SavedStore | undefined;
  /** The keys of it that are the thread's; absent where all are. */
  readonly share?: KeyShare;
}

/**
 * Reads what worker `worker` of `workers` restores: its own file, where as many threads wrote it and their keys have the same form; otherwise all files, and of them the keys that
 * are its own now.
 *
 * @param changesKeys - whether keys have another form now
 */
export async function loadPart(
  directory: string,
  log: Logger,
  snapshot: SnapshotReference,
  [worker, workers]: readonly [worker: number, workers: number],
  changesKeys: (transforms: readonly RestoredTransform[]) => boolean,
): Promise<SnapshotPart> {
  if (snapshot.shards === workers && snapshot.keyGroups === KEY_GROUPS) {
    const { transforms, store } = await loadFile(shardFolder(directory, worker), log, snapshot.sequence);
    if (!changesKeys(transforms)) return { transforms, store };
  }
  const transforms =
    snapshot.shards === 0
      ? (await loadFile(directory, log, snapshot.sequence)).transforms
      : await loadShards(directory, log, snapshot);
  return { transforms, share: shareOf(worker, workers) };
}
