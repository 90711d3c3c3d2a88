import { createFileSystems, type FileSystemOf } from '#connectors/files/file_systems';
import { formatOf, type ReadRow } from '#connectors/files/formats';
import { readJsonLines } from '#connectors/files/json_lines';
import { ParquetFile } from '#connectors/files/parquet_file';
import { readSequentially } from '#connectors/files/sequential_rows';
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

/** Where reading stands: plain data, for snapshots. */
interface HistoryPosition {
  /** Files to read, in order; undefined: they are still to be found. */
  readonly paths: readonly string[] | undefined;
  readonly file: number;
  /** Bytes of JSON lines, row groups of Parquet, rows of other formats that are done. */
  readonly at: number;
  readonly newestMs: number;
}

export interface HistorySourceSettings<T> {
  /** As those of a file source. */
  readonly patterns: readonly string[];
  /** A row may be so much older than the newest before it. */
  readonly outOfOrderMs: number;
  readonly fileSystems?: FileSystemOf;
  /** The element, and its event time when it has one. `watermark`: rows older than that are late. */
  readonly decode: (
    row: ReadRow,
    path: string,
    watermark: EventTime,
  ) => { readonly element: T; readonly eventTimeMs: number | undefined };
  /** Told after every piece, for progress. */
  readonly onProgress?: (progress: { readonly file: string; readonly files: number; readonly rows: number }) => void;
}

type Context<T> = SplittableContext<T, HistoryPosition>;

const ROWS_AT_ONCE = 2_000;

/**
 * Reads files one after the other in the order of their names, as a topic would be read: the watermark follows event time, so that what is
 * computed from it is what the stream would have computed. Name files by time: `year=2026/month=01/day=02/…` does.
 */
export class HistorySource<T> implements SplittableDoFn<string, T, HistoryPosition, HistoryPosition> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #settings: HistorySourceSettings<T>;
  readonly #fileSystemOf: FileSystemOf;
  #open:
    | { readonly path: string; readonly rows: AsyncGenerator<ReadRow>; at: number; close(): Promise<void> }
    | undefined;
  #rows = 0;

  constructor(settings: HistorySourceSettings<T>) {
    this.#settings = settings;
    this.#fileSystemOf = settings.fileSystems ?? createFileSystems();
  }

  initialRestrictions(): HistoryPosition[] {
    return [{ paths: undefined, file: 0, at: 0, newestMs: Number.NEGATIVE_INFINITY }];
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
    const paths = position.paths ?? (await this.#find());
    const path = paths[position.file];
    if (path === undefined) return STOP;
    const { rows, next } = await this.#readSome(path, position.at);
    const newestMs = this.#output(rows, path, position.newestMs, context);
    this.#rows += rows.length;
    this.#settings.onProgress?.({ file: path, files: paths.length, rows: this.#rows });
    if (newestMs > Number.NEGATIVE_INFINITY) context.advanceWatermark(this.#watermarkAfter(newestMs));
    const rest = {
      paths,
      newestMs,
      ...(next === undefined ? { file: position.file + 1, at: 0 } : { file: position.file, at: next }),
    };
    if (rest.file >= paths.length) return STOP;
    context.reportBacklog((paths.length - rest.file) * Math.max(1, rows.length));
    tracker.tryClaim(rest);
    return resumeAfter(0);
  }

  async #find(): Promise<readonly string[]> {
    const found = await Promise.all(
      this.#settings.patterns.map((pattern) => this.#fileSystemOf(pattern).glob(pattern)),
    );
    return [...new Set(found.flat())].sort();
  }

  #watermarkAfter(newestMs: number): EventTime {
    return newestMs === Number.NEGATIVE_INFINITY ? MIN_EVENT_TIME : eventTime(newestMs - this.#settings.outOfOrderMs);
  }

  #output(rows: readonly ReadRow[], path: string, newestBefore: number, context: Context<T>): number {
    let newest = newestBefore;
    for (const row of rows) {
      const watermark = this.#watermarkAfter(newest);
      const { element, eventTimeMs } = this.#settings.decode(row, path, watermark);
      if (eventTimeMs !== undefined && eventTimeMs > newest) newest = eventTimeMs;
      context.output(element, eventTimeMs === undefined ? watermark : eventTime(eventTimeMs));
    }
    return newest;
  }

  /** @returns rows, and where to go on in this file; undefined at its end */
  async #readSome(
    path: string,
    at: number,
  ): Promise<{ readonly rows: readonly ReadRow[]; readonly next: number | undefined }> {
    const files = this.#fileSystemOf(path);
    const { format, isGzip } = formatOf(path);
    if (!isGzip && format === 'jsonl') {
      const file = await files.open(path);
      try {
        return await readJsonLines(file, files.chunkBytes, at, Number.MAX_SAFE_INTEGER);
      } finally {
        await file.close();
      }
    }
    if (!isGzip && format === 'parquet') {
      const file = await ParquetFile.open(await files.open(path));
      try {
        const rows = at < file.rowGroups ? await file.readRowGroup(at) : [];
        return { rows: rows.map((row) => ({ ok: true, row })), next: at + 1 < file.rowGroups ? at + 1 : undefined };
      } finally {
        await file.close();
      }
    }
    return this.#readSequentially(path, at);
  }

  async #readSequentially(path: string, at: number) {
    if (this.#open?.path !== path || this.#open.at !== at) {
      await this.#open?.close();
      const file = await this.#fileSystemOf(path).open(path);
      const rows = readSequentially(file);
      const close = async (): Promise<void> => {
        this.#open = undefined;
        await rows.return(undefined);
        await file.close();
      };
      this.#open = { path, rows, at: 0, close };
      while (this.#open.at < at && (await rows.next()).done !== true) this.#open.at += 1;
    }
    const open = this.#open;
    const rows: ReadRow[] = [];
    while (rows.length < ROWS_AT_ONCE) {
      const next = await open.rows.next();
      if (next.done === true) {
        await open.close();
        return { rows, next: undefined };
      }
      open.at += 1;
      rows.push(next.value);
    }
    return { rows, next: open.at };
  }

  async teardown(): Promise<void> {
    await this.#open?.close();
  }
}
