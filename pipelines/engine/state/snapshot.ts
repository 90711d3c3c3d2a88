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

/** Part of an operator's saved state: there is one for each thread that kept some of it. */
export interface SavedPart {
  readonly head: unknown;
  readonly entries: Iterable<unknown>;
  /** Entries that are in a store of their own and not among {@link entries}. */
  readonly stored?: AsyncIterable<unknown> | undefined;
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
