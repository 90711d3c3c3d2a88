import type { Trigger } from './trigger.ts';
import { globalWindows, type WindowFn } from './window.ts';

/** How a collection is cut in event time, and when groups of it are emitted. */
export interface WindowingStrategy {
  readonly windowFn: WindowFn;
  readonly trigger: Trigger;
  /** Panes after the first of a window: everything so far (true) or what is new (false). */
  readonly accumulating: boolean;
  /** How long after its end a window still takes elements, ms. */
  readonly allowedLatenessMs: number;
  /** The timestamp of a pane. */
  readonly timestampCombiner: 'endOfWindow' | 'earliest' | 'latest';
  /** Emit the pane at the end of the window even when nothing is new since the last. */
  readonly emptyOnTimePanes: boolean;
}

export const DEFAULT_WINDOWING: WindowingStrategy = {
  windowFn: globalWindows,
  trigger: { kind: 'default' },
  accumulating: false,
  allowedLatenessMs: 0,
  timestampCombiner: 'endOfWindow',
  emptyOnTimePanes: true,
};
