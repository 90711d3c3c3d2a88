import type { WindowFeature } from '#feature_store/definitions/feature';
import type { EventFields } from '#feature_store/definitions/sources/source';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { identityText } from '#feature_store/definitions/values/value_codec';
import type { AccumulatorKind, MomentName } from './accumulators.ts';
import {
  addNumber,
  clearNumbers,
  MOMENT_COLUMNS,
  mergeIntoNumbers,
  mergeNumbers,
  numberReader,
} from './moment_numbers.ts';
import type { Moments } from './moments.ts';
import {
  leavesAt,
  type PassedFilters,
  type Slot,
  type SlotIndexes,
  type Tile,
  type TileLayout,
  type WindowEdge,
} from './tiles.ts';

/**
 * All that is in one window of an entity, kept up to date event by event. Counts and moments lie side by side as numbers: what is in the window, what is in its newer part, and of the tiles at
 * its far edge, for each of them, what is in it and those after it, so that a tile leaves with one addition (two stacks, as Tangwongsan, Hirzel and Schneider (2017), "Low-latency sliding-window
 * aggregation in worst-case constant time", describe them).
 */
export interface KeptWindow {
  /** Rows of columns: {@link TOTAL}, and where tiles at the edge are kept, {@link NEWER} and from {@link FIRST_SUFFIX} on those tiles, the newest of them first. */
  numbers: Float64Array;
  /** When each tile at the edge leaves, the newest of them first: ends with the next to leave. */
  readonly leaves: number[];
  /** For slots of distinct values: until when each counts, in that order. */
  readonly values: readonly Map<string, number>[];
  /** Other slots, of the whole window and of its newer part. */
  readonly total: unknown[];
  readonly newer: unknown[];
  /** When the oldest of it leaves. */
  leavesMs: number;
  /** When the newest of it leaves. */
  untilMs: number;
  /** Where the newer part begins: with a step of the window's far edge, so that no tile lies on both sides, whichever it is merged into. */
  fromMs: number;
  /** An event has come before others: it is to be added up anew. */
  isStale: boolean;
}

/** So many tiles at a window's far edge are added up beforehand; windows with no more of them are added up anew when one leaves. */
const EDGE_TILES = 16;
const TOTAL = 0;
const NEWER = 1;
const FIRST_SUFFIX = 2;

const NO_OTHERS: unknown[] = [];

interface Column {
  readonly slot: number;
  readonly at: number;
}

/** Keeps windows of one length for the entities of a view. */
export class WindowKeeper {
  readonly #layout: TileLayout;
  readonly #edge: WindowEdge;
  readonly #counts: readonly Column[];
  readonly #moments: readonly Column[];
  readonly #sets: readonly number[];
  /** Slots that are merged tile by tile. */
  readonly #others: SlotIndexes;
  readonly #width: number;

  constructor(layout: TileLayout, kinds: readonly AccumulatorKind[], edge: WindowEdge, slots: SlotIndexes) {
    this.#layout = layout;
    this.#edge = edge;
    const of = (...some: AccumulatorKind[]) => slots.filter((slot) => some.includes(kinds[slot] as AccumulatorKind));
    const counts = of('counts');
    this.#counts = counts.map((slot, at) => ({ slot, at }));
    this.#moments = of('moments').map((slot, index) => ({ slot, at: counts.length + index * MOMENT_COLUMNS }));
    this.#sets = of('sets');
    this.#others = slots.filter((slot) => !of('counts', 'moments', 'sets').includes(slot));
    this.#width = counts.length + this.#moments.length * MOMENT_COLUMNS;
  }

  /** Returns how a slot is read: at its column, from its map of values, or what it has accumulated. */
  placeOf(slot: number): { readonly column: number } | { readonly values: number } | undefined {
    const column = [...this.#counts, ...this.#moments].find((each) => each.slot === slot);
    if (column !== undefined) return { column: column.at };
    const values = this.#sets.indexOf(slot);
    return values < 0 ? undefined : { values };
  }

  empty(): KeptWindow {
    return {
      numbers: new Float64Array(this.#width),
      leaves: [],
      values: this.#sets.map(() => new Map()),
      total: this.#noOthers(),
      newer: this.#noOthers(),
      ...{
        leavesMs: Number.POSITIVE_INFINITY,
        untilMs: Number.NEGATIVE_INFINITY,
        fromMs: Number.NEGATIVE_INFINITY,
        isStale: true,
      },
    };
  }

  #noOthers(): unknown[] {
    return this.#others.length === 0 ? NO_OTHERS : new Array<unknown>(this.#layout.slots.length).fill(null);
  }

  /**
   * Takes out of a window what has left it.
   *
   * @returns whether the window's numbers hold it: false where doubles beside each other do not
   */
  leave(window: KeptWindow, tiles: readonly Tile[], asOfMs: number): boolean {
    const { leaves } = window;
    while (leaves.length > 0 && (leaves[leaves.length - 1] as number) <= asOfMs) leaves.pop();
    if (window.isStale || leaves.length === 0) return this.#addUp(window, tiles, asOfMs);
    window.leavesMs = leaves[leaves.length - 1] as number;
    this.#dropValues(window, asOfMs);
    if (this.#others.length > 0) this.#addUpOthers(window, tiles, this.#firstOf(tiles, asOfMs));
    return this.#total(window);
  }

  /** The newer part, and that of the edge which is left. */
  #total({ numbers, leaves }: KeptWindow): boolean {
    const width = this.#width;
    const suffix = FIRST_SUFFIX + leaves.length - 1;
    numbers.copyWithin(TOTAL, suffix * width, (suffix + 1) * width);
    return this.#mergeRow(numbers, TOTAL, NEWER * width);
  }

  #firstOf(tiles: readonly Tile[], asOfMs: number): number {
    let first = tiles.length;
    while (first > 0 && leavesAt(tiles[first - 1] as Tile, this.#edge) > asOfMs) first -= 1;
    return first;
  }

  /** Adds up the tiles of a window. */
  #addUp(window: KeptWindow, tiles: readonly Tile[], asOfMs: number): boolean {
    const width = this.#width;
    const first = this.#firstOf(tiles, asOfMs);
    const oldest = tiles[first];
    const next = tiles[first + EDGE_TILES];
    const { stepMs } = this.#edge;
    window.isStale = false;
    window.leaves.length = 0;
    window.fromMs = next === undefined ? Number.NEGATIVE_INFINITY : Math.floor(next.start / stepMs) * stepMs;
    window.leavesMs = oldest === undefined ? Number.POSITIVE_INFINITY : leavesAt(oldest, this.#edge);
    window.untilMs =
      oldest === undefined ? Number.NEGATIVE_INFINITY : leavesAt(tiles[tiles.length - 1] as Tile, this.#edge);
    let from = first;
    while (from < tiles.length && (tiles[from] as Tile).start < window.fromMs) from += 1;
    const hasEdge = from > first;
    const room = (hasEdge ? FIRST_SUFFIX + from - first : 1) * width;
    if (window.numbers.length < room) window.numbers = new Float64Array(room);
    const newer = hasEdge ? NEWER * width : TOTAL;
    const { numbers, leaves } = window;
    this.#clear(numbers, newer);
    for (let at = tiles.length - 1; at >= from; at -= 1) {
      if (!this.#mergeTile(numbers, newer, tiles[at] as Tile)) return false;
    }
    for (let at = from - 1; at >= first; at -= 1) {
      const row = (FIRST_SUFFIX + leaves.length) * width;
      if (leaves.length === 0) this.#clear(numbers, row);
      else numbers.copyWithin(row, row - width, row);
      if (!this.#mergeTile(numbers, row, tiles[at] as Tile)) return false;
      leaves.push(leavesAt(tiles[at] as Tile, this.#edge));
    }
    for (let at = 0; at < this.#sets.length; at += 1) (window.values[at] as Map<string, number>).clear();
    for (let at = first; at < tiles.length && this.#sets.length > 0; at += 1)
      this.#addValues(window, tiles[at] as Tile);
    if (this.#others.length > 0) {
      window.newer.fill(null);
      for (let at = tiles.length - 1; hasEdge && at >= from; at -= 1) {
        this.#mergeOthers(window.newer, (tiles[at] as Tile).slots);
      }
      this.#addUpOthers(window, tiles, first);
    }
    return !hasEdge || this.#total(window);
  }

  #addUpOthers({ total, newer, leaves, fromMs }: KeptWindow, tiles: readonly Tile[], first: number): void {
    const hasEdge = leaves.length > 0;
    total.fill(null);
    this.#mergeOthers(total, newer);
    for (let at = first; at < tiles.length && (!hasEdge || (tiles[at] as Tile).start < fromMs); at += 1) {
      this.#mergeOthers(total, (tiles[at] as Tile).slots);
    }
  }

  #mergeOthers(into: unknown[], slots: readonly unknown[]): void {
    for (let at = 0; at < this.#others.length; at += 1) {
      const slot = this.#others[at] as number;
      const added = slots[slot];
      if (added === null || added === undefined) continue;
      const { accumulator } = this.#layout.slots[slot] as Slot;
      into[slot] ??= accumulator.empty();
      accumulator.merge(into[slot], added);
    }
  }

  /**
   * Adds an event that is not in the tiles yet to a window that it comes into.
   *
   * @param tile - that of its time
   * @returns whether the window's numbers hold it
   */
  add(window: KeptWindow, tile: Tile, event: EventFields, eventTimeMs: number, passed: PassedFilters): boolean {
    const leavesMs = leavesAt(tile, this.#edge);
    if (leavesMs < window.leavesMs) window.leavesMs = leavesMs;
    if (tile.start < window.fromMs || leavesMs < window.untilMs) window.isStale = true;
    else window.untilMs = leavesMs;
    if (window.isStale) return true;
    const { slots } = this.#layout;
    const { numbers } = window;
    const hasEdge = window.leaves.length > 0;
    for (let at = 0; at < this.#counts.length; at += 1) {
      const { slot, at: column } = this.#counts[at] as Column;
      const { field } = slots[slot] as Slot;
      if (passed[slot] === 0 || (field !== undefined && (event[field] ?? undefined) === undefined)) continue;
      (numbers[column] as number) += 1;
      if (hasEdge) (numbers[this.#width + column] as number) += 1;
    }
    for (let at = 0; at < this.#moments.length; at += 1) {
      const { slot, at: column } = this.#moments[at] as Column;
      const value = event[(slots[slot] as Slot).field as string];
      if (passed[slot] === 0 || typeof value !== 'number') continue;
      if (!addNumber(numbers, column, value)) return false;
      if (hasEdge && !addNumber(numbers, this.#width + column, value)) return false;
    }
    for (let at = 0; at < this.#sets.length; at += 1) {
      const slot = this.#sets[at] as number;
      const value = event[(slots[slot] as Slot).field as string];
      if (passed[slot] === 1 && value !== undefined && value !== null) {
        this.#addValue(window, at, identityText(value), leavesMs);
      }
    }
    for (let at = 0; at < this.#others.length; at += 1) {
      const slot = this.#others[at] as number;
      const { accumulator, field } = slots[slot] as Slot;
      const value = field === undefined ? true : event[field];
      if (passed[slot] === 0 || value === undefined || value === null) continue;
      window.total[slot] ??= accumulator.empty();
      accumulator.add(window.total[slot], value, eventTimeMs);
      if (!hasEdge) continue;
      window.newer[slot] ??= accumulator.empty();
      accumulator.add(window.newer[slot], value, eventTimeMs);
    }
    return true;
  }

  #addValues(window: KeptWindow, tile: Tile): void {
    for (let at = 0; at < this.#sets.length; at += 1) {
      const values = tile.slots[this.#sets[at] as number] as readonly string[] | null;
      if (values === null) continue;
      const leavesMs = leavesAt(tile, this.#edge);
      for (const value of values) this.#addValue(window, at, value, leavesMs);
    }
  }

  #addValue(window: KeptWindow, at: number, value: string, leavesMs: number): void {
    const values = window.values[at] as Map<string, number>;
    const held = values.get(value);
    if (held !== undefined) {
      if (held >= leavesMs) return;
      // It moves behind the others.
      values.delete(value);
    }
    values.set(value, leavesMs);
  }

  #dropValues({ values }: KeptWindow, asOfMs: number): void {
    for (const held of values) {
      for (const [value, leavesMs] of held) {
        if (leavesMs > asOfMs) break;
        held.delete(value);
      }
    }
  }

  #clear(numbers: Float64Array, row: number): void {
    numbers.fill(0, row, row + this.#width);
    for (let at = 0; at < this.#moments.length; at += 1) clearNumbers(numbers, row + (this.#moments[at] as Column).at);
  }

  #mergeTile(numbers: Float64Array, row: number, { slots }: Tile): boolean {
    for (let at = 0; at < this.#counts.length; at += 1) {
      const { slot, at: column } = this.#counts[at] as Column;
      const held = slots[slot] as { readonly n: number } | null;
      if (held !== null) (numbers[row + column] as number) += held.n;
    }
    for (let at = 0; at < this.#moments.length; at += 1) {
      const { slot, at: column } = this.#moments[at] as Column;
      const held = slots[slot] as Moments | null;
      if (held !== null && !mergeIntoNumbers(numbers, row + column, held)) return false;
    }
    return true;
  }

  #mergeRow(numbers: Float64Array, into: number, from: number): boolean {
    for (let at = 0; at < this.#counts.length; at += 1) {
      const column = (this.#counts[at] as Column).at;
      (numbers[into + column] as number) += numbers[from + column] as number;
    }
    for (let at = 0; at < this.#moments.length; at += 1) {
      const { at: column } = this.#moments[at] as Column;
      if (!mergeNumbers(numbers, into + column, from + column)) return false;
    }
    return true;
  }
}

/** Returns how a feature's value is read out of a window. */
export function keptReader(
  keeper: WindowKeeper,
  {
    feature: { aggregation },
    slot,
    read,
    ofNothing,
  }: {
    readonly feature: WindowFeature;
    readonly slot: number;
    readonly read: (accumulated: unknown) => FeatureValue;
    readonly ofNothing: FeatureValue;
  },
): (window: KeptWindow) => FeatureValue {
  const place = keeper.placeOf(slot);
  if (place === undefined) return ({ total }) => (total[slot] === null ? ofNothing : read(total[slot]));
  if ('values' in place) return ({ values }) => (values[place.values] as Map<string, number>).size;
  const { column } = place;
  if (aggregation === 'count') return ({ numbers }) => numbers[column] as number;
  const readNumber = numberReader(aggregation as MomentName);
  return ({ numbers }) => readNumber(numbers, column);
}
