import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { callsOf, outputApart } from '../combine_calls.ts';
import type { CombineFn, PaneInfo } from '../dofn.ts';
import { LargeMap } from '../state/large_map.ts';
import type { OperatorSnapshot, RestoreScope, SavedPart, TakeEntry } from '../state/snapshot.ts';
import { Window } from '../windowing/window.ts';
import { keyIdIn } from './key_identity.ts';
import { type Edge, type EngineContext, Operator } from './operator.ts';

type AnyCombineFn = CombineFn<unknown, unknown, unknown>;

const ONLY_PANE: PaneInfo = { timing: 'ON_TIME', index: 0, onTimeIndex: 0, isFirst: true, isLast: true };

/** Aggregate of the tiles from `start` to the newest of its batch. */
interface Suffix {
  readonly start: number;
  readonly aggregate: unknown;
}

/**
 * Partial accumulators of one key by tile, and two stacks over those whose time has passed: one with suffix aggregates to drop the
 * oldest from, one aggregate of what came since. A window's value is then one merge, and each tile costs two in its life.
 *
 * Source: "two-stacks" sliding-window aggregation; Tangwongsan, Hirzel, Schneider, "Optimal and general out-of-order sliding-window
 * aggregation", VLDB 2019 (§2).
 */
class KeyTiles {
  readonly key: unknown;
  readonly tiles = new Map<number, unknown>();
  readonly front: Suffix[] = [];
  back: unknown = undefined;
  hasBack = false;
  /** A tile that was in the stacks has changed: they are made anew. */
  isStale = false;
  /** The last snapshot that has it, or began before it was made. */
  snapshot: number;

  constructor(key: unknown, snapshot: number) {
    this.key = key;
    this.snapshot = snapshot;
  }
}

interface SavedKeyTiles {
  readonly key: unknown;
  readonly tiles: readonly (readonly [start: number, accumulator: unknown])[];
}

export interface SlidingCombineOptions {
  readonly name: string;
  readonly input: Edge;
  readonly output: Edge;
  readonly combineFn: CombineFn<never, unknown, unknown>;
  readonly sizeMs: number;
  readonly periodMs: number;
  readonly context: EngineContext;
}

/**
 * Combines per key over sliding windows in one tile a period, instead of one accumulator for each of the windows an element is
 * in. Takes elements in their tile (a fixed window of one period), and emits each window once, at its end. The plan puts it
 * in place of WindowInto and Combine where that makes no difference (see tiling.ts).
 */
export class SlidingCombineOperator extends Operator {
  readonly #options: SlidingCombineOptions;
  readonly #fn: AnyCombineFn;
  readonly #keys = new LargeMap<unknown, KeyTiles>();
  /** End of the next window to emit; NaN while there is none. */
  #nextEnd = Number.NaN;
  #snapshot = 0;
  #take: TakeEntry | undefined;

  constructor(options: SlidingCombineOptions) {
    super(options.name, options.input);
    this.#options = options;
    this.#fn = callsOf(options.combineFn, options.name);
    options.output.producers.push(this);
  }

  receive(element: unknown, _timestamp: EventTime, tile: Window): void {
    const { sizeMs, periodMs, context } = this.#options;
    const { start } = tile;
    if (start + sizeMs - 1 < this.inputWatermark) {
      context.countDroppedLate(this.name);
      return;
    }
    const { key, value } = element as { readonly key: unknown; readonly value: unknown };
    const keyId = keyIdIn(this.name, key);
    let tiles = this.#keys.get(keyId);
    if (tiles === undefined) {
      tiles = new KeyTiles(key, this.#snapshot);
      this.#keys.set(keyId, tiles);
    } else if (this.#take !== undefined) {
      this.#handOver(tiles, this.#take);
    }
    tiles.tiles.set(start, this.#fn.addInput(tiles.tiles.get(start) ?? this.#fn.createAccumulator(), value));
    const firstEnd = this.#firstOpenEnd(start + periodMs);
    if (Number.isNaN(this.#nextEnd) || firstEnd < this.#nextEnd) this.#nextEnd = firstEnd;
    // Windows that ended already do not come again; those to come must see the change.
    if (start + periodMs < this.#nextEnd) tiles.isStale = true;
  }

  /** The first end of a window, from `end` on, that the watermark has not passed. */
  #firstOpenEnd(end: number): number {
    const { periodMs } = this.#options;
    if (end - 1 >= this.inputWatermark) return end;
    return end + Math.ceil((this.inputWatermark + 1 - end) / periodMs) * periodMs;
  }

  protected override onInputWatermark(watermark: EventTime): void {
    while (this.#nextEnd - 1 < watermark) {
      this.#emit(this.#nextEnd);
      this.#nextEnd = this.#keys.size === 0 ? Number.NaN : this.#nextEnd + this.#options.periodMs;
    }
  }

  protected override watermarkHold(): number {
    return Number.isNaN(this.#nextEnd) ? Number.POSITIVE_INFINITY : this.#nextEnd - 1;
  }

  #emit(end: number): void {
    const { sizeMs, output } = this.#options;
    const window = new Window(end - sizeMs, end);
    const timestamp = window.maxTimestamp();
    for (const [keyId, tiles] of this.#keys) {
      if (this.#take !== undefined) this.#handOver(tiles, this.#take);
      const accumulator = this.#aggregate(tiles, end);
      if (accumulator !== undefined) {
        const value = outputApart(this.#fn, accumulator);
        output.receive({ key: tiles.key, value }, timestamp, window, ONLY_PANE);
      }
      // The oldest tile is in no later window.
      tiles.tiles.delete(end - sizeMs);
      if (tiles.tiles.size === 0) this.#keys.delete(keyId);
    }
  }

  /** The window that ends at `end`; undefined when it holds nothing. */
  #aggregate(tiles: KeyTiles, end: number): unknown {
    const { sizeMs, periodMs } = this.#options;
    const oldest = end - sizeMs;
    if (tiles.isStale) {
      tiles.isStale = false;
      this.#rebuild(tiles, oldest, end);
    } else {
      const newest = tiles.tiles.get(end - periodMs);
      if (newest !== undefined) {
        tiles.back = this.#merge(tiles.back, newest, tiles.hasBack);
        tiles.hasBack = true;
      }
      const { front } = tiles;
      while (front.length > 0 && (front.at(-1) as Suffix).start < oldest) front.pop();
      if (front.length === 0 && tiles.hasBack) this.#rebuild(tiles, oldest, end);
    }
    const front = tiles.front.at(-1);
    if (front === undefined) return tiles.hasBack ? tiles.back : undefined;
    return tiles.hasBack
      ? this.#fn.mergeAccumulators([this.#fn.createAccumulator(), front.aggregate, tiles.back])
      : front.aggregate;
  }

  /** All tiles of the window into the front stack, newest first. */
  #rebuild(tiles: KeyTiles, oldest: number, end: number): void {
    tiles.front.length = 0;
    tiles.back = undefined;
    tiles.hasBack = false;
    const starts = [...tiles.tiles.keys()].filter((start) => start >= oldest && start < end).sort((a, b) => b - a);
    let aggregate: unknown;
    for (const [index, start] of starts.entries()) {
      aggregate = this.#merge(tiles.tiles.get(start), aggregate, index > 0);
      tiles.front.push({ start, aggregate });
    }
  }

  /** Never changes what it merges: a fresh accumulator comes first, and that one a combine function may change. */
  #merge(first: unknown, second: unknown, both: boolean): unknown {
    const fresh = this.#fn.createAccumulator();
    if (both) return this.#fn.mergeAccumulators([fresh, first, second]);
    return this.#fn.mergeAccumulators([fresh, first ?? second]);
  }

  // --- durability ----------------------------------------------------------------------------------------------

  override beginSnapshot(take: TakeEntry): OperatorSnapshot {
    this.#snapshot += 1;
    this.#take = take;
    return { head: { nextEnd: this.#nextEnd }, entries: this.#unsaved() };
  }

  *#unsaved(): Generator<SavedKeyTiles> {
    const snapshot = this.#snapshot;
    for (const tiles of this.#keys.values()) {
      if (tiles.snapshot === snapshot) continue;
      tiles.snapshot = snapshot;
      yield saved(tiles);
    }
  }

  #handOver(tiles: KeyTiles, take: TakeEntry): void {
    if (tiles.snapshot === this.#snapshot) return;
    tiles.snapshot = this.#snapshot;
    take(saved(tiles));
  }

  override endSnapshot(): void {
    this.#take = undefined;
  }

  override restore(parts: readonly SavedPart[], { share }: RestoreScope): void {
    for (const { entries } of parts) {
      for (const { key, tiles: savedTiles } of entries as Iterable<SavedKeyTiles>) {
        if (share?.ownsKey(key) === false) continue;
        const tiles = new KeyTiles(key, 0);
        for (const [start, accumulator] of savedTiles) tiles.tiles.set(start, accumulator);
        tiles.isStale = true;
        this.#keys.set(keyIdOf(key), tiles);
      }
    }
    // The first of all threads: before its own next window a key has nothing to emit.
    const ends = parts.map(({ head }) => (head as { readonly nextEnd: number }).nextEnd);
    const open = ends.filter((end) => !Number.isNaN(end));
    this.#nextEnd = this.#keys.size === 0 || open.length === 0 ? Number.NaN : Math.min(...open);
  }
}

const saved = ({ key, tiles }: KeyTiles): SavedKeyTiles => ({ key, tiles: [...tiles] });
