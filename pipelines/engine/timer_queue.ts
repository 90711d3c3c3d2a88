/** One timer that is set. `slot` names it within its key and window: spec id and tag. */
export interface PendingTimer {
  readonly key: unknown;
  readonly windowId: string;
  readonly specId: string;
  readonly tag: string;
  readonly at: number;
  /** Event time its output carries, and until it fires holds the output watermark at. */
  readonly outputTimestamp: number;
}

const slotOf = (timer: Pick<PendingTimer, 'windowId' | 'specId' | 'tag'>): string =>
  `${timer.windowId}\u0000${timer.specId}\u0000${timer.tag}`;

interface Entry {
  readonly timer: PendingTimer;
  live: boolean;
}

/**
 * Timers ordered by time: a binary heap with lazy deletion (setting a timer again leaves the old entry dead in the heap,
 * and dead entries are swept when they outnumber live ones).
 */
export class TimerQueue {
  readonly #heap: Entry[] = [];
  readonly #byKey = new Map<unknown, Map<string, Entry>>();
  #live = 0;
  /** Live timers whose output timestamp is not the time they fire at. */
  #early = 0;

  get size(): number {
    return this.#live;
  }

  /** @param keyId - the key's identity in a Map (see keyId in keyed_state.ts) */
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
    if (timer.outputTimestamp !== timer.at) this.#early += 1;
    this.#push(entry);
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#live) this.#sweep();
  }

  clear(keyId: unknown, timer: Pick<PendingTimer, 'windowId' | 'specId' | 'tag'>): void {
    const slots = this.#byKey.get(keyId);
    const entry = slots?.get(slotOf(timer));
    if (entry === undefined) return;
    this.#retire(entry);
    slots?.delete(slotOf(timer));
    if (slots?.size === 0) this.#byKey.delete(keyId);
  }

  /** Time of the earliest timer, or undefined. */
  nextAt(): number | undefined {
    this.#dropDead();
    return this.#heap[0]?.timer.at;
  }

  /** Removes and returns the earliest timer due at or before `now`. */
  popDue(now: number, keyIdOf: (key: unknown) => unknown): PendingTimer | undefined {
    this.#dropDead();
    const top = this.#heap[0];
    if (top === undefined || top.timer.at > now) return undefined;
    this.#pop();
    this.#retire(top);
    const keyId = keyIdOf(top.timer.key);
    const slots = this.#byKey.get(keyId);
    slots?.delete(slotOf(top.timer));
    if (slots?.size === 0) this.#byKey.delete(keyId);
    return top.timer;
  }

  /** Earliest output timestamp among the timers: the hold on the output watermark. */
  earliestHold(): number {
    if (this.#early === 0) return this.nextAt() ?? Number.POSITIVE_INFINITY;
    let hold = Number.POSITIVE_INFINITY;
    for (const { live, timer } of this.#heap) if (live && timer.outputTimestamp < hold) hold = timer.outputTimestamp;
    return hold;
  }

  all(): PendingTimer[] {
    return this.#heap.filter((entry) => entry.live).map((entry) => entry.timer);
  }

  #retire(entry: Entry): void {
    entry.live = false;
    this.#live -= 1;
    if (entry.timer.outputTimestamp !== entry.timer.at) this.#early -= 1;
  }

  #dropDead(): void {
    while (this.#heap.length > 0 && !(this.#heap[0] as Entry).live) this.#pop();
  }

  #sweep(): void {
    const live = this.#heap.filter((entry) => entry.live);
    this.#heap.length = 0;
    for (const entry of live) this.#push(entry);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((heap[parent] as Entry).timer.at <= entry.timer.at) break;
      heap[index] = heap[parent] as Entry;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    const { length } = heap;
    if (length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && (heap[child + 1] as Entry).timer.at < (heap[child] as Entry).timer.at) child += 1;
      if ((heap[child] as Entry).timer.at >= last.timer.at) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
  }
}
