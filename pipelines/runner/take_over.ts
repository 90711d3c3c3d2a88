import { setImmediate as nextTurn } from 'node:timers/promises';
import { canonicalJson } from '#kernel/json';
import { keyIdOf } from '#kernel/key_codec';
import type { Logger } from '#monitoring/log';
import { OtherDefinitionsError, SnapshotError } from '#pipelines/engine/errors';
import type { RestoredTransform } from '#pipelines/engine/executor';
import type { SavedKey } from '#pipelines/engine/operators/keyed_state';
import type { SavedTimer } from '#pipelines/engine/time/timer_queue';
import { FolderLock } from '#storage/folder_lock';
import { SnapshotStore } from './snapshot_store.ts';

const STEP_MS = 20;

/** An entry of a DoFn's state in a snapshot: one of the three. */
interface SavedEntry {
  readonly key?: SavedKey;
  readonly eventTimer?: SavedTimer;
  readonly processingTimer?: SavedTimer;
}

/** Fires a timer of processing time for each key that was taken over and has a certain timer of event time: a back-fill has no processing time of its own. */
export interface WakeUp {
  readonly eventTimer: string;
  readonly processingTimer: string;
}

/** Returns the cells of a key from those that the job has and those of the other job. */
export type MergeCells = (own: readonly unknown[], filled: readonly unknown[]) => unknown[];

/** Keys that are woken in a millisecond. */
const WOKEN_A_MS = 20;

/**
 * Writes the next snapshot of a job that is stopped: some transforms get the state of another job, key by key; keys that the other job does not have, and all other
 * transforms, stay as they are. The job resumes from it, or from the one before when this fails.
 *
 * @param merges - by transform, where a part of a key's state is taken over and the rest stays; by default all of it is taken over
 * @returns how many keys were taken over
 * @throws {@link OtherDefinitionsError} where the job was started with other definitions
 * @throws {@link SnapshotError} where the two do not fit otherwise
 */
export async function takeOverState(
  folders: { readonly into: string; readonly from: string },
  transforms: readonly string[],
  log: Logger,
  wakeUp?: WakeUp,
  merges: ReadonlyMap<string, MergeCells> = new Map(),
): Promise<number> {
  const lock = await FolderLock.acquire(folders.into);
  try {
    const store = new SnapshotStore(folders.into, log, undefined, () => lock.check());
    const own = await store.load();
    const other = await new SnapshotStore(folders.from, log).load();
    if (own === undefined || other === undefined) {
      throw new SnapshotError(`there is no snapshot in ${own === undefined ? folders.into : folders.from}`);
    }
    if (own.shards !== other.shards) {
      throw new SnapshotError(
        `the job's snapshot is of ${own.shards} worker threads and the back-fill's of ${other.shards}: state is taken over between equal numbers`,
      );
    }
    let keys = 0;
    const merged = own.transforms.map((transform) => {
      if (!transforms.includes(transform.name)) return transform;
      const filled = other.transforms.find(({ name }) => name === transform.name);
      if (filled === undefined) throw new SnapshotError(`the back-fill has no state of "${transform.name}"`);
      if (canonicalJson(filled.schema) !== canonicalJson(transform.schema)) {
        throw new OtherDefinitionsError(
          `"${transform.name}" was computed with other definitions than those of the job`,
        );
      }
      const entries = mergedEntries(transform, filled, wakeUp, merges.get(transform.name));
      keys += entries.taken;
      return { ...transform, hasState: true, entries: entries.list };
    });
    const missing = transforms.filter((name) => own.transforms.every((transform) => transform.name !== name));
    if (missing.length > 0) throw new OtherDefinitionsError(`the job has no transform "${missing.join('", "')}"`);
    const writer = store.begin();
    try {
      writer.start(
        merged.map((transform) => ({ ...transform, entries: transform.entries[Symbol.iterator]() })),
        own.shards,
      );
      while (!writer.step(STEP_MS)) await nextTurn();
      await writer.finish();
    } catch (error) {
      await writer.abandon();
      throw error;
    }
    return keys;
  } finally {
    await lock.release();
  }
}

function mergedEntries(
  own: RestoredTransform,
  filled: RestoredTransform,
  wakeUp: WakeUp | undefined,
  merge: MergeCells | undefined,
): { readonly list: readonly unknown[]; readonly taken: number } {
  const list: unknown[] = [];
  const taken = new Set<unknown>();
  const woken = new Set<unknown>();
  const held = [...(own.entries as Iterable<SavedEntry>)];
  /** Keys whose state is merged: timers of event time are the job's own. */
  const merged = new Map<unknown, SavedKey>();
  if (merge !== undefined) for (const { key } of held) if (key !== undefined) merged.set(keyIdOf(key[0]), key);
  const nowMs = Date.now();
  for (const entry of filled.entries as Iterable<SavedEntry>) {
    const { key, eventTimer, processingTimer } = entry;
    if (key !== undefined) taken.add(keyIdOf(key[0]));
    const ownKey = merged.get(keyIdOf(key?.[0] ?? (eventTimer ?? processingTimer)?.key));
    if (merge !== undefined && ownKey !== undefined) {
      if (key !== undefined) list.push({ key: mergedKey(ownKey, key, merge) });
    } else if (processingTimer === undefined) {
      // Timers of processing time are the job's own.
      list.push(entry);
    }
    if (wakeUp === undefined || eventTimer?.specId !== wakeUp.eventTimer) continue;
    const at = nowMs + Math.floor(woken.size / WOKEN_A_MS);
    woken.add(keyIdOf(eventTimer.key));
    list.push({ processingTimer: { ...eventTimer, specId: wakeUp.processingTimer, at } });
  }
  for (const entry of held) {
    const key = keyIdOf(entry.key?.[0] ?? (entry.eventTimer ?? entry.processingTimer)?.key);
    const isKept =
      entry.processingTimer !== undefined
        ? !woken.has(key)
        : !taken.has(key) || (merged.has(key) && entry.key === undefined);
    if (isKept) list.push(entry);
  }
  return { list, taken: taken.size };
}

function mergedKey([key, windows]: SavedKey, [, filled]: SavedKey, merge: MergeCells): SavedKey {
  const others = new Map(filled);
  const list = windows.map(([window, cells]) => {
    const other = others.get(window);
    others.delete(window);
    return [window, other === undefined ? cells : merge(cells, other)] as const;
  });
  return [key, [...list, ...others]];
}
