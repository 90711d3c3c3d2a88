import { setImmediate as nextTurn } from 'node:timers/promises';
import { canonicalJson } from '#kernel/json';
import { keyIdOf } from '#kernel/keys/key_codec';
import type { Logger } from '#monitoring/log';
import { OtherDefinitionsError, SnapshotError } from '#pipelines/engine/errors';
import type { RestoredTransform, TransformSnapshot } from '#pipelines/engine/executor';
import type { SavedKey } from '#pipelines/engine/operators/keyed_state';
import type { SavedTimer } from '#pipelines/engine/time/timer_queue';
import { FolderLock } from '#storage/folder_lock';
import { loadWhole } from './snapshot_parts.ts';
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
  /** When they fire, ms since the epoch; now by default. */
  readonly atMs?: number;
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
    const [newest, filled] = await Promise.all([store.load(), new SnapshotStore(folders.from, log).load()]);
    if (newest === undefined || filled === undefined) {
      throw new SnapshotError(`there is no snapshot in ${newest === undefined ? folders.into : folders.from}`);
    }
    // Either may be of several threads: what is written is one file, which any number of threads can restore.
    const { transforms: own } = await loadWhole(folders.into, log, newest);
    const { transforms: other } = await loadWhole(folders.from, log, filled);
    let keys = 0;
    const merged = new Map<RestoredTransform, readonly unknown[]>();
    for (const name of transforms) {
      const held = own.filter((transform) => transform.name === name);
      const parts = other.filter((transform) => transform.name === name);
      const [first] = held;
      if (first === undefined) continue;
      if (parts.length === 0) throw new SnapshotError(`the back-fill has no state of "${name}"`);
      if (parts.some(({ schema }) => canonicalJson(schema) !== canonicalJson(first.schema))) {
        throw new OtherDefinitionsError(`"${name}" was computed with other definitions than those of the job`);
      }
      const entries = mergedEntries(await entriesOf(held), await entriesOf(parts), wakeUp, merges.get(name));
      keys += entries.taken;
      for (const part of held) merged.set(part, part === first ? entries.list : []);
    }
    const missing = transforms.filter((name) => own.every((transform) => transform.name !== name));
    if (missing.length > 0) throw new OtherDefinitionsError(`the job has no transform "${missing.join('", "')}"`);
    const writer = store.begin();
    try {
      const kept: TransformSnapshot[] = [];
      for (const transform of own) {
        // Queues by time are made anew from the entries.
        const { stored, due: _, ...head } = transform;
        // One file takes what a store had.
        const entries =
          merged.get(transform) ?? (stored === undefined ? transform.entries : await entriesOf([transform]));
        kept.push({ ...head, entries: entries[Symbol.iterator]() });
      }
      writer.start(kept, 0);
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

async function entriesOf(parts: readonly RestoredTransform[]): Promise<readonly SavedEntry[]> {
  const all: SavedEntry[] = [];
  for (const { entries, stored = [] } of parts) {
    for (const entry of entries) all.push(entry as SavedEntry);
    for await (const entry of stored) all.push(entry as SavedEntry);
  }
  return all;
}

function mergedEntries(
  held: readonly SavedEntry[],
  filled: readonly SavedEntry[],
  wakeUp: WakeUp | undefined,
  merge: MergeCells | undefined,
): { readonly list: readonly unknown[]; readonly taken: number } {
  const list: unknown[] = [];
  const taken = new Set<unknown>();
  const woken = new Set<unknown>();
  /** Keys whose state is merged: timers of event time are the job's own. */
  const merged = new Map<unknown, SavedKey>();
  if (merge !== undefined) for (const { key } of held) if (key !== undefined) merged.set(keyIdOf(key[0]), key);
  const nowMs = wakeUp?.atMs ?? Date.now();
  for (const entry of filled) {
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
