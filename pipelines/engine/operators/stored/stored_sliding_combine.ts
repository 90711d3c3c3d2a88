import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { KeyTiles, type SavedKeyTiles, TileCombiner, tilesFrom } from '../../state/key_tiles.ts';
import { eachStored, type OperatorSnapshot, type RestoreScope, type SavedPart } from '../../state/snapshot.ts';
import { GLOBAL_WINDOW, Window } from '../../windowing/window.ts';
import { keyIdIn } from '../key_identity.ts';
import type { SavedKey } from '../keyed_state.ts';
import { Operator } from '../operator.ts';
import { firstEndOf, ONLY_PANE, type SlidingCombineOptions } from '../sliding_combine.ts';
import {
  type DueQueue,
  type KeyedStore,
  type StateBackend,
  type StoredTable,
  storedEntries,
} from '../state_backend.ts';

// A record of the table has a key's tiles, and the end of the window that it emits next.

type TileCells = [tiles: KeyTiles | undefined, nextEnd: number | undefined];
type PackedTiles = readonly (readonly [start: number, accumulator: unknown])[];

/** Windows that end before the backend may make room. */
const MOST_A_ROUND = 10_000;

/** Returns tiles of a key as an entry of a snapshot. */
export function* tileEntries([key, windows]: SavedKey): Generator<SavedKeyTiles> {
  for (const [, [tiles]] of windows) yield { key, tiles: tiles as PackedTiles };
}

/** Combines per key over sliding windows by tiles that need not fit in the heap. A key has an entry by the end of its next window. */
export class StoredSlidingCombine extends Operator {
  readonly #options: SlidingCombineOptions;
  readonly #combiner: TileCombiner;
  readonly #backend: StateBackend;
  readonly #table: StoredTable;
  readonly #queue: DueQueue;

  constructor(options: SlidingCombineOptions, backend: StateBackend, store: KeyedStore) {
    super(options.name, options.input);
    this.#options = options;
    this.#backend = backend;
    this.#combiner = new TileCombiner(options.combineFn, options.name, options);
    this.#table = store.tableOf({
      transform: options.name,
      part: 'tiles',
      slots: 2,
      pack: ([tiles, nextEnd]) => [[...(tiles as KeyTiles).tiles], nextEnd],
      unpack: ([tiles, nextEnd], key) => [tilesFrom(key, tiles as PackedTiles), nextEnd],
    });
    this.#queue = store.queueOf({
      transform: options.name,
      queue: 0,
      isDue: (at, keyId) => {
        const windows = this.#table.cachedWindowsOf(keyId);
        return windows === undefined ? undefined : (windows[1] as TileCells | undefined)?.[1] === at;
      },
    });
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
    const cells = this.#table.cells(key, keyId, GLOBAL_WINDOW) as TileCells;
    cells[0] ??= new KeyTiles(key, 0);
    this.#combiner.add(cells[0], start, value);
    const firstEnd = this.#combiner.firstOpenEnd(start + periodMs, this.inputWatermark);
    const nextEnd = cells[1];
    if (nextEnd === undefined || firstEnd < nextEnd) {
      cells[1] = firstEnd;
      if (nextEnd !== undefined) this.#queue.remove(nextEnd, key, keyId);
      this.#queue.push(firstEnd, key, keyId);
    }
    // Windows that ended already do not come again; those to come must see the change.
    if (start + periodMs < (cells[1] as number)) cells[0].isStale = true;
    this.#table.changed?.(keyId, GLOBAL_WINDOW, 0);
  }

  override fireDue(): boolean {
    for (let emitted = 0; emitted < MOST_A_ROUND; emitted += 1) {
      // A window has ended once the watermark has come to its last moment's end.
      const due = this.#queue.pop(this.inputWatermark, true);
      if (due === undefined) return emitted > 0 || this.#queue.isHungry;
      this.#emit(due.key, due.at);
    }
    return true;
  }

  protected override watermarkHold(): number {
    return (this.#queue.nextAt() ?? Number.POSITIVE_INFINITY) - 1;
  }

  #emit(key: unknown, end: number): void {
    const keyId = keyIdOf(key);
    const cells = this.#table.windowsOf(key, keyId)[1] as TileCells | undefined;
    if (cells?.[1] !== end) return;
    const { sizeMs, periodMs, output } = this.#options;
    const tiles = cells[0] as KeyTiles;
    const accumulator = this.#combiner.aggregate(tiles, end);
    // The oldest tile is in no later window.
    tiles.tiles.delete(end - sizeMs);
    if (tiles.tiles.size === 0) this.#table.drop(keyId, GLOBAL_WINDOW);
    else {
      cells[1] = end + periodMs;
      this.#queue.push(end + periodMs, key, keyId);
      this.#table.changed?.(keyId, GLOBAL_WINDOW, 0);
    }
    if (accumulator === undefined) return;
    const window = new Window(end - sizeMs, end);
    output.receive({ key, value: this.#combiner.outputOf(accumulator) }, window.maxTimestamp(), window, ONLY_PANE);
  }

  // --- durability ----------------------------------------------------------------------------------------------

  override beginSnapshot(): OperatorSnapshot {
    return { head: { nextEnd: this.#queue.nextAt() ?? Number.NaN }, entries: storedEntries(this.#table, this.#queue) };
  }

  override restore(parts: readonly SavedPart[], { share }: RestoreScope): void | Promise<void> {
    for (const { due = [] } of parts) for (const [, at, key] of due) this.#queue.push(at, key, keyIdOf(key));
    const nextEnd = firstEndOf(parts);
    const restore = (entries: Iterable<unknown>): void =>
      this.#restoreTiles(entries as Iterable<SavedKeyTiles>, nextEnd, share);
    for (const { entries } of parts) restore(entries);
    return eachStored(parts, () => this.#backend.relieve(), restore);
  }

  #restoreTiles(entries: Iterable<SavedKeyTiles>, nextEnd: number, share: RestoreScope['share']): void {
    for (const { key, tiles } of entries) {
      if (share?.ownsKey(key) === false) continue;
      const keyId = keyIdOf(key);
      const cells = this.#table.cells(key, keyId, GLOBAL_WINDOW) as TileCells;
      cells[0] = tilesFrom(key, tiles);
      cells[1] = nextEnd;
      this.#table.changed?.(keyId, GLOBAL_WINDOW, 0);
      this.#queue.push(nextEnd, key, keyId);
    }
  }
}
