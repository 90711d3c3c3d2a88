import type { KeyShare } from './key_share.ts';
import type { CellMapping } from './state_schema.ts';

/** Takes one entry of an operator's state, at once: what it refers to may change right after. */
export type TakeEntry = (entry: unknown) => void;

/**
 * A consistent picture of an operator's state, taken while the operator continues. `head` is small and taken at once; `entries`
 * are visited bit by bit. Code that is about to change an entry that was not visited hands it over first, as it was
 * (copy on write), so that all entries together are the state at the moment the snapshot began.
 */
export interface OperatorSnapshot {
  readonly head: unknown;
  /** Undefined stands for an entry that its backend saves itself. */
  readonly entries: Iterator<unknown>;
}

/** A key that is due at a time, in one of its operator's queues. */
export type SavedDue = readonly [queue: number, at: number, key: unknown];

/** As an entry of a snapshot. */
export interface DueEntry {
  readonly due: SavedDue;
}

/** Returns entries of one of an operator's queues. */
export function* dueEntries(
  queue: number,
  all: Iterable<{ readonly at: number; readonly key: unknown }>,
): Generator<DueEntry> {
  for (const { at, key } of all) yield { due: [queue, at, key] };
}

/** Part of an operator's saved state: there is one for each thread that kept some of it. */
export interface SavedPart {
  readonly head: unknown;
  readonly entries: Iterable<unknown>;
  /** Entries that are in a store of their own and not among {@link entries}. */
  readonly stored?: AsyncIterable<unknown> | undefined;
  /** Where the store that holds the other entries is used as it is: the nearer part of its queues by time. */
  readonly due?: Iterable<SavedDue> | undefined;
}

/** How saved state becomes an operator's. */
export interface RestoreScope {
  /** Where the cells of entries are, for operators that declare cells. */
  readonly mapping?: CellMapping | undefined;
  /** The keys that are restored; all without it. */
  readonly share?: KeyShare | undefined;
}

const NOTHING: Iterator<unknown> = [][Symbol.iterator]();

/** A snapshot that is all head. */
export const smallSnapshot = (head: unknown): OperatorSnapshot => ({ head, entries: NOTHING });

/** Entries that are restored before a backend may make room. */
const RESTORED_A_ROUND = 1_000;

/**
 * Restores what stores hold of an operator's parts, some entries at a time.
 *
 * @param relieve - makes room in between
 * @returns undefined where they hold nothing
 */
export function eachStored(
  parts: readonly SavedPart[],
  relieve: (() => Promise<void>) | undefined,
  restore: (entries: readonly unknown[]) => void,
): Promise<void> | undefined {
  const stored = parts.map((part) => part.stored).filter((entries) => entries !== undefined);
  return stored.length === 0 ? undefined : restoreAll(stored, relieve, restore);
}

async function restoreAll(
  parts: readonly AsyncIterable<unknown>[],
  relieve: (() => Promise<void>) | undefined,
  restore: (entries: readonly unknown[]) => void,
): Promise<void> {
  let entries: unknown[] = [];
  for (const stored of parts) {
    for await (const entry of stored) {
      entries.push(entry);
      if (entries.length < RESTORED_A_ROUND) continue;
      restore(entries);
      entries = [];
      await relieve?.();
    }
  }
  restore(entries);
}
