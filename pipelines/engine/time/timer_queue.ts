import { LargeMap } from '../state/large_map.ts';
import { reviveWindow, type SavedWindow, saveWindow, type Window } from '../windowing/window.ts';
import { NO_OUTPUT_TIMESTAMP } from './check_time.ts';
import { TimeHeap } from './time_heap.ts';
import { WatermarkHolds } from './watermark_holds.ts';

/** One timer that is set: `specId` and `tag` name it within its key and window. */
export interface PendingTimer {
  readonly key: unknown;
  readonly window: Window;
  readonly specId: string;
  readonly tag: string;
  readonly at: number;
  /** Event time its output carries, and until it fires holds the output watermark at; {@link NO_OUTPUT_TIMESTAMP}: neither. */
  readonly outputTimestamp: number;
}

export type TimerSlot = Pick<PendingTimer, 'window' | 'specId' | 'tag'>;
export type SavedTimer = Omit<PendingTimer, 'window'> & { readonly window: SavedWindow };

/** Where a DoFn's timers go: a queue here, or a runner elsewhere. */
export interface TimerStore {
  /** @param keyId - the key's identity in a Map (see keyIdOf in kernel/keys/key_codec.ts) */
  set(keyId: unknown, timer: PendingTimer): void;
  clear(keyId: unknown, slot: TimerSlot, key: unknown): void;
}

/** Timers of one kind of time, where they are kept for a DoFn. */
export interface KeyedTimers extends TimerStore {
  /** 0 when none is set. */
  readonly size: number;
  /** Time of the earliest timer, or one before it; undefined when there is none. */
  nextAt(): number | undefined;
  /** Removes and returns the earliest timer that is due: once the watermark has passed it, or processing time has come to it. */
  popDue(now: number, keyIdOf: (key: unknown) => unknown): PendingTimer | undefined;
  /** More is due than {@link popDue} has at hand: it comes with the backend's next relief. */
  readonly isHungry: boolean;
  /** Earliest output timestamp that the output watermark must not pass. */
  earliestHold(): number;
  /** The timers that are set now, saved one by one as they are read: a timer itself never changes. */
  save(): Iterable<SavedTimer>;
  restore(timer: SavedTimer, keyIdOf: (key: unknown) => unknown): void;
}

/** Whether a timer holds the output watermark. One of event time that puts out at the time it fires at holds nothing: the input watermark is not past it before. */
export const isHolding = (domain: 'event' | 'processing', at: number, outputTimestamp: number): boolean =>
  outputTimestamp !== NO_OUTPUT_TIMESTAMP && (domain === 'processing' || outputTimestamp < at);

const slotOf = (timer: TimerSlot): string => `${timer.window.id}\u0000${timer.specId}\u0000${timer.tag}`;

interface Entry {
  readonly timer: PendingTimer;
  live: boolean;
}

/**
 * Timers ordered by time: a heap with lazy deletion (setting a timer again leaves the old entry dead in the heap, and dead
 * entries are swept when they outnumber live ones).
 */
export class TimerQueue implements KeyedTimers {
  readonly isHungry = false;
  readonly #domain: 'event' | 'processing';
  readonly #heap = new TimeHeap<Entry>();
  readonly #byKey = new LargeMap<unknown, Map<string, Entry>>();
  #live = 0;
  readonly #holds = new WatermarkHolds();

  constructor(domain: 'event' | 'processing') {
    this.#domain = domain;
  }

  get size(): number {
    return this.#live;
  }

  set(keyId: unknown, timer: PendingTimer): void {
    let slots = this.#byKey.get(keyId);
    if (slots === undefined) {
      slots = new Map();
      this.#byKey.set(keyId, slots);
    }
    const slot = slotOf(timer);
    const existing = slots.get(slot);
    if (existing !== undefined) {
      if (existing.timer.at === timer.at && existing.timer.outputTimestamp === timer.outputTimestamp) return;
      this.#retire(existing);
    }
    const entry: Entry = { timer, live: true };
    slots.set(slot, entry);
    this.#live += 1;
    if (this.#isHeld(timer)) this.#holds.add(timer.outputTimestamp);
    this.#heap.push(timer.at, entry);
    if (this.#heap.size > 64 && this.#heap.size > 4 * this.#live) this.#sweep();
  }

  clear(keyId: unknown, slot: TimerSlot): void {
    const slots = this.#byKey.get(keyId);
    const entry = slots?.get(slotOf(slot));
    if (slots === undefined || entry === undefined) return;
    this.#retire(entry);
    this.#forget(keyId, slots, entry.timer);
  }

  nextAt(): number | undefined {
    this.#dropDead();
    return this.#heap.nextAt();
  }

  popDue(now: number, keyIdOf: (key: unknown) => unknown): PendingTimer | undefined {
    this.#dropDead();
    const top = this.#heap.peek();
    if (top === undefined || top.timer.at > now || (top.timer.at === now && this.#domain === 'event')) return undefined;
    this.#heap.pop();
    this.#retire(top);
    const keyId = keyIdOf(top.timer.key);
    const slots = this.#byKey.get(keyId);
    if (slots !== undefined) this.#forget(keyId, slots, top.timer);
    return top.timer;
  }

  earliestHold(): number {
    return this.#holds.earliest();
  }

  #isHeld({ at, outputTimestamp }: PendingTimer): boolean {
    return isHolding(this.#domain, at, outputTimestamp);
  }

  save(): Iterable<SavedTimer> {
    const live = this.#heap
      .values()
      .filter((entry) => entry.live)
      .map(({ timer }) => timer);
    return savedOneByOne(live);
  }

  restore(timer: SavedTimer, keyIdOf: (key: unknown) => unknown): void {
    this.set(keyIdOf(timer.key), { ...timer, window: reviveWindow(timer.window) });
  }

  #forget(keyId: unknown, slots: Map<string, Entry>, timer: PendingTimer): void {
    slots.delete(slotOf(timer));
    if (slots.size === 0) this.#byKey.delete(keyId);
  }

  #retire(entry: Entry): void {
    entry.live = false;
    this.#live -= 1;
    if (this.#isHeld(entry.timer)) this.#holds.remove(entry.timer.outputTimestamp);
  }

  #dropDead(): void {
    while (this.#heap.peek()?.live === false) this.#heap.pop();
  }

  #sweep(): void {
    const live = this.#heap.values().filter((entry) => entry.live);
    this.#heap.clear();
    for (const entry of live) this.#heap.push(entry.timer.at, entry);
  }
}

function* savedOneByOne(timers: readonly PendingTimer[]): Generator<SavedTimer> {
  for (const timer of timers) yield { ...timer, window: saveWindow(timer.window) };
}
