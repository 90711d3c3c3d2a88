import { type EventTime, eventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { InvalidTimeError } from '../errors.ts';

/** A window of event time; the end is exclusive. `id` tells windows of one strategy apart. */
export class Window {
  readonly id: string;
  readonly start: EventTime;
  readonly end: EventTime;

  constructor(start: number, end: number, id = `${start}:${end}`) {
    this.start = eventTime(start);
    this.end = eventTime(end);
    this.id = id;
  }

  maxTimestamp(): EventTime {
    return this.id === GLOBAL_ID ? this.end : eventTime(this.end - 1);
  }
}

const GLOBAL_ID = 'global';

/** Beam's global window ends a day before the end of time, so that timers and lateness can still follow it. */
export const GLOBAL_WINDOW = new Window(MIN_EVENT_TIME, MAX_EVENT_TIME - 86_400_000, GLOBAL_ID);

/** A window as plain data, for snapshots. */
export type SavedWindow = Pick<Window, 'id' | 'start' | 'end'>;
export const saveWindow = ({ id, start, end }: Window): SavedWindow => ({ id, start, end });
export const reviveWindow = ({ id, start, end }: SavedWindow): Window =>
  id === GLOBAL_ID ? GLOBAL_WINDOW : new Window(start, end, id);

/** Windows that become one: `result` stands for all of `sources`. */
export interface WindowMerge {
  readonly sources: readonly Window[];
  readonly result: Window;
}

export interface WindowFn {
  /** Stable description, part of the graph's fingerprint. */
  readonly name: string;
  /** The element itself is there for windows that depend on it. */
  assign(timestamp: EventTime, element: unknown): readonly Window[];
  /**
   * Windows of one key that must merge; called with all that are open whenever one is added. Only in a merging function:
   * its windows are brought together when elements are grouped.
   */
  readonly merge?: (windows: readonly Window[]) => readonly WindowMerge[];
  /**
   * The window of a side input (cut by this function) that goes with a window of the main input; by default, of those
   * that hold the main window's last moment, the one that ends first. Merging functions have none.
   */
  readonly sideInputWindow?: (mainWindow: Window) => Window;
  /** Sliding windows only. */
  readonly sliding?: { readonly sizeMs: number; readonly periodMs: number; readonly offsetMs: number };
}

export const globalWindows: WindowFn = { name: 'global', assign: () => ONLY_GLOBAL };
const ONLY_GLOBAL = [GLOBAL_WINDOW];

/** Tumbling windows of `sizeMs`, aligned to the epoch plus `offsetMs`. */
export function fixedWindows(sizeMs: number, offsetMs = 0): WindowFn {
  // Events are out of order around few windows: those last seen are kept, so that a window is one object.
  const recent: (readonly Window[])[] = [];
  let next = 0;
  return {
    name: `fixed(${sizeMs},${offsetMs})`,
    assign(timestamp) {
      const start = floorTo(timestamp - offsetMs, sizeMs) + offsetMs;
      for (let index = 0; index < recent.length; index += 1) {
        const windows = recent[index] as readonly Window[];
        if ((windows[0] as Window).start === start) return windows;
      }
      const windows = [new Window(start, start + sizeMs)];
      recent[next] = windows;
      next = (next + 1) % RECENT_WINDOWS;
      return windows;
    },
  };
}

const RECENT_WINDOWS = 4;

/** Windows of `sizeMs` that begin every `periodMs`: each timestamp is in `sizeMs / periodMs` of them, newest first. */
export function slidingWindows(sizeMs: number, periodMs: number, offsetMs = 0): WindowFn {
  let cached: Window[] = [];
  let cachedLast = Number.NaN;
  return {
    name: `sliding(${sizeMs},${periodMs},${offsetMs})`,
    sliding: { sizeMs, periodMs, offsetMs },
    assign(timestamp) {
      const last = floorTo(timestamp - offsetMs, periodMs) + offsetMs;
      if (last === cachedLast && sizeMs % periodMs === 0) return cached;
      const windows: Window[] = [];
      for (let start = last; start > timestamp - sizeMs; start -= periodMs)
        windows.push(new Window(start, start + sizeMs));
      cached = windows;
      cachedLast = last;
      return windows;
    },
  };
}

/** Windows that close after `gapMs` without an element; those of one key that overlap merge when grouped. */
export const sessions = (gapMs: number): WindowFn => ({
  name: `sessions(${gapMs})`,
  assign: (timestamp) => [new Window(timestamp, timestamp + gapMs)],
  merge: mergeOverlapping,
});

/** Returns a user's function whose windows are checked: one that is none would hold its elements for ever, or lose them. */
export const checkedWindowFn = (windowFn: WindowFn): WindowFn => ({
  ...windowFn,
  assign(timestamp, element) {
    const windows = windowFn.assign(timestamp, element);
    for (const { start, end } of windows) {
      if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start < end) continue;
      throw new InvalidTimeError(
        `window function "${windowFn.name}" assigns the window ${start} to ${end}: give whole milliseconds, the end after the start`,
      );
    }
    return windows;
  },
});

/** Merges windows that share a moment; those that only touch stay apart. */
export function mergeOverlapping(windows: readonly Window[]): readonly WindowMerge[] {
  const ordered = [...windows].sort((a, b) => a.start - b.start);
  const merges: WindowMerge[] = [];
  let group: Window[] = [];
  let end = Number.NEGATIVE_INFINITY;
  const close = (): void => {
    if (group.length > 1) merges.push({ sources: group, result: new Window((group[0] as Window).start, end) });
  };
  for (const window of ordered) {
    if (window.start >= end) {
      close();
      group = [];
      end = window.end;
    }
    group.push(window);
    end = Math.max(end, window.end);
  }
  close();
  return merges;
}

function floorTo(value: number, step: number): number {
  return Math.floor(value / step) * step;
}
