import { FilePieces, type FileUnit, unitOf } from '#connectors/files/file_pieces';
import type { FileSystemOf } from '#connectors/files/file_systems';
import type { ReadRow } from '#connectors/files/formats';
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

/** Looks for files; each that is found is split off. */
interface FileDiscovery {
  readonly kind: 'discovery';
  readonly known: readonly string[];
}

/** A part of a file. */
interface FilePart {
  readonly kind: 'part';
  readonly path: string;
  /** What from and to count. */
  readonly unit: FileUnit;
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
  readonly #pieces: FilePieces;

  constructor(settings: FileSourceSettings<T>) {
    this.#settings = settings;
    this.#pieces = new FilePieces(settings.fileSystems);
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
    const { path, unit, from, to } = restriction;
    const { rows, next } = await this.#pieces.read(path, from, to);
    for (const row of rows) this.#output(row, path, context);
    if (next === undefined) return STOP;
    if (unit === 'bytes') {
      context.reportBacklog(Math.max(1, Math.ceil(((to - next) / Math.max(1, next - from)) * rows.length)));
    }
    tracker.tryClaim({ ...restriction, from: next });
    return resumeAfter(0);
  }

  async #discover({ known }: FileDiscovery, tracker: Tracker, context: Context<T>): Promise<ProcessContinuation> {
    const { patterns, watchEveryMs } = this.#settings;
    const seen = new Set(known);
    const found = (await this.#pieces.find(patterns)).filter((path) => !seen.has(path));
    for (const path of found) {
      for (const part of await this.#partsOf(path)) context.splitOff(part, MIN_EVENT_TIME);
    }
    if (watchEveryMs === undefined) return STOP;
    context.setIdle(true, eventTime(Date.now()));
    tracker.tryClaim({ kind: 'discovery', known: [...known, ...found] });
    return resumeAfter(watchEveryMs);
  }

  async #partsOf(path: string): Promise<readonly FilePart[]> {
    const unit = unitOf(path);
    const length = await this.#pieces.lengthOf(path);
    if (length === undefined) return [{ kind: 'part', path, unit, from: 0, to: Number.MAX_SAFE_INTEGER }];
    const { partBytes = DEFAULT_PART_BYTES } = this.#settings;
    const step = unit === 'bytes' ? partBytes : 1;
    return Array.from({ length: Math.ceil(length / step) }, (_, index) => ({
      kind: 'part',
      path,
      unit,
      from: index * step,
      to: Math.min(length, (index + 1) * step),
    }));
  }

  #output(row: ReadRow, path: string, context: Context<T>): void {
    const { element, eventTimeMs } = this.#settings.decode(row, path);
    context.output(element, eventTimeMs === undefined ? (MIN_EVENT_TIME as EventTime) : eventTime(eventTimeMs));
  }

  async teardown(): Promise<void> {
    await this.#pieces.close();
  }
}
