import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import type { CombineFn, PaneInfo } from '../dofn.ts';
import { KeyTiles, type SavedKeyTiles, TileCombiner, tilesFrom } from '../state/key_tiles.ts';
import { LargeMap } from '../state/large_map.ts';
import {
  eachStored,
  type OperatorSnapshot,
  type RestoreScope,
  type SavedPart,
  type TakeEntry,
} from '../state/snapshot.ts';
import { Window } from '../windowing/window.ts';
import { keyIdIn } from './key_identity.ts';
import { type Edge, type EngineContext, Operator } from './operator.ts';

/** Of each window's only output. */
export const ONLY_PANE: PaneInfo = { timing: 'ON_TIME', index: 0, onTimeIndex: 0, isFirst: true, isLast: true };

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
  readonly #combiner: TileCombiner;
  readonly #keys = new LargeMap<unknown, KeyTiles>();
  /** End of the next window to emit; NaN while there is none. */
  #nextEnd = Number.NaN;
  #snapshot = 0;
  #take: TakeEntry | undefined;

  constructor(options: SlidingCombineOptions) {
    super(options.name, options.input);
    this.#options = options;
    this.#combiner = new TileCombiner(options.combineFn, options.name, options);
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
    this.#combiner.add(tiles, start, value);
    const firstEnd = this.#combiner.firstOpenEnd(start + periodMs, this.inputWatermark);
    if (Number.isNaN(this.#nextEnd) || firstEnd < this.#nextEnd) this.#nextEnd = firstEnd;
    // Windows that ended already do not come again; those to come must see the change.
    if (start + periodMs < this.#nextEnd) tiles.isStale = true;
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
      const accumulator = this.#combiner.aggregate(tiles, end);
      if (accumulator !== undefined) {
        const value = this.#combiner.outputOf(accumulator);
        output.receive({ key: tiles.key, value }, timestamp, window, ONLY_PANE);
      }
      // The oldest tile is in no later window.
      tiles.tiles.delete(end - sizeMs);
      if (tiles.tiles.size === 0) this.#keys.delete(keyId);
    }
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

  override restore(parts: readonly SavedPart[], { share }: RestoreScope): void | Promise<void> {
    for (const { entries } of parts) this.#restoreTiles(entries as Iterable<SavedKeyTiles>, share);
    // The first of all threads: before its own next window a key has nothing to emit.
    this.#nextEnd = firstEndOf(parts);
    return eachStored(parts, undefined, (entries) => this.#restoreTiles(entries as Iterable<SavedKeyTiles>, share));
  }

  #restoreTiles(entries: Iterable<SavedKeyTiles>, share: RestoreScope['share']): void {
    for (const { key, tiles: savedTiles } of entries) {
      if (share?.ownsKey(key) === false) continue;
      this.#keys.set(keyIdOf(key), tilesFrom(key, savedTiles));
    }
  }
}

/** Returns the first end of a window that one of the saved parts may emit; NaN when none may. */
export function firstEndOf(parts: readonly SavedPart[]): number {
  const ends = parts.map(({ head }) => (head as { readonly nextEnd: number }).nextEnd);
  const open = ends.filter((end) => !Number.isNaN(end));
  return open.length === 0 ? Number.NaN : Math.min(...open);
}

const saved = ({ key, tiles }: KeyTiles): SavedKeyTiles => ({ key, tiles: [...tiles] });
