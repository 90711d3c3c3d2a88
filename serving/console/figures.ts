/** What is drawn over time: rates a second, shares from 0 to 1, times in seconds, counts. Null where there was nothing to measure. */
export interface Figures {
  readonly events: number | null;
  /** Of the events: not usable, dead-lettered. */
  readonly failedShare: number | null;
  /** Of the events: behind the watermark of their partition. They count. */
  readonly lateShare: number | null;
  /** From received to readable in the stores, 95th percentile, s. */
  readonly freshness: number | null;
  /** Records that wait for the jobs. */
  readonly waiting: number | null;
  readonly predictions: number | null;
  /** Of the requests to serving: answered with 5xx. */
  readonly errorShare: number | null;
  /** Of predictions, 95th percentile, s. */
  readonly latency: number | null;
}
export type FigureName = keyof Figures;

/** {@link Figures} of the interval that ended at a time. */
export interface TimedFigures {
  readonly atMs: number;
  readonly figures: Figures;
}

export interface FigureRange {
  readonly sinceMs: number;
  readonly untilMs: number;
  /** The width of a point, ms: means of what lies in it. */
  readonly stepMs: number;
}

/** The history of figures. */
export interface FigureStore {
  /** Keeps figures of an interval; those of another process for the same interval stay. */
  write(row: TimedFigures): Promise<void>;
  /** Returns a point for each step in which there are figures, the oldest first. */
  read(range: FigureRange): Promise<readonly TimedFigures[]>;
  deleteBefore(timeMs: number): Promise<void>;
}
