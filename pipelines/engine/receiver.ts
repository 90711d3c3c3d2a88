import type { EventTime } from '#kernel/time';
import type { PaneInfo } from './dofn.ts';
import type { Window } from './windowing/window.ts';

/** Takes elements: one call an element, no wrapper object. */
export interface Receiver {
  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void;
}
