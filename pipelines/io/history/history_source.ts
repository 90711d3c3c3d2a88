import type { FileSystemOf } from '#connectors/files/file_systems';
import { HistoryFiles, type HistoryReading } from '#connectors/files/history_files';
import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import { type DecodeHistory, outputHistory } from './history_rows.ts';

/** Where reading stands: plain data, for snapshots. */
interface HistoryPosition {
  /** Files to read, in order; undefined: they are still to be found. */
  readonly paths: readonly string[] | undefined;
  readonly file: number;
  /** How much of its unit is done. */
  readonly at: number;
  readonly newestMs: number;
  /** Read so far. */
  readonly rows: number;
}

export interface HistorySourceSettings<T> {
  /** Of files as a file source takes them, and tables. */
  readonly patterns: readonly string[];
  /** A row may be so much older than the newest before it. */
  readonly outOfOrderMs: number;
  readonly fileSystems?: FileSystemOf;
  readonly reading?: HistoryReading;
  readonly decode: DecodeHistory<T>;
  /** Told after every piece, for progress. */
  readonly onProgress?: (progress: {
    readonly file: string;
    readonly files: number;
    readonly rows: number;
    /** Rows before this piece. */
    readonly before: number;
  }) => void;
}

type Context<T> = SplittableContext<T, HistoryPosition>;

/**
 * Reads files one after the other in the order of their names, as a topic would be read: the watermark follows event time, so that what is
 * computed from it is what the stream would have computed. Name files by time: `year=2026/month=01/day=02/…` does.
 */
export class HistorySource<T> implements SplittableDoFn<string, T, HistoryPosition, HistoryPosition> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #settings: HistorySourceSettings<T>;
  readonly #files: HistoryFiles;

  constructor(settings: HistorySourceSettings<T>) {
    this.#settings = settings;
    this.#files = new HistoryFiles(settings.fileSystems, settings.reading);
  }

  initialRestrictions(): HistoryPosition[] {
    return [{ paths: undefined, file: 0, at: 0, newestMs: Number.NEGATIVE_INFINITY, rows: 0 }];
  }

  createTracker(restriction: HistoryPosition): RestTracker<HistoryPosition> {
    return new RestTracker(restriction);
  }

  async process(
    _: string,
    position: HistoryPosition,
    tracker: RestrictionTracker<HistoryPosition, HistoryPosition>,
    context: Context<T>,
  ): Promise<ProcessContinuation> {
    const paths = position.paths ?? (await this.#files.find(this.#settings.patterns));
    const path = paths[position.file];
    if (path === undefined) return STOP;
    const piece = await this.#files.read(path, position.at);
    const { next } = piece;
    const { decode, outOfOrderMs } = this.#settings;
    const newestMs = outputHistory(
      piece.rows,
      position.newestMs,
      { decode, path, outOfOrderMs, placeOf: piece.placeOf },
      context,
    );
    const rows = position.rows + piece.rows.length;
    this.#settings.onProgress?.({ file: path, files: paths.length, rows, before: position.rows });
    const rest = {
      ...{ paths, newestMs, rows },
      ...(next === undefined ? { file: position.file + 1, at: 0 } : { file: position.file, at: next }),
    };
    if (rest.file >= paths.length) return STOP;
    context.reportBacklog((paths.length - rest.file) * Math.max(1, piece.rows.length));
    tracker.tryClaim(rest);
    return resumeAfter(0);
  }

  async teardown(): Promise<void> {
    await this.#files.close();
  }
}
