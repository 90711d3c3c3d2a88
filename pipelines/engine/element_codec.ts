import type { EventTime } from '#kernel/time';
import type { PaneInfo } from './dofn.ts';
import type { Receiver } from './receiver.ts';
import type { Window } from './windowing/window.ts';

/** Which shards an element goes to: the one of its key, any one, or each. */
export type ExchangeMode = 'byKey' | 'anywhere' | 'everywhere';

/** Elements with their time, window and pane, one after another as bytes. */
export interface ElementWriter {
  readonly length: number;
  write(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void;
  /** What was written since the last call, as bytes of their own. */
  take(): Uint8Array;
}

export interface ElementCodec {
  /** The coder's, for messages. */
  readonly name: string;
  createWriter(): ElementWriter;
  /** Passes each element of `bytes` on. */
  read(bytes: Uint8Array, receiver: Receiver): void;
}
