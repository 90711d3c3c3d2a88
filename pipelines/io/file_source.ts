import type { OpenFile } from '#connectors/files/file_system';
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

/** Looks for files; each that is found is split off. */
interface FileDiscovery {
  readonly kind: 'discovery';
  readonly known: readonly string[];
}

/** A part of a file. */
interface FilePart {
  readonly kind: 'part';
  readonly path: string;
  /** What from and to count: bytes of JSON lines, row groups of Parquet, rows of what can only be read from the beginning. */
  readonly unit: 'bytes' | 'rowGroups' | 'rows';
  readonly from: number;
  readonly to: number;
}

export type FileRestriction = FileDiscovery | FilePart;

export interface FileSourceSettings<T> {
  /** Paths with `*`, `**` and so on, of this machine or `s3://bucket/…`. Formats by the names: .jsonl, .ndjson, .csv, .parquet, .avro, and those with .gz. */
  readonly patterns: readonly string[];
  /** Looks for new files every so often, for ever; absent: reads what is there and ends. A file must be complete when it appears: move it in. */
  readonly watchEveryMs?: number;
  /** JSON lines are read in parts of about so many bytes, side by side. */
  readonly partBytes?: number;
  /** Absent: {@link createFileSystems} of the environment. */
  readonly fileSystems?: FileSystemOf;
  /** The element and its event time; undefined puts it at the beginning of time. */
  readonly decode: (row: ReadRow, path: string) => { readonly element: T; readonly eventTimeMs?: number };
}

const DEFAULT_PART_BYTES = 64 * 1_024 * 1_024;
/** Rows of one call, where rows are what is counted. */
const ROWS_AT_ONCE = 1_000;

interface OpenRows {
  readonly file: OpenFile;
  readonly rows: AsyncGenerator<ReadRow>;
  /** Rows taken from it. */
  at: number;
}

type Context<T> = SplittableContext<T, FileRestriction>;
type Tracker = RestrictionTracker<FileRestriction, FileRestriction>;

/**
 * Reads files as a splittable DoFn: JSON lines by byte ranges and Parquet by row groups, side by side; CSV, Avro and gzipped files from
 * their beginning (after a restart, again from there to where it was).
 */
export class FileSource<T> implements SplittableDoFn<string, T, FileRestriction, FileRestriction> {
  readonly splittable = true;
  readonly bounded: boolean;
  readonly #settings: FileSourceSettings<T>;
  readonly #fileSystemOf: FileSystemOf;
  readonly #open = new Map<string, OpenRows>();

  constructor(settings: FileSourceSettings<T>) {
    this.#settings = settings;
    this.#fileSystemOf = settings.fileSystems ?? createFileSystems();
    this.bounded = settings.watchEveryMs === undefined;
  }

  initialRestrictions(): FileRestriction[] {
    return [{ kind: 'discovery', known: [] }];
  }

  createTracker(restriction: FileRestriction): RestTracker<FileRestriction> {
    return new RestTracker(restriction);
  }

  restrictionSize(restriction: FileRestriction): number {
    return restriction.kind === 'part' && Number.isFinite(restriction.to) ? restriction.to - restriction.from : 1;
  }

  async process(
    _: string,
    restriction: FileRestriction,
    tracker: Tracker,
    context: Context<T>,
  ): Promise<ProcessContinuation> {
    if (restriction.kind === 'discovery') return this.#discover(restriction, tracker, context);
    switch (restriction.unit) {
      case 'bytes':
        return this.#readBytes(restriction, tracker, context);
      case 'rowGroups':
        return this.#readRowGroup(restriction, tracker, context);
      case 'rows':
        return this.#readRows(restriction, tracker, context);
    }
  }

  async #discover({ known }: FileDiscovery, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const { patterns, watchEveryMs } = this.#settings;
    const seen = new Set(known);
    const matching = await Promise.all(patterns.map((pattern) => this.#fileSystemOf(pattern).glob(pattern)));
    const found = [...new Set(matching.flat())].filter((path) => !seen.has(path)).sort();
    for (const path of found) {
      for (const part of await this.#partsOf(path)) context.splitOff(part, MIN_EVENT_TIME);
    }
    if (watchEveryMs === undefined) return STOP;
    context.setIdle(true, eventTime(Date.now()));
    tracker.tryClaim({ kind: 'discovery', known: [...known, ...found] });
    return resumeAfter(watchEveryMs);
  }

  async #partsOf(path: string): Promise<readonly FilePart[]> {
    const { format, isGzip } = formatOf(path);
    if (format === 'jsonl' && !isGzip) {
      const size = await this.#sizeOf(path);
      const { partBytes = DEFAULT_PART_BYTES } = this.#settings;
      const count = Math.max(1, Math.ceil(size / partBytes));
      return Array.from({ length: count }, (_, index) => ({
        kind: 'part',
        path,
        unit: 'bytes',
        from: index * partBytes,
        to: index + 1 === count ? size : (index + 1) * partBytes,
      }));
    }
    if (format === 'parquet' && !isGzip) {
      const file = await ParquetFile.open(await this.#fileSystemOf(path).open(path));
      const { rowGroups } = file;
      await file.close();
      return Array.from({ length: rowGroups }, (_, index) => ({
        kind: 'part',
        path,
        unit: 'rowGroups',
        from: index,
        to: index + 1,
      }));
    }
    return [{ kind: 'part', path, unit: 'rows', from: 0, to: Number.MAX_SAFE_INTEGER }];
  }

  async #sizeOf(path: string): Promise<number> {
    const file = await this.#fileSystemOf(path).open(path);
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  }

  async #readChunk({ path, from, to }: FilePart): ReturnType<typeof readJsonLines> {
    const files = this.#fileSystemOf(path);
    const file = await files.open(path);
    try {
      return await readJsonLines(file, files.chunkBytes, from, to);
    } finally {
      await file.close();
    }
  }

  async #readBytes(part: FilePart, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const { rows, next } = await this.#readChunk(part);
    for (const row of rows) this.#output(row, part.path, context);
    if (next === undefined) return STOP;
    context.reportBacklog(Math.max(1, Math.ceil(((part.to - next) / Math.max(1, next - part.from)) * rows.length)));
    tracker.tryClaim({ ...part, from: next });
    return resumeAfter(0);
  }

  async #readRowGroup({ path, from }: FilePart, _: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const file = await ParquetFile.open(await this.#fileSystemOf(path).open(path));
    try {
      for (const row of await file.readRowGroup(from)) this.#output({ ok: true, row }, path, context);
    } finally {
      await file.close();
    }
    return STOP;
  }

  async #readRows(part: FilePart, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const open = await this.#at(part);
    for (let count = 0; count < ROWS_AT_ONCE; count += 1) {
      const next = await open.rows.next();
      if (next.done === true) {
        await this.#close(open);
        return STOP;
      }
      open.at += 1;
      this.#output(next.value, part.path, context);
    }
    tracker.tryClaim({ ...part, from: open.at });
    return resumeAfter(0);
  }

  /** The file's rows from where the part is; after a restart they are skipped up to there. */
  async #at({ path, from }: FilePart): Promise<OpenRows> {
    const before = this.#open.get(path);
    if (before?.at === from) return before;
    if (before !== undefined) await this.#close(before);
    const file = await this.#fileSystemOf(path).open(path);
    const open: OpenRows = { file, rows: readSequentially(file), at: 0 };
    this.#open.set(path, open);
    while (open.at < from && (await open.rows.next()).done !== true) open.at += 1;
    return open;
  }

  #output(row: ReadRow, path: string, context: Context<T>): void {
    const { element, eventTimeMs } = this.#settings.decode(row, path);
    context.output(element, eventTimeMs === undefined ? (MIN_EVENT_TIME as EventTime) : eventTime(eventTimeMs));
  }

  async #close({ file, rows }: OpenRows): Promise<void> {
    this.#open.delete(file.path);
    await rows.return(undefined);
    await file.close();
  }

  async teardown(): Promise<void> {
    for (const open of [...this.#open.values()]) await this.#close(open);
  }
}
