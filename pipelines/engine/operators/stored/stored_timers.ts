import { type DueEntry, dueEntries, type SavedDue } from '../../state/snapshot.ts';
import { NO_OUTPUT_TIMESTAMP } from '../../time/check_time.ts';
import {
  isHolding,
  type KeyedTimers,
  type PendingTimer,
  type SavedTimer,
  type TimerSlot,
} from '../../time/timer_queue.ts';
import { type SavedHolds, WatermarkHolds } from '../../time/watermark_holds.ts';
import { reviveWindow, type Window } from '../../windowing/window.ts';
import type { Cells, SavedKey } from '../keyed_state.ts';
import type { DueQueue, KeyedStore, StoredTable } from '../state_backend.ts';
import { type PackedWindow, packWindow, unpackWindow } from './packed_window.ts';

// A record of the table has a key's timers, by window: the window, timers of event time, timers of processing time. These are lists of four values a timer, so that they are
// JSON: its family, its tag, when it fires, the time of its output (null: it has none).

const WINDOW = 0;
const SLOTS = 3;
const VALUES = 4;
const [TAG, AT, OUTPUT] = [1, 2, 3] as const;
type TimerList = (string | number | null)[];

const DOMAINS = ['event', 'processing'] as const;

/** Returns the table for both kinds of timers of a DoFn. */
export const timersTable = (store: KeyedStore, transform: string): StoredTable =>
  store.tableOf({
    transform,
    part: 'timers',
    slots: SLOTS,
    pack: ([window, ...lists]) => [packWindow(window as Window), ...lists],
    unpack: ([window, ...lists]) => [unpackWindow(window as PackedWindow), ...lists],
  });

/** Returns timers of a key as entries of a snapshot. @param packed - see {@link timersTable} */
export function* timerEntries([key, windows]: SavedKey): Generator<unknown> {
  for (const [, cells] of windows) {
    const window = unpackWindow(cells[WINDOW] as PackedWindow);
    for (const [at, domain] of DOMAINS.entries()) {
      const list = (cells[at + 1] as TimerList | undefined) ?? [];
      for (let place = 0; place < list.length; place += VALUES) {
        const { start, end, id } = window;
        const timer: SavedTimer = { ...timerAt(key, window, list, place), window: { id, start, end } };
        yield domain === 'event' ? { eventTimer: timer } : { processingTimer: timer };
      }
    }
  }
}

const timerAt = (key: unknown, window: Window, list: TimerList, place: number): PendingTimer => ({
  key,
  window,
  specId: list[place] as string,
  tag: list[place + TAG] as string,
  at: list[place + AT] as number,
  outputTimestamp: (list[place + OUTPUT] as number | null) ?? NO_OUTPUT_TIMESTAMP,
});

/** Timers of one kind that need not fit in the heap: each key's in its record, and an index by time. */
export class StoredTimers implements KeyedTimers {
  readonly #domain: 'event' | 'processing';
  readonly #slot: number;
  readonly #table: StoredTable;
  readonly #queue: DueQueue;
  readonly #holds = new WatermarkHolds();

  /** @param table - that of {@link timersTable} */
  constructor(domain: 'event' | 'processing', store: KeyedStore, transform: string, table: StoredTable) {
    this.#domain = domain;
    const queue = DOMAINS.indexOf(domain);
    this.#slot = queue + 1;
    this.#table = table;
    this.#queue = store.queueOf({
      transform,
      queue,
      isDue: (at, keyId) => {
        const windows = table.cachedWindowsOf(keyId);
        return windows === undefined ? undefined : this.#isDueIn(windows, at);
      },
    });
  }

  get size(): number {
    return this.#queue.size;
  }

  set(keyId: unknown, { key, window, specId, tag, at, outputTimestamp }: PendingTimer): void {
    const cells = this.#table.cells(key, keyId, window);
    cells[WINDOW] = window;
    const list = this.#listOf(cells);
    const place = placeOf(list, specId, tag);
    const output = outputTimestamp === NO_OUTPUT_TIMESTAMP ? null : outputTimestamp;
    if (place < 0) list.push(specId, tag, at, output);
    else {
      const before = list[place + AT] as number;
      if (before === at && list[place + OUTPUT] === output) return;
      this.#release(list, place);
      list[place + AT] = at;
      list[place + OUTPUT] = output;
      if (before !== at) this.#forget(before, key, keyId);
    }
    if (isHolding(this.#domain, at, outputTimestamp)) this.#holds.add(outputTimestamp);
    this.#table.changed?.(keyId, window, this.#slot);
    this.#queue.push(at, key, keyId);
  }

  clear(keyId: unknown, { window, specId, tag }: TimerSlot, key: unknown): void {
    const windows = this.#table.windowsOf(key, keyId);
    const at = windows.indexOf(window.id);
    if (at < 0) return;
    const cells = windows[at + 1] as Cells;
    const list = this.#listOf(cells);
    const place = placeOf(list, specId, tag);
    if (place < 0) return;
    const before = list[place + AT] as number;
    this.#take(keyId, window, cells, place);
    this.#forget(before, key, keyId);
  }

  nextAt(): number | undefined {
    return this.#queue.nextAt();
  }

  popDue(now: number, keyIdOf: (key: unknown) => unknown): PendingTimer | undefined {
    const isInclusive = this.#domain === 'processing';
    for (;;) {
      const due = this.#queue.pop(now, isInclusive);
      if (due === undefined) return undefined;
      const { at, key } = due;
      const keyId = keyIdOf(key);
      const windows = this.#table.windowsOf(key, keyId);
      for (let index = 1; index < windows.length; index += 2) {
        const cells = windows[index] as Cells;
        const list = this.#listOf(cells);
        for (let place = 0; place < list.length; place += VALUES) {
          if (list[place + AT] !== at) continue;
          const timer = timerAt(key, cells[WINDOW] as Window, list, place);
          this.#take(keyId, timer.window, cells, place);
          // Another of the key's timers may fire at the same time.
          if (this.#isDueIn(this.#table.windowsOf(key, keyId), at)) this.#queue.push(at, key, keyId);
          return timer;
        }
      }
    }
  }

  get isHungry(): boolean {
    return this.#queue.isHungry;
  }

  earliestHold(): number {
    return this.#holds.earliest();
  }

  restore({ window, ...timer }: SavedTimer, keyIdOf: (key: unknown) => unknown): void {
    this.set(keyIdOf(timer.key), { ...timer, window: reviveWindow(window) });
  }

  /** The store has the timers. */
  save(): Iterable<SavedTimer> {
    return [];
  }

  /** What the store does not have of their times, as entries. */
  saveDue(): Iterable<DueEntry> {
    return dueEntries(DOMAINS.indexOf(this.#domain), this.#queue.save());
  }

  saveHolds(): SavedHolds {
    return this.#holds.save();
  }

  restoreHolds(saved: SavedHolds): void {
    this.#holds.restore(saved);
  }

  restoreDue([, at, key]: SavedDue, keyIdOf: (key: unknown) => unknown): void {
    this.#queue.push(at, key, keyIdOf(key));
  }

  #listOf(cells: Cells): TimerList {
    cells[this.#slot] ??= [];
    return cells[this.#slot] as TimerList;
  }

  #take(keyId: unknown, window: Window, cells: Cells, place: number): void {
    const list = this.#listOf(cells);
    this.#release(list, place);
    list.splice(place, VALUES);
    if (hasTimers(cells[1]) || hasTimers(cells[2])) this.#table.changed?.(keyId, window, this.#slot);
    else this.#table.drop(keyId, window);
  }

  #release(list: TimerList, place: number): void {
    const [at, output] = [list[place + AT] as number, list[place + OUTPUT] as number | null];
    if (output !== null && isHolding(this.#domain, at, output)) this.#holds.remove(output);
  }

  #forget(at: number, key: unknown, keyId: unknown): void {
    if (!this.#isDueIn(this.#table.windowsOf(key, keyId), at)) this.#queue.remove(at, key, keyId);
  }

  #isDueIn(windows: readonly unknown[], at: number): boolean {
    for (let index = 1; index < windows.length; index += 2) {
      const list = (windows[index] as Cells)[this.#slot] as TimerList | undefined;
      if (list === undefined) continue;
      for (let place = AT; place < list.length; place += VALUES) if (list[place] === at) return true;
    }
    return false;
  }
}

const hasTimers = (list: unknown): boolean => list !== undefined && (list as TimerList).length > 0;

function placeOf(list: TimerList, specId: string, tag: string): number {
  for (let place = 0; place < list.length; place += VALUES) {
    if (list[place] === specId && list[place + TAG] === tag) return place;
  }
  return -1;
}
