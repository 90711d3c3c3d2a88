import { keyIdOf } from '#kernel/keys/key_codec';
import type { Due, DueQueue, QueueSpec } from '#pipelines/engine/operators/state_backend';
import { TimeHeap } from '#pipelines/engine/time/time_heap';
import { dueKey, readRecord, tableStart, timeText, writeRecord } from './records.ts';

/** Records between two keys of a store. */
interface Range {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
}

/** What a queue needs of the store. */
export interface QueueStore {
  /** A snapshot is under way: nothing may be written until {@link DiskQueue.release}. */
  readonly isHeld: boolean;
  /** @param record - undefined removes it */
  put(key: string, record: string | undefined): void;
  /** Returns the first records of a range, with all that was put. */
  read(range: Range, most: number): Promise<readonly (readonly [key: string, record: string])[]>;
  clear(range: Range): Promise<void>;
}

/** Keys that are fetched at once, as a share of what may be in the heap. */
const FETCHED = 1 / 2;

/**
 * Keys by time: those up to a horizon in a heap, the others as records in order of time. Both may have entries that are not due any more, which are passed over when their time
 * comes; none that is due is missing.
 */
export class DiskQueue implements DueQueue {
  /** Its name in the store. */
  readonly name: string;
  /** Its number in the store, known once that is open. */
  table = 0;
  readonly #store: QueueStore;
  readonly #isDue: QueueSpec['isDue'];
  /** Keys that may be in the heap. */
  readonly #most: number;
  readonly #heap = new TimeHeap<unknown>();
  /** The store has all that is later, and of this time what the heap does not have. */
  #horizon = Number.POSITIVE_INFINITY;
  /** What comes after it in the store is not in the heap yet; undefined: from the horizon on. */
  #cursor: string | undefined;
  /** From here to the cursor, records are in the heap too, and to be removed. */
  #fetchedFrom: string | undefined;
  /** What has changed beyond the horizon while a snapshot is under way; undefined: removed. */
  readonly #changes = new Map<string, Due | undefined>();
  /** Counts changes of what the store has. */
  #version = 0;
  isHungry = false;

  constructor(store: QueueStore, { transform, queue, isDue }: QueueSpec, most: number) {
    this.#store = store;
    this.name = `${transform}\u0000due ${queue}`;
    this.#isDue = isDue;
    this.#most = most;
  }

  /** Finds what the store has of it. */
  async open(): Promise<void> {
    const [first] = await this.#store.read(this.#rest, 1);
    if (first !== undefined) this.#horizon = timeOf(first[0]);
  }

  get size(): number {
    return this.#heap.size + (this.#horizon === Number.POSITIVE_INFINITY ? 0 : 1);
  }

  push(at: number, key: unknown, keyId: unknown): void {
    if (at > this.#horizon) this.#change(at, key, keyId, true);
    else this.#heap.push(at, key);
  }

  remove(at: number, key: unknown, keyId: unknown): void {
    // What is in the heap is passed over.
    if (at >= this.#horizon) this.#change(at, key, keyId, false);
  }

  #change(at: number, key: unknown, keyId: unknown, isDue: boolean): void {
    const place = dueKey(this.table, at, keyId);
    if (this.#store.isHeld) this.#changes.set(place, isDue ? { at, key } : undefined);
    else this.#put(place, isDue ? { key } : undefined);
  }

  #put(place: string, due: Pick<Due, 'key'> | undefined): void {
    this.#version += 1;
    this.#store.put(place, due === undefined ? undefined : writeRecord(due.key, []));
  }

  nextAt(): number | undefined {
    const at = this.#heap.nextAt();
    if (at !== undefined) return at;
    return this.#horizon === Number.POSITIVE_INFINITY ? undefined : this.#horizon;
  }

  pop(end: number, isInclusive: boolean): Due | undefined {
    const heap = this.#heap;
    const at = this.nextAt();
    if (at === undefined || at > end || (at === end && !isInclusive)) return undefined;
    if (heap.size === 0) {
      this.isHungry = true;
      return undefined;
    }
    return { at, key: heap.pop() };
  }

  save(): Iterable<Due> {
    const [times, keys] = [[...this.#heap.times()], [...this.#heap.values()]];
    return (function* () {
      for (const [index, key] of keys.entries()) yield { at: times[index] as number, key };
    })();
  }

  // --- between bundles -----------------------------------------------------------------------------------------

  /** Keys in the heap beyond what may be there. */
  get beyond(): number {
    return this.#changes.size + Math.max(0, this.#heap.size - this.#most);
  }

  get isToBeTended(): boolean {
    if (this.isHungry) return true;
    return !this.#store.isHeld && (this.#heap.size > this.#most || this.#fetchedFrom !== undefined);
  }

  async tend(): Promise<void> {
    if (!this.#store.isHeld) {
      if (this.#fetchedFrom !== undefined) await this.#removeFetched();
      if (this.#heap.size > this.#most) this.#spill();
    }
    if (this.isHungry) await this.#fetch();
  }

  /** Writes what had to wait for a snapshot. */
  release(): void {
    for (const [place, due] of this.#changes) this.#put(place, due);
    this.#changes.clear();
  }

  get #rest(): Range {
    const lt = tableStart(this.table + 1);
    return this.#cursor === undefined ? { gte: tableStart(this.table), lt } : { gt: this.#cursor, lt };
  }

  async #removeFetched(): Promise<void> {
    const range = { gte: this.#fetchedFrom as string, lte: this.#cursor as string };
    this.#fetchedFrom = undefined;
    await this.#store.clear(range);
  }

  /** Writes the later half of the heap, or takes out what is not due any more where that is as much. */
  #spill(): void {
    const [times, keys] = [this.#heap.times(), this.#heap.values()];
    const left: { readonly at: number; readonly key: unknown; readonly keyId: unknown }[] = [];
    for (const [index, key] of keys.entries()) {
      const [at, keyId] = [times[index] as number, keyIdOf(key)];
      if (this.#isDue(at, keyId) !== false) left.push({ at, key, keyId });
    }
    left.sort((a, b) => a.at - b.at);
    const kept = left.length <= this.#most / 2 ? left : left.splice(0, this.#most >> 1);
    this.#heap.clear();
    for (const { at, key } of kept) this.#heap.push(at, key);
    const [first] = left === kept ? [] : left;
    if (first === undefined) return;
    this.#horizon = first.at;
    this.#cursor = undefined;
    for (const { at, key, keyId } of left) this.#put(dueKey(this.table, at, keyId), { key });
  }

  async #fetch(): Promise<void> {
    const most = Math.max(1, Math.floor(FETCHED * this.#most));
    let version: number;
    let records: Awaited<ReturnType<QueueStore['read']>>;
    // A snapshot may end meanwhile, and write what had to wait for it.
    do {
      version = this.#version;
      records = await this.#store.read(this.#rest, most);
    } while (version !== this.#version);
    this.isHungry = false;
    const last = records.at(-1);
    const isAll = records.length < most || last === undefined;
    const horizon = isAll ? Number.POSITIVE_INFINITY : timeOf(last[0]);
    for (const [place, record] of records) {
      if (this.#changes.has(place)) continue;
      this.#heap.push(timeOf(place), readRecord(record)[0]);
    }
    const until = timeText(horizon);
    for (const [place, due] of this.#changes) {
      if (timeTextOf(place) > until) continue;
      this.#changes.delete(place);
      if (due !== undefined) this.#heap.push(due.at, due.key);
    }
    const [first] = records;
    if (first !== undefined) this.#fetchedFrom ??= first[0];
    if (last !== undefined) this.#cursor = last[0];
    this.#horizon = horizon;
  }
}

const PREFIX = tableStart(0).length;
const TIME = timeText(0).length;
const bits = new DataView(new ArrayBuffer(8));

const timeTextOf = (place: string): string => place.slice(PREFIX, PREFIX + TIME);

/** The time of a record: see {@link timeText}. */
function timeOf(place: string): number {
  const text = timeTextOf(place);
  const [high, low] = [Number.parseInt(text.slice(0, 8), 16), Number.parseInt(text.slice(8), 16)];
  const isNegative = high < 0x8000_0000;
  bits.setUint32(0, isNegative ? ~high : high ^ 0x8000_0000);
  bits.setUint32(4, isNegative ? ~low : low);
  return bits.getFloat64(0);
}
