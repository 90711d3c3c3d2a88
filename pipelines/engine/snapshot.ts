/** Takes one entry of an operator's state, at once: what it refers to may change right after. */
export type TakeEntry = (entry: unknown) => void;

/**
 * A consistent picture of an operator's state, taken while the operator goes on. `head` is small and taken at once; `entries`
 * are visited bit by bit. Whoever is about to change an entry that was not visited hands it over first, as it was
 * (copy on write), so that all entries together are the state at the moment the snapshot began.
 */
export interface OperatorSnapshot {
  readonly head: unknown;
  readonly entries: Iterator<unknown>;
}

const NOTHING: Iterator<unknown> = [][Symbol.iterator]();

/** A snapshot that is all head. */
export const smallSnapshot = (head: unknown): OperatorSnapshot => ({ head, entries: NOTHING });
