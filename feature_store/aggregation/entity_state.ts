import type { EventFields } from '#feature_store/definitions/sources/source';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { Session } from './sessions.ts';
import { emptyTiles, type TileState } from './tiles.ts';

/** The state of a view for one entity. Plain data; bounded by tiles, not by events. */
export interface EntityState {
  readonly tiles: TileState;
  /** In the order of the view's gaps; oldest session first. */
  readonly sessions: Session[][];
  /** The newest event so far, and the values it had from the one before it. */
  latest:
    | {
        readonly event: EventFields;
        readonly eventTimeMs: number;
        readonly sincePrevious: Record<string, FeatureValue>;
      }
    | undefined;
  /** Time of the newest row. */
  asOfMs: number;
  /**
   * Times after the newest event of which rows were emitted before that event was known, besides those at which values change: ends of sessions that have continued since. Each is emitted
   * again with every event of before it.
   */
  emitted?: number[] | undefined;
  /** Ends of sessions up to {@link asOfMs} of which no row was emitted yet: see `ViewComputation.decay`. */
  owed?: number[] | undefined;
}

export const emptyEntityState = (): EntityState => ({
  tiles: emptyTiles(),
  sessions: [],
  latest: undefined,
  asOfMs: Number.NEGATIVE_INFINITY,
});
