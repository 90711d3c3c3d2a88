import { type EventTime, eventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';

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
    return this === GLOBAL_WINDOW ? this.end : eventTime(this.end - 1);
  }
}

/** Beam's global window ends a day before the end of time, so that timers and lateness can still follow it. */
export const GLOBAL_WINDOW = new Window(MIN_EVENT_TIME, MAX_EVENT_TIME - 86_400_000, 'global');

export interface WindowFn {
  /** Stable description, part of the graph's fingerprint. */
  readonly name: string;
  readonly merging: boolean;
  assign(timestamp: EventTime): readonly Window[];
}

export const globalWindows: WindowFn = { name: 'global', merging: false, assign: () => ONLY_GLOBAL };
const ONLY_GLOBAL = [GLOBAL_WINDOW];

/** Tumbling windows of `sizeMs`, aligned to the epoch plus `offsetMs`. */
export function fixedWindows(sizeMs: number, offsetMs = 0): WindowFn {
  let cached: readonly Window[] = [new Window(offsetMs, offsetMs + sizeMs)];
  return {
    name: `fixed(${sizeMs},${offsetMs})`,
    merging: false,
    assign(timestamp) {
      const start = floorTo(timestamp - offsetMs, sizeMs) + offsetMs;
      if ((cached[0] as Window).start !== start) cached = [new Window(start, start + sizeMs)];
      return cached;
    },
  };
}

/** Windows of `sizeMs` that begin every `periodMs`: each timestamp is in `sizeMs / periodMs` of them, newest first. */
export function slidingWindows(sizeMs: number, periodMs: number, offsetMs = 0): WindowFn {
  return {
    name: `sliding(${sizeMs},${periodMs},${offsetMs})`,
    merging: false,
    assign(timestamp) {
      const windows: Window[] = [];
      const last = floorTo(timestamp - offsetMs, periodMs) + offsetMs;
      for (let start = last; start > timestamp - sizeMs; start -= periodMs)
        windows.push(new Window(start, start + sizeMs));
      return windows;
    },
  };
}

/** Windows that close after `gapMs` without an element; overlapping ones merge when grouped. */
export const sessions = (gapMs: number): WindowFn => ({
  name: `sessions(${gapMs})`,
  merging: true,
  assign: (timestamp) => [new Window(timestamp, timestamp + gapMs)],
});

function floorTo(value: number, step: number): number {
  return Math.floor(value / step) * step;
}
