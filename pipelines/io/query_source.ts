import type { ReadRow } from '#connectors/files/formats';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import { RestTracker } from '#pipelines/engine/rest_tracker';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splittable';

type Fields = Readonly<Record<string, unknown>>;

/** The last row that was read: time and id as the query gives them. */
interface Place {
  readonly time: string;
  readonly id: string;
}

/** Plain data, for snapshots. */
interface QueryPosition {
  readonly after: Place | undefined;
  readonly newestMs: number;
}

export interface QuerySourceSettings<T> {
  /** The next rows after a place, by time and id; none at the end. */
  readonly readPage: (after: Place | undefined) => Promise<readonly Fields[]>;
  readonly timestampField: string;
  readonly idField: string;
  /** As of a history source. */
  readonly decode: (
    row: ReadRow,
    path: undefined,
    watermark: EventTime,
  ) => { readonly element: T; readonly eventTimeMs: number | undefined };
  readonly onProgress?: (progress: { readonly rows: number }) => void;
}

type Context<T> = SplittableContext<T, QueryPosition>;

/** Reads rows of a query by time, page by page: history that lies in a database. The watermark is the newest row's time. */
export class QuerySource<T> implements SplittableDoFn<string, T, QueryPosition, QueryPosition> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #settings: QuerySourceSettings<T>;
  #rows = 0;

  constructor(settings: QuerySourceSettings<T>) {
    this.#settings = settings;
  }

  initialRestrictions(): QueryPosition[] {
    return [{ after: undefined, newestMs: Number.NEGATIVE_INFINITY }];
  }

  createTracker(restriction: QueryPosition): RestTracker<QueryPosition> {
    return new RestTracker(restriction);
  }

  async process(
    _: string,
    position: QueryPosition,
    tracker: RestrictionTracker<QueryPosition, QueryPosition>,
    context: Context<T>,
  ): Promise<ProcessContinuation> {
    const { readPage, decode, timestampField, idField, onProgress } = this.#settings;
    const rows = await readPage(position.after);
    const last = rows.at(-1);
    if (last === undefined) return STOP;
    let { newestMs } = position;
    for (const row of rows) {
      const watermark = newestMs === Number.NEGATIVE_INFINITY ? MIN_EVENT_TIME : eventTime(newestMs);
      const { element, eventTimeMs } = decode({ ok: true, row }, undefined, watermark);
      if (eventTimeMs !== undefined && eventTimeMs > newestMs) newestMs = eventTimeMs;
      context.output(element, eventTimeMs === undefined ? watermark : eventTime(eventTimeMs));
    }
    this.#rows += rows.length;
    onProgress?.({ rows: this.#rows });
    if (newestMs > Number.NEGATIVE_INFINITY) context.advanceWatermark(eventTime(newestMs));
    const after = { time: String(last[timestampField]), id: String(last[idField]) };
    tracker.tryClaim({ after, newestMs });
    return resumeAfter(0);
  }
}
