import { join } from 'node:path';
import { silentLogger } from '#monitoring/log';
import type { TransformSnapshot } from '#pipelines/engine/executor';
import { SnapshotStore } from '#pipelines/runner/snapshot_store';
import { FolderLock } from '#storage/folder_lock';
import { type Component, contentOf, type OpenComponent } from '../component.ts';

interface Kept {
  readonly id: string;
  readonly content: string;
}

/**
 * The runner's snapshots: each holds all ids so far. The one before the newest may be what is read, when the newest is damaged: what came
 * after it is read from the sources again.
 */
export const SNAPSHOTS: Component = {
  name: 'snapshots',
  batch: 5,
  needsMib: 0,
  isExclusive: true,
  async open(folder): Promise<OpenComponent> {
    const directory = join(folder, 'snapshots');
    const lock = await FolderLock.acquire(directory);
    try {
      const store = new SnapshotStore(directory, silentLogger, 2, lock.guard);
      const loaded = await store.load();
      const kept = Array.from((loaded?.transforms[0]?.entries ?? []) as Iterable<Kept>);
      const restored = kept.filter(({ id, content }) => content === contentOf(id)).map(({ id }) => id);
      return {
        async write(ids) {
          const all = [...kept, ...ids.map((id) => ({ id, content: contentOf(id) }))];
          const writer = store.begin();
          try {
            writer.start([headOf(all)], 0);
            while (!writer.step(5));
            await writer.finish();
          } catch (error) {
            await writer.abandon();
            throw error;
          }
          kept.splice(0, kept.length, ...all);
        },
        async found(accepted) {
          const counts = new Map(restored.map((id) => [id, 1]));
          const replayed = accepted.slice(-SNAPSHOTS.batch);
          // All of the newest batch is missing, or none of it.
          if (replayed.every((id) => !counts.has(id))) for (const id of replayed) counts.set(id, 1);
          return counts;
        },
        close: () => lock.release(),
      };
    } catch (error) {
      await lock.release();
      throw error;
    }
  },
};

const headOf = (entries: readonly Kept[]): TransformSnapshot =>
  ({ name: 'chaos', entries: entries[Symbol.iterator]() }) as unknown as TransformSnapshot;
