import type { EventFields, Feature, WindowFeature } from '#feature_store/definitions/feature';
import type { FeatureValue } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { HOUR_MS } from '#kernel/time';
import { type Moments, stddevOf } from './moments.ts';
import {
  addEvent,
  addToTile,
  emptyTile,
  emptyTiles,
  mergeTile,
  type Tile,
  type TileLayout,
  type TileState,
} from './tiles.ts';

/** Everything a view remembers of one entity. Plain data; bounded by tiles, not by events. */
export interface EntityState {
  readonly tiles: TileState;
  /** The newest event so far, for features about the time between events. */
  latest: { readonly event: EventFields; readonly eventTimeMs: number } | undefined;
}

export const emptyEntityState = (): EntityState => ({ tiles: emptyTiles(), latest: undefined });

interface PlannedWindow {
  readonly name: string;
  readonly feature: WindowFeature;
  /** Position of the field in the tile's arrays; -1 for count. */
  readonly slot: number;
}

interface WindowGroup {
  readonly windowMs: number;
  readonly features: readonly PlannedWindow[];
}

type Values = Record<string, FeatureValue>;

/**
 * The one computation of a view: the stream and back-fill both call it, event by event. Built once a view; holds no
 * state of its own.
 */
export class ViewComputation {
  readonly view: FeatureView;
  readonly #layout: TileLayout;
  /** Shortest window first: one pass over the tiles, newest to oldest, serves all. */
  readonly #groups: readonly WindowGroup[];
  readonly #perEvent: readonly (readonly [string, Exclude<Feature, WindowFeature>])[];

  /** @param allowedLatenessMs - an event may be so much older than the newest, and its windows reach back from there */
  constructor(view: FeatureView, allowedLatenessMs: number) {
    this.view = view;
    const windows = Object.entries(view.features).filter(
      (entry): entry is [string, WindowFeature] => entry[1].kind === 'window',
    );
    const fieldsOf = (wantDistinct: boolean): string[] => [
      ...new Set(
        windows
          .filter(([, { field, aggregation }]) => field !== undefined && (aggregation === 'distinct') === wantDistinct)
          .map(([, { field }]) => field as string),
      ),
    ];
    const numeric = fieldsOf(false);
    const distinct = fieldsOf(true);
    const longestMs = Math.max(HOUR_MS, ...windows.map(([, { windowMs }]) => windowMs));
    this.#layout = { numeric, distinct, horizonMs: longestMs + allowedLatenessMs };
    const lengths = [...new Set(windows.map(([, { windowMs }]) => windowMs))].sort((a, b) => a - b);
    this.#groups = lengths.map((windowMs) => ({
      windowMs,
      features: windows
        .filter(([, feature]) => feature.windowMs === windowMs)
        .map(([name, feature]) => ({
          name,
          feature,
          slot:
            feature.field === undefined
              ? -1
              : (feature.aggregation === 'distinct' ? distinct : numeric).indexOf(feature.field),
        })),
    }));
    this.#perEvent = [
      ...Object.entries<Feature>(view.features).filter(([, { kind }]) => kind === 'event' || kind === 'previous'),
      ...view.expressionOrder.map((name) => [name, view.features[name] as Feature] as const),
    ] as [string, Exclude<Feature, WindowFeature>][];
  }

  /** How long after its newest event an entity's state can still matter, ms. */
  get horizonMs(): number {
    return this.#layout.horizonMs;
  }

  /**
   * Counts the event in and returns the row as of its own time: nothing later is seen, and what is still to arrive is not
   * known. An out-of-order event sees itself and earlier tiles, not those of its own tile. Late events change later rows, never
   * earlier ones.
   *
   * @returns values by feature name, in the view's order
   */
  apply(state: EntityState, event: EventFields, eventTimeMs: number): Readonly<Values> {
    const previous = state.latest;
    addEvent(state.tiles, this.#layout, event, eventTimeMs);
    const values: Values = {};
    // Keys in the order of definition, so that rows of a view have one shape.
    for (const name in this.view.features) values[name] = null;
    this.#windows(state.tiles, event, eventTimeMs, values);
    const earlier = previous !== undefined && previous.eventTimeMs <= eventTimeMs ? previous : undefined;
    for (const [name, feature] of this.#perEvent) {
      let value: FeatureValue;
      if (feature.kind === 'event') value = feature.compute(event, eventTimeMs);
      else if (feature.kind === 'previous') value = feature.compute(event, eventTimeMs, earlier);
      else value = feature.compute(values);
      values[name] = typeof value === 'number' && !Number.isFinite(value) ? null : value;
    }
    if (previous === undefined || eventTimeMs >= previous.eventTimeMs) state.latest = { event, eventTimeMs };
    return values;
  }

  #windows(state: TileState, event: EventFields, asOfMs: number, values: Values): void {
    const { tiles } = state;
    const merged = emptyTile(this.#layout, 0, 0);
    let at = tiles.length - 1;
    while (at >= 0 && (tiles[at] as Tile).start > asOfMs) at -= 1;
    if (at >= 0 && (tiles[at] as Tile).latest > asOfMs) {
      // Its tile holds later events, which must not be seen: better to miss its neighbours than to know the future.
      addToTile(merged, this.#layout, event, asOfMs);
      at -= 1;
    }
    for (const { windowMs, features } of this.#groups) {
      const from = asOfMs - windowMs;
      for (; at >= 0; at -= 1) {
        const tile = tiles[at] as Tile;
        if (tile.start + tile.lengthMs <= from) break;
        mergeTile(merged, tile);
      }
      for (const planned of features) values[planned.name] = resultOf(planned, merged);
    }
  }
}

function resultOf({ feature, slot }: PlannedWindow, merged: Tile): FeatureValue {
  if (feature.aggregation === 'count') return merged.count;
  if (feature.aggregation === 'distinct') return (merged.values[slot] as string[]).length;
  const moments = merged.moments[slot] as Moments;
  switch (feature.aggregation) {
    case 'sum':
      return moments.mean * moments.n;
    case 'mean':
      return moments.n === 0 ? null : moments.mean;
    case 'min':
      return moments.n === 0 ? null : moments.min;
    case 'max':
      return moments.n === 0 ? null : moments.max;
    case 'stddev':
      return stddevOf(moments);
  }
}
