import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import { type DecodeHistory, outputHistory } from './history/history_rows.ts';

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
  /** Read so far. */
  readonly rows: number;
}

export interface QuerySourceSettings<T> {
  /** The next rows after a place, by time and id; none at the end. */
  readonly readPage: (after: Place | undefined) => Promise<readonly Fields[]>;
  readonly timestampField: string;
  readonly idField: string;
  readonly decode: DecodeHistory<T>;
  readonly onProgress?: (progress: { readonly rows: number; readonly before: number }) => void;
}

type Context<T> = SplittableContext<T, QueryPosition>;

/** Reads rows of a query by time, page by page: history that lies in a database. The watermark is the newest row's time. */
export class QuerySource<T> implements SplittableDoFn<string, T, QueryPosition, QueryPosition> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #settings: QuerySourceSettings<T>;

  constructor(settings: QuerySourceSettings<T>) {
    this.#settings = settings;
  }

  initialRestrictions(): QueryPosition[] {
    return [{ after: undefined, newestMs: Number.NEGATIVE_INFINITY, rows: 0 }];
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
    const page = await readPage(position.after);
    const last = page.at(-1);
    if (last === undefined) return STOP;
    const read = page.map((row) => ({ ok: true, row }) as const);
    const newestMs = outputHistory(read, position.newestMs, { decode, path: undefined, outOfOrderMs: 0 }, context);
    const rows = position.rows + page.length;
    onProgress?.({ rows, before: position.rows });
    const after = { time: String(last[timestampField]), id: String(last[idField]) };
    tracker.tryClaim({ after, newestMs, rows });
    return resumeAfter(0);
  }
}
