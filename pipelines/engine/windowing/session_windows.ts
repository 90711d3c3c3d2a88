import { Window } from './window.ts';

/** What adding a window does: `sources` are those that become `result`; empty when nothing merges. */
export interface Merged {
  readonly sources: readonly Window[];
  readonly result: Window;
}

const NOTHING: readonly Window[] = [];

/**
 * The open session windows of each key, in order of time. They never overlap, since those that do merge: a search by halves finds what a window meets, however many there are.
 */
export class SessionWindows {
  readonly #ofKey = new Map<unknown, Window[]>();

  /** Adds a window and merges it with those that it shares a moment with. */
  add(keyId: unknown, window: Window): Merged {
    const windows = this.#ofKey.get(keyId);
    if (windows !== undefined) return addSession(windows, window);
    this.#ofKey.set(keyId, [window]);
    return { sources: NOTHING, result: window };
  }

  /** Puts a saved window back; those of a key do not overlap. */
  restore(keyId: unknown, window: Window): void {
    const windows = this.#ofKey.get(keyId);
    if (windows === undefined) this.#ofKey.set(keyId, [window]);
    else windows.splice(firstEndingAfter(windows, window.start), 0, window);
  }

  remove(keyId: unknown, window: Window): void {
    const windows = this.#ofKey.get(keyId);
    if (windows === undefined) return;
    const at = firstEndingAfter(windows, window.start);
    if (windows[at]?.id === window.id) windows.splice(at, 1);
    if (windows.length === 0) this.#ofKey.delete(keyId);
  }
}

/** Adds a window to those of one key, which are in order of time, and merges it with those that it shares a moment with. */
export function addSession(windows: Window[], window: Window): Merged {
  const from = firstEndingAfter(windows, window.start);
  let to = from;
  while (to < windows.length && (windows[to] as Window).start < window.end) to += 1;
  if (from === to) {
    windows.splice(from, 0, window);
    return { sources: NOTHING, result: window };
  }
  const first = windows[from] as Window;
  const last = windows[to - 1] as Window;
  const start = Math.min(first.start, window.start);
  const end = Math.max(last.end, window.end);
  if (to - from === 1 && first.start === start && first.end === end) return { sources: NOTHING, result: first };
  const result = new Window(start, end);
  return { sources: [...windows.splice(from, to - from, result), window], result };
}

/** Place of the first window that ends after `time`. */
function firstEndingAfter(windows: readonly Window[], time: number): number {
  let low = 0;
  let high = windows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((windows[middle] as Window).end <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}
