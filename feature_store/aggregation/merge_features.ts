import { ACCUMULATORS, type AccumulatorKind } from './accumulators.ts';
import type { EntityState } from './entity_state.ts';
import type { Tile } from './tiles.ts';

/** What some features of a view keep in an entity's state. */
export interface StateOfFeatures {
  readonly slots: readonly {
    readonly index: number;
    readonly kind: AccumulatorKind;
    /** Other features are computed from it too. */
    readonly isShared: boolean;
  }[];
  readonly sessions: readonly { readonly index: number; readonly isShared: boolean }[];
  /** Names of those that are computed from the event before. */
  readonly sincePrevious: readonly string[];
}

const endOf = ({ start, lengthMs }: Tile): number => start + lengthMs;

/**
 * Returns an entity's state with some features' part from `filled`, which was computed from scratch up to the same event; what other features are computed from stays as it is. Of a
 * slot that they share, such as that of `count_7d` and a new `count_30d`, only the tiles before all of its own are added. Takes both states over.
 */
export function mergeFeatures(own: EntityState, filled: EntityState, of: StateOfFeatures): EntityState {
  const sessions = [...own.sessions];
  for (const { index, isShared } of of.sessions) {
    if (!isShared || sessions[index] === undefined) sessions[index] = filled.sessions[index] ?? [];
  }
  const latest = own.latest ?? filled.latest;
  const isSame = own.latest !== undefined && own.latest.eventTimeMs === filled.latest?.eventTimeMs;
  const previous = isSame ? (filled.latest?.sincePrevious ?? {}) : {};
  const taken = Object.fromEntries(
    of.sincePrevious.flatMap((name) => (name in previous ? [[name, previous[name] ?? null]] : [])),
  );
  // Rows since the newest event are emitted again, with the values of these features.
  const asOfMs = Math.max(latest?.eventTimeMs ?? Number.NEGATIVE_INFINITY, Math.min(own.asOfMs, filled.asOfMs));
  return {
    ...own,
    tiles: {
      newest: Math.max(own.tiles.newest, filled.tiles.newest),
      tiles: mergeTiles(own.tiles.tiles, filled.tiles.tiles, of),
    },
    sessions,
    latest: latest === undefined ? undefined : { ...latest, sincePrevious: { ...latest.sincePrevious, ...taken } },
    asOfMs,
  };
}

function mergeTiles(own: readonly Tile[], filled: readonly Tile[], { slots }: StateOfFeatures): Tile[] {
  const oldest = own[0]?.start ?? Number.POSITIVE_INFINITY;
  const merged = own.map((tile): Tile => ({ ...tile, slots: [...tile.slots] }));
  for (const tile of merged) for (const { index, isShared } of slots) if (!isShared) tile.slots[index] = null;
  const held = merged.length;
  for (const tile of filled) {
    const target = placeOf(tile, merged, held);
    const isOld = endOf(tile) <= oldest;
    const into: Tile = target ?? { ...tile, slots: tile.slots.map(() => null) };
    let isFilled = false;
    for (const { index, kind, isShared } of slots) {
      const added = tile.slots[index] ?? null;
      if (added === null || (isShared && !(isOld && target === undefined))) continue;
      isFilled = true;
      if (into.slots[index] === null || into.slots[index] === undefined) into.slots[index] = added;
      else ACCUMULATORS[kind].merge(into.slots[index] as never, added as never);
    }
    if (!isFilled) continue;
    if (target === undefined) merged.push(into);
    else target.latest = Math.max(target.latest, tile.latest);
  }
  return merged.sort((a, b) => a.start - b.start);
}

/** The tile among the first `held` that takes the events of another: the one with the same bounds, or with its newest event; undefined where none overlaps it. */
function placeOf(tile: Tile, tiles: readonly Tile[], held: number): Tile | undefined {
  let low = 0;
  for (let high = held; low < high; ) {
    const middle = (low + high) >> 1;
    if (endOf(tiles[middle] as Tile) <= tile.start) low = middle + 1;
    else high = middle;
  }
  let found: Tile | undefined;
  for (let at = low; at < held && (tiles[at] as Tile).start < endOf(tile); at += 1) {
    found = tiles[at] as Tile;
    if (tile.latest < endOf(found)) break;
  }
  return found;
}
