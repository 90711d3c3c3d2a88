import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import type { DecodedEvent } from '#pipelines/events/decode_events';
import type { HistoryCursor, NextEvent, OpenCursor } from './history_cursors.ts';

/** Plain data, for snapshots. */
export interface MergedPosition {
  /** Of each history. */
  readonly cursors: readonly unknown[];
  /** Read so far, of each history and of all. */
  readonly rowsOf: readonly HistoryRows[];
  readonly rows: number;
  readonly newestMs: number;
}

export interface HistoryRows {
  readonly rows: number;
  /** Of them events. */
  readonly events: number;
  /** Time of the newest event; absent: there was none. */
  readonly newestMs?: number;
}

export interface MergedHistorySettings {
  readonly histories: readonly OpenCursor[];
  readonly outOfOrderMs: number;
  readonly onProgress?: (progress: {
    readonly from: string;
    readonly files: number;
    readonly rows: number;
    /** Rows before this piece. */
    readonly before: number;
    readonly rowsOf: readonly HistoryRows[];
  }) => void;
  /** Called when all was read: reading then waits, with its state as it is, for the job to be drained. Without it the end of the histories is the end of time. */
  readonly onCaughtUp?: () => void;
}

/** Events that are output at once. */
const PIECE = 1_000;
const WAIT_MS = 1_000;

type Context = SplittableContext<DecodedEvent, MergedPosition>;

/**
 * Reads several histories as one: each in its own order, and of two the one whose next event is older. An event that lies in two of them comes twice, close together, and
 * is known the second time.
 */
export class MergedHistory implements SplittableDoFn<string, DecodedEvent, MergedPosition, MergedPosition> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #settings: MergedHistorySettings;
  #open: { readonly at: MergedPosition; readonly cursors: readonly HistoryCursor[] } | undefined;

  constructor(settings: MergedHistorySettings) {
    this.#settings = settings;
  }

  initialRestrictions(): MergedPosition[] {
    return [{ cursors: [], rowsOf: [], rows: 0, newestMs: Number.NEGATIVE_INFINITY }];
  }

  createTracker(restriction: MergedPosition): RestTracker<MergedPosition> {
    return new RestTracker(restriction);
  }

  async process(
    _: string,
    position: MergedPosition,
    tracker: RestrictionTracker<MergedPosition, MergedPosition>,
    context: Context,
  ): Promise<ProcessContinuation> {
    const { histories, outOfOrderMs, onProgress, onCaughtUp } = this.#settings;
    // After a failed bundle reading begins again where the snapshot was.
    const cursors =
      this.#open?.at === position ? this.#open.cursors : histories.map((open, at) => open(position.cursors[at]));
    let { newestMs, rows } = position;
    const rowsOf = cursors.map((__, at) => ({ rows: 0, events: 0, ...position.rowsOf[at] }));
    let from = '';
    let isEnd = false;
    const watermark = (): EventTime =>
      newestMs === Number.NEGATIVE_INFINITY ? MIN_EVENT_TIME : eventTime(newestMs - outOfOrderMs);
    for (let count = 0; count < PIECE; count += 1) {
      const oldest = await oldestOf(cursors);
      if (oldest === undefined) {
        isEnd = true;
        break;
      }
      const { cursor, next } = oldest;
      context.output(next.element, next.timeMs === undefined ? watermark() : eventTime(next.timeMs));
      if (next.timeMs !== undefined && next.timeMs > newestMs) newestMs = next.timeMs;
      from = cursor.from;
      const own = rowsOf[cursors.indexOf(cursor)] as { rows: number; events: number; newestMs?: number };
      own.rows += 1;
      if (next.element.ok) own.events += 1;
      if (next.timeMs !== undefined) own.newestMs = Math.max(own.newestMs ?? next.timeMs, next.timeMs);
      cursor.take();
      rows += 1;
    }
    if (newestMs > Number.NEGATIVE_INFINITY) context.advanceWatermark(watermark());
    if (rows > position.rows) {
      onProgress?.({
        from,
        files: cursors.reduce((sum, { files }) => sum + files, 0),
        rows,
        before: position.rows,
        rowsOf,
      });
    }
    if (isEnd && onCaughtUp === undefined) return STOP;
    const rest = { cursors: cursors.map((cursor) => cursor.position()), rowsOf, rows, newestMs };
    this.#open = { at: rest, cursors };
    tracker.tryClaim(rest);
    if (!isEnd) return resumeAfter(0);
    onCaughtUp?.();
    return resumeAfter(WAIT_MS);
  }
}

/** Returns the cursor whose next event is the oldest, and that event; undefined where all are at their end. */
export async function oldestOf(
  cursors: readonly HistoryCursor[],
): Promise<{ readonly cursor: HistoryCursor; readonly next: NextEvent } | undefined> {
  let oldest: { readonly cursor: HistoryCursor; readonly next: NextEvent } | undefined;
  for (const cursor of cursors) {
    const next = await cursor.peek();
    if (next === undefined) continue;
    if (
      oldest === undefined ||
      (next.timeMs ?? Number.NEGATIVE_INFINITY) < (oldest.next.timeMs ?? Number.NEGATIVE_INFINITY)
    )
      oldest = { cursor, next };
  }
  return oldest;
}
