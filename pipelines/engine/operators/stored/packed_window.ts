import { GLOBAL_WINDOW, Window } from '../../windowing/window.ts';

/** A window as records hold it; 0 stands for the global one. */
export type PackedWindow = 0 | readonly [id: string, start: number, end: number];

export const packWindow = (window: Window): PackedWindow =>
  window === GLOBAL_WINDOW ? 0 : [window.id, window.start, window.end];

export function unpackWindow(packed: PackedWindow): Window {
  if (packed === 0) return GLOBAL_WINDOW;
  const [id, start, end] = packed;
  return new Window(start, end, id);
}
