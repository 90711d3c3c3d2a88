import { KeyedState, type OperatorState } from './keyed_state.ts';

/** What a DoFn needs of a backend. */
export interface CellsSpec {
  /** The transform's unique name: its state is found by it again. */
  readonly transform: string;
  /** Cells of a key and window. */
  readonly slots: number;
  /** By slot, where values are changed before they are saved. */
  readonly beforeSave: readonly (((value: unknown) => void) | undefined)[];
}

/** Where the keyed state of one thread's DoFns lives (docs/adr/0030). */
export interface StateBackend {
  cellsOf(spec: CellsSpec): OperatorState;
  /** It has more in the heap than it may, and is to be relieved ({@link relieve}); or it has failed, which that throws. */
  readonly isFull: boolean;
  /** Makes room. Call when no call of a DoFn holds cells. */
  relieve(): Promise<void>;
}

/** Everything in the JavaScript heap: the fastest, as long as it fits; each snapshot holds all of it. */
export const heapBackend: StateBackend = {
  cellsOf: ({ slots, beforeSave }) => new KeyedState(slots, beforeSave),
  isFull: false,
  relieve: async () => {},
};
