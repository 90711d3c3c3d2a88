import { type DueEntry, dueEntries } from '../state/snapshot.ts';
import { type Cells, KeyedState, type OperatorState } from './keyed_state.ts';

/** What a DoFn needs of a backend. */
export interface CellsSpec {
  /** The transform's unique name: its state is found by it again. */
  readonly transform: string;
  /** Cells of a key and window. */
  readonly slots: number;
  /** By slot, where values are changed before they are saved. */
  readonly beforeSave: readonly (((value: unknown) => void) | undefined)[];
}

/** What a transform keeps in a store besides the cells of a DoFn. */
export type StoredPart = 'timers' | 'groups' | 'tiles';

export interface TableSpec {
  readonly transform: string;
  readonly part: StoredPart;
  /** Cells of a key and window. */
  readonly slots: number;
  /** Returns cells as they are written: plain values, and undefined for what is empty. */
  pack(cells: Cells): Cells;
  /** Returns what {@link pack} was called with, of this key. */
  unpack(packed: Cells, key: unknown): Cells;
}

/** Records of keys that need not fit in the heap. A key that is looked up may be changed until the call at hand ends, with a call of {@link OperatorState.changed}. */
export interface StoredTable extends OperatorState {
  /** Windows of a key: ids, each followed by its cells. Changes with {@link OperatorState.drop}. */
  windowsOf(key: unknown, keyId: unknown): readonly unknown[];
  /** The same, of a key that is in the heap; undefined for others. */
  cachedWindowsOf(keyId: unknown): readonly unknown[] | undefined;
}

export interface QueueSpec {
  readonly transform: string;
  /** Its number among the transform's queues. */
  readonly queue: number;
  /** Whether something of a key is due at that time still; undefined where it has to be looked up. */
  isDue(at: number, keyId: unknown): boolean | undefined;
}

/** A key that is due. */
export interface Due {
  readonly at: number;
  readonly key: unknown;
}

/**
 * Keys by the time at which something of them is due, not all of them in the heap. It is an index: what is due, and whether it still is, the key's record says, so that a time may come up
 * that has been changed since.
 */
export interface DueQueue {
  /** 0 when nothing is due at any time. */
  readonly size: number;
  push(at: number, key: unknown, keyId: unknown): void;
  /** Call when nothing of the key is due at that time any more. */
  remove(at: number, key: unknown, keyId: unknown): void;
  /** The earliest time, or one before it; undefined when there is none. */
  nextAt(): number | undefined;
  /** Removes and returns the earliest key that is due before `end`, or then; undefined also when it has to be fetched first, see {@link isHungry}. */
  pop(end: number, isInclusive: boolean): Due | undefined;
  /** More is due than {@link pop} had at hand: the backend is full then, and fetches it when it is relieved. */
  readonly isHungry: boolean;
  /** What a snapshot has to hold of it besides the store: read one by one, as of now. */
  save(): Iterable<Due>;
}

/** Where operators keep by key what need not fit in the heap. */
export interface KeyedStore {
  tableOf(spec: TableSpec): StoredTable;
  queueOf(spec: QueueSpec): DueQueue;
}

/** Where the keyed state of one thread lives (docs/adr/0030). */
export interface StateBackend {
  /** Cells of a DoFn. */
  cellsOf(spec: CellsSpec): OperatorState;
  /** Where timers, groups and tiles are; undefined where operators keep them in the heap, each in its own way. */
  readonly store: KeyedStore | undefined;
  /** It has more in the heap than it may, or keys to fetch that are due, and is to be relieved ({@link relieve}); or it has failed, which that throws. */
  readonly isFull: boolean;
  /** Makes room, and fetches what is due. Call when no call of a DoFn holds cells. */
  relieve(): Promise<void>;
}

/** Everything in the JavaScript heap: the fastest, as long as it fits; each snapshot holds all of it. */
export const heapBackend: StateBackend = {
  cellsOf: ({ slots, beforeSave }) => new KeyedState(slots, beforeSave),
  store: undefined,
  isFull: false,
  relieve: async () => {},
};

/** Returns what a snapshot visits of a transform whose keys are in a store: what has changed of them, and what the store does not have of its queues, by their numbers. */
export function storedEntries(table: StoredTable, ...queues: readonly DueQueue[]): Iterator<DueEntry | undefined> {
  // As of now: they are visited later.
  const saved = queues.map((queue) => queue.save());
  return (function* () {
    for (const _ of table.unsaved()) yield undefined;
    for (const [queue, due] of saved.entries()) yield* dueEntries(queue, due);
  })();
}
