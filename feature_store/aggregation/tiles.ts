import type { EventFields } from '#feature_store/definitions/sources/source';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import type { Accumulator } from './accumulators.ts';

/**
 * Tile length by age: recent events lie in fine tiles, older ones in coarser ones, so that an entity has at most 60 + 92 + 24·days
 * tiles, and one a day beyond a month, however many events it has. A window's far edge is exact to one tile of its age: a minute for windows
 * up to an hour, a quarter of an hour up to a day, an hour up to a month, a day beyond. A tile is merged into a longer one when its beginning is
 * so old that all of that is older than the rung.
 */
const LADDER = [
  { upToAgeMs: HOUR_MS, lengthMs: MINUTE_MS, movesUpAfterMs: 2 * HOUR_MS },
  { upToAgeMs: DAY_MS, lengthMs: 15 * MINUTE_MS, movesUpAfterMs: DAY_MS + HOUR_MS },
  { upToAgeMs: 31 * DAY_MS, lengthMs: HOUR_MS, movesUpAfterMs: 32 * DAY_MS },
  { upToAgeMs: Number.POSITIVE_INFINITY, lengthMs: DAY_MS, movesUpAfterMs: Number.POSITIVE_INFINITY },
] as const;

/** One thing that a view accumulates: a field, or all events, of those that pass a filter. */
export interface Slot {
  readonly accumulator: Accumulator<unknown>;
  /** Undefined: the event itself counts. */
  readonly field: string | undefined;
  readonly where: ((event: EventFields) => boolean) | undefined;
}

/** What a view's tiles hold. */
export interface TileLayout {
  readonly slots: readonly Slot[];
  /** Positions of all slots. */
  readonly all: SlotIndexes;
  /** Nothing older than this, measured from the newest event, counts. */
  readonly horizonMs: number;
  /** How long it is kept: until the edges of the longest windows have moved past it. */
  readonly keptMs: number;
  /** Length of the oldest tiles. */
  readonly coarsestMs: number;
}

/** Partial aggregates of the events in [start, start + lengthMs). */
export interface Tile {
  readonly start: number;
  readonly lengthMs: number;
  /** Time of the newest event inside, ms. */
  latest: number;
  /** In the order of {@link TileLayout.slots}; null where no event counts: most filters pass few. */
  readonly slots: unknown[];
}

/** All tiles of one entity, oldest first. Plain data. */
export interface TileState {
  newest: number;
  tiles: Tile[];
}

export const emptyTiles = (): TileState => ({ newest: Number.NEGATIVE_INFINITY, tiles: [] });

export function emptyTile(layout: TileLayout, start: number, lengthMs: number): Tile {
  const slots = new Array<unknown>(layout.slots.length).fill(null);
  return { start, lengthMs, latest: Number.NEGATIVE_INFINITY, slots };
}

/** A window's length, and by how much its far edge moves at once: {@link windowEdge}. */
export interface WindowEdge {
  readonly windowMs: number;
  readonly stepMs: number;
}

/**
 * Returns how a window's far edge moves: windows of up to an hour move by minutes, up to a day by quarters of an hour, longer ones by hours, so
 * that a quiet entity changes a few times and not once for every tile.
 */
export const windowEdge = (windowMs: number): WindowEdge => ({ windowMs, stepMs: lengthForAge(windowMs - 1) });

/** Until when a tile counts in a window. */
export const leavesAt = ({ start, lengthMs }: Tile, { windowMs, stepMs }: WindowEdge): number =>
  Math.ceil((start + lengthMs) / stepMs) * stepMs + windowMs;

export function lengthForAge(ageMs: number): number {
  for (const { upToAgeMs, lengthMs } of LADDER) if (ageMs < upToAgeMs) return lengthMs;
  return DAY_MS;
}

/** By how much a window's edge moves at once, an hour at least. */
export const edgeStepMs = (windowMs: number): number => Math.max(HOUR_MS, lengthForAge(windowMs - 1));

function movesUpAfterMs(length: number): number {
  for (let rung = 0; rung < LADDER.length; rung += 1) {
    const { lengthMs, movesUpAfterMs: afterMs } = LADDER[rung] as (typeof LADDER)[number];
    if (length <= lengthMs) return afterMs;
  }
  return Number.POSITIVE_INFINITY;
}

/** How long the tile is to be that begins at `start`. */
function lengthOfOld(newest: number, start: number, lengthMs: number): number {
  let length = lengthMs;
  for (const rung of LADDER)
    if (rung.lengthMs > length && newest - start >= movesUpAfterMs(length)) length = rung.lengthMs;
  return length;
}

/** What {@link openTile} has changed besides the tile it returns: enough to undo it. */
export interface TilesBefore {
  readonly newest: number;
  readonly tiles: Tile[];
  readonly length: number;
}

export const tilesBefore = ({ newest, tiles }: TileState): TilesBefore => ({ newest, tiles, length: tiles.length });

/**
 * Returns the tile of an event's time, made where there is none yet; undefined when the event is older than the horizon. No event is added: until
 * one is, {@link undoOpen} restores the state as it was.
 */
export function openTile(state: TileState, layout: TileLayout, eventTimeMs: number): Tile | undefined {
  if (eventTimeMs > state.newest) {
    const hasMinuteBegun = eventTimeMs - state.newest > MINUTE_MS || eventTimeMs % MINUTE_MS < state.newest % MINUTE_MS;
    state.newest = eventTimeMs;
    // Looking through all tiles at every event is what busy entities would spend their time on.
    if (hasMinuteBegun) compact(state, layout);
  } else if (eventTimeMs <= state.newest - layout.horizonMs) return undefined;
  return tileAt(state, layout, eventTimeMs);
}

/** @param opened - what {@link openTile} has returned */
export function undoOpen(state: TileState, before: TilesBefore, opened: Tile | undefined): void {
  state.newest = before.newest;
  // Compaction leaves the tiles before it as they were; otherwise at most one was put between them.
  state.tiles = before.tiles;
  if (before.tiles.length > before.length) before.tiles.splice(before.tiles.indexOf(opened as Tile), 1);
}

/** Which slots an event counts in: 1 where it passes the slot's filter. */
export type PassedFilters = Uint8Array;

/** Positions of slots: a window has no use for those of features that only other windows have. */
export type SlotIndexes = readonly number[];

/**
 * Adds one event to slots of a tile that covers its time.
 *
 * @param passed - what the filters say of the event; undefined: they are called
 */
export function addToTile(
  tile: Tile,
  { slots }: TileLayout,
  indexes: SlotIndexes,
  event: EventFields,
  eventTimeMs: number,
  passed?: PassedFilters,
): void {
  if (eventTimeMs > tile.latest) tile.latest = eventTimeMs;
  for (let at = 0; at < indexes.length; at += 1) {
    const index = indexes[at] as number;
    const { accumulator, field, where } = slots[index] as Slot;
    if (passed === undefined ? where !== undefined && !where(event) : passed[index] === 0) continue;
    const value = field === undefined ? true : event[field];
    if (value === undefined || value === null) continue;
    tile.slots[index] ??= accumulator.empty();
    accumulator.add(tile.slots[index], value, eventTimeMs);
  }
}

function tileAt(state: TileState, layout: TileLayout, timeMs: number): Tile {
  const { tiles } = state;
  let at = tiles.length;
  while (at > 0 && (tiles[at - 1] as Tile).start > timeMs) at -= 1;
  const existing = tiles[at - 1];
  if (existing !== undefined && timeMs < existing.start + existing.lengthMs) return existing;
  // As long as the tile would be by now had the event come in order: what windows hold does not depend on when it came.
  let lengthMs = lengthOfOld(state.newest, Math.floor(timeMs / MINUTE_MS) * MINUTE_MS, MINUTE_MS);
  let start = Math.floor(timeMs / lengthMs) * lengthMs;
  const next = tiles[at];
  // A coarse tile must not cover finer ones that are already there: fall back to the finest.
  if (
    (existing !== undefined && existing.start + existing.lengthMs > start) ||
    (next !== undefined && next.start < start + lengthMs)
  ) {
    lengthMs = MINUTE_MS;
    start = Math.floor(timeMs / lengthMs) * lengthMs;
  }
  const made = emptyTile(layout, start, lengthMs);
  tiles.splice(at, 0, made);
  return made;
}

/** Merges tiles that have grown old into coarser ones, and drops those beyond the horizon; into a list of its own, and never into a tile that is there. */
function compact(state: TileState, layout: TileLayout): void {
  const { newest, tiles } = state;
  let kept = 0;
  while (kept < tiles.length && isBeyond(tiles[kept] as Tile, newest, layout)) kept += 1;
  let at = tiles.length;
  // Tiles of one length lie beside each other, the oldest first; few of a busy entity's are looked at.
  for (const { lengthMs } of LADDER) {
    if (lengthMs >= layout.coarsestMs) break;
    const first = firstUpTo(tiles, lengthMs);
    if (first < at && isToGrow(tiles[first] as Tile, newest)) at = first;
  }
  if (kept === 0 && at === tiles.length) return;
  const compacted = tiles.slice(kept, at);
  /** The last of them was made here. */
  let isOwn = false;
  for (; at < tiles.length; at += 1) {
    const tile = tiles[at] as Tile;
    const last = compacted[compacted.length - 1];
    const isCovered = last !== undefined && last.start + last.lengthMs > tile.start;
    if (!isCovered && !isToGrow(tile, newest)) {
      isOwn = false;
      compacted.push(tile);
      continue;
    }
    if (isBeyond(tile, newest, layout)) continue;
    const lengthMs = lengthOfOld(newest, tile.start, tile.lengthMs);
    const start = Math.floor(tile.start / lengthMs) * lengthMs;
    const overlaps = last !== undefined && last.start + last.lengthMs > start;
    if (overlaps && (last.lengthMs >= lengthMs || last.start === start)) {
      const into = isOwn ? last : copyOf(layout, last, last.start, last.lengthMs);
      mergeTile(layout, layout.all, into, tile);
      compacted[compacted.length - 1] = into;
      isOwn = true;
      continue;
    }
    isOwn = false;
    // What it holds is the same: the tile before is left only where the event does not count after all.
    compacted.push(lengthMs !== tile.lengthMs && !overlaps ? { ...tile, start, lengthMs } : tile);
  }
  state.tiles = compacted;
}

/** Position of the oldest tile that is no longer than `lengthMs`, where older tiles are the longer ones. */
function firstUpTo(tiles: readonly Tile[], lengthMs: number): number {
  let low = 0;
  for (let high = tiles.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((tiles[middle] as Tile).lengthMs <= lengthMs) high = middle;
    else low = middle + 1;
  }
  return low;
}

const isToGrow = ({ start, lengthMs }: Tile, newest: number): boolean => newest - start >= movesUpAfterMs(lengthMs);

function copyOf(layout: TileLayout, tile: Tile, start: number, lengthMs: number): Tile {
  const copy = emptyTile(layout, start, lengthMs);
  mergeTile(layout, layout.all, copy, tile);
  return copy;
}

function isBeyond(tile: Tile, newest: number, { keptMs }: TileLayout): boolean {
  return tile.start + tile.lengthMs <= newest - keptMs;
}

/** Adds slots of `other` to those of `into`, whatever their times. */
export function mergeTile({ slots }: TileLayout, indexes: SlotIndexes, into: Tile, other: Tile): void {
  if (other.latest > into.latest) into.latest = other.latest;
  for (let at = 0; at < indexes.length; at += 1) {
    const index = indexes[at] as number;
    const added = other.slots[index];
    if (added === null) continue;
    const { accumulator } = slots[index] as Slot;
    into.slots[index] ??= accumulator.empty();
    accumulator.merge(into.slots[index], added);
  }
}
