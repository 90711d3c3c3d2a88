import { callsOf, outputApart } from '../combine_calls.ts';
import type { CombineFn } from '../dofn.ts';

type AnyCombineFn = CombineFn<unknown, unknown, unknown>;

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
export class KeyTiles {
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

/** Returns saved tiles of a key. */
export function tilesFrom(key: unknown, saved: SavedKeyTiles['tiles']): KeyTiles {
  const tiles = new KeyTiles(key, 0);
  for (const [start, accumulator] of saved) tiles.tiles.set(start, accumulator);
  tiles.isStale = true;
  return tiles;
}

/** Tiles of a key as snapshots hold them. */
export interface SavedKeyTiles {
  readonly key: unknown;
  readonly tiles: readonly (readonly [start: number, accumulator: unknown])[];
}

export interface SlidingSizes {
  readonly sizeMs: number;
  readonly periodMs: number;
}

/** Computes a key's windows from its tiles. */
export class TileCombiner {
  readonly #fn: AnyCombineFn;
  readonly #sizes: SlidingSizes;

  /** @param transform - for errors of the function */
  constructor(combineFn: CombineFn<never, unknown, unknown>, transform: string, sizes: SlidingSizes) {
    this.#fn = callsOf(combineFn, transform);
    this.#sizes = sizes;
  }

  /** Takes a value into the tile that begins at `start`. */
  add({ tiles }: KeyTiles, start: number, value: unknown): void {
    tiles.set(start, this.#fn.addInput(tiles.get(start) ?? this.#fn.createAccumulator(), value));
  }

  /** Returns the output of an accumulator that lives on. */
  outputOf(accumulator: unknown): unknown {
    return outputApart(this.#fn, accumulator);
  }

  /** The first end of a window, from `end` on, that the watermark has not passed. */
  firstOpenEnd(end: number, watermark: number): number {
    const { periodMs } = this.#sizes;
    if (end - 1 >= watermark) return end;
    return end + Math.ceil((watermark + 1 - end) / periodMs) * periodMs;
  }

  /** The window that ends at `end`; undefined when it holds nothing. */
  aggregate(tiles: KeyTiles, end: number): unknown {
    const { sizeMs, periodMs } = this.#sizes;
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
}
