import { type HistoryFiles, type HistoryPiece, shownPath } from '#connectors/files/history_files';
import type { EventSource } from '#feature_store/definitions/sources/source';
import { textOf } from '#kernel/text/text_of';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import type { ArchivePlace } from '#pipelines/archive/archive_place';
import { type ArchivePosition, ArchiveReader } from '#pipelines/archive/archive_reader';
import type { ReadArchivedFile } from '#pipelines/archive/archived_event';
import { createArchiveDecoder } from '#pipelines/archive/archived_record';
import type { DecodedEvent } from '#pipelines/events/decode_events';
import type { DecodeHistory } from './history_rows.ts';

/** The next event of a history, and its time when it has one. */
export interface NextEvent {
  readonly element: DecodedEvent;
  readonly timeMs: number | undefined;
  /** Partition and offset, where it was in a topic. */
  readonly place?: string;
}

/** Reads one history in its own order. */
export interface HistoryCursor {
  /** @returns the next event; undefined at the end */
  peek(): Promise<NextEvent | undefined>;
  /** Steps over it. */
  take(): void;
  /** Where reading resumes after what was taken: plain data. */
  position(): unknown;
  /** Where it reads, for progress. */
  readonly from: string;
  readonly files: number;
}

/** Opens a history at a position that {@link HistoryCursor.position} gave; undefined: at its beginning. */
export type OpenCursor = (position: unknown) => HistoryCursor;

const watermarkAfter = (newestMs: number | undefined, outOfOrderMs: number): EventTime =>
  newestMs === undefined ? MIN_EVENT_TIME : eventTime(newestMs - outOfOrderMs);

interface FilePosition {
  readonly paths: readonly string[];
  readonly file: number;
  /** Where its piece begins, and how many rows of the piece were taken. */
  readonly at: number;
  readonly row: number;
  readonly newestMs?: number | undefined;
}

interface FileHistory {
  readonly outOfOrderMs: number;
  readonly decode: DecodeHistory<DecodedEvent>;
}

/** Reads files one after the other in the order of their names. */
export function filesCursor(files: HistoryFiles, patterns: readonly string[], settings: FileHistory): OpenCursor {
  return (saved) => new FilesCursor(files, patterns, settings, saved as FilePosition | undefined);
}

class FilesCursor implements HistoryCursor {
  readonly #files: HistoryFiles;
  readonly #patterns: readonly string[];
  readonly #settings: FileHistory;
  #position: FilePosition | undefined;
  #piece: HistoryPiece | undefined;
  #next: NextEvent | undefined;

  constructor(
    files: HistoryFiles,
    patterns: readonly string[],
    settings: FileHistory,
    position: FilePosition | undefined,
  ) {
    this.#files = files;
    this.#patterns = patterns;
    this.#settings = settings;
    this.#position = position;
  }

  get from(): string {
    const path = this.#position?.paths[this.#position.file];
    return path === undefined ? 'files' : shownPath(path);
  }

  get files(): number {
    return this.#position?.paths.length ?? 0;
  }

  async peek(): Promise<NextEvent | undefined> {
    while (this.#next === undefined) {
      this.#position ??= { paths: await this.#files.find(this.#patterns), file: 0, at: 0, row: 0 };
      const { paths, file, at, row, newestMs } = this.#position;
      const path = paths[file];
      if (path === undefined) return undefined;
      this.#piece ??= await this.#files.read(path, at);
      const { placeOf } = this.#piece;
      const read = this.#piece.rows[row];
      if (read !== undefined) {
        const { decode, outOfOrderMs } = this.#settings;
        const { element, eventTimeMs } = decode(read, path, watermarkAfter(newestMs, outOfOrderMs), () => placeOf(row));
        this.#next = { element, timeMs: eventTimeMs };
        break;
      }
      const { next } = this.#piece;
      this.#piece = undefined;
      this.#position = {
        paths,
        newestMs,
        row: 0,
        ...(next === undefined ? { file: file + 1, at: 0 } : { file, at: next }),
      };
    }
    return this.#next;
  }

  take(): void {
    const position = this.#position as FilePosition;
    const timeMs = this.#next?.timeMs;
    const newestMs = timeMs === undefined ? position.newestMs : Math.max(position.newestMs ?? timeMs, timeMs);
    this.#position = { ...position, row: position.row + 1, newestMs };
    this.#next = undefined;
  }

  position(): FilePosition | undefined {
    return this.#position;
  }
}

interface PagePosition {
  /** The last row of the page before. */
  readonly after: { readonly time: string; readonly id: string } | undefined;
  readonly row: number;
  readonly newestMs?: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

export interface PagedHistory {
  readonly readPage: (after: PagePosition['after']) => Promise<readonly Fields[]>;
  readonly timestampField: string;
  readonly idField: string;
  readonly decode: DecodeHistory<DecodedEvent>;
}

/** Reads the rows of a query by time and id. */
export const pagesCursor =
  (history: PagedHistory): OpenCursor =>
  (saved) => {
    let position = (saved as PagePosition | undefined) ?? { after: undefined, row: 0 };
    let page: readonly Fields[] | undefined;
    let next: NextEvent | undefined;
    return {
      ...{ from: 'a query', files: 0 },
      async peek() {
        while (next === undefined) {
          page ??= await history.readPage(position.after);
          const row = page[position.row];
          if (row !== undefined) {
            const { element, eventTimeMs } = history.decode(
              { ok: true, row },
              undefined,
              watermarkAfter(position.newestMs, 0),
            );
            next = { element, timeMs: eventTimeMs };
            break;
          }
          const last = page.at(-1);
          if (last === undefined) return undefined;
          const after = { time: textOf(last[history.timestampField]), id: textOf(last[history.idField]) };
          position = { ...position, after, row: 0 };
          page = undefined;
        }
        return next;
      },
      take() {
        const timeMs = next?.timeMs;
        const newestMs = timeMs === undefined ? position.newestMs : Math.max(position.newestMs ?? timeMs, timeMs);
        position = { ...position, row: position.row + 1, newestMs };
        next = undefined;
      },
      position: () => position,
    };
  };

interface ArchiveCursorPosition {
  readonly after: ArchivePosition;
  /** Newest event time by partition, ms. */
  readonly newestMs: Readonly<Record<string, number>>;
}

export interface ArchiveHistory {
  readonly place: ArchivePlace;
  readonly sources: readonly EventSource[];
  readonly outOfOrderMs: number;
  /** The last event of each partition; undefined: all that is there. */
  readonly until?: ArchivePosition | undefined;
  /** Events of days before it are left out. */
  readonly sinceDate?: string | undefined;
  /** Reads what matters of a file; all of it without it. */
  readonly readFile?: ReadArchivedFile;
}

/** Reads the archive of raw events as the stream has read the topic. */
export const archiveCursor =
  ({ place, sources, outOfOrderMs, until, sinceDate, readFile }: ArchiveHistory): OpenCursor =>
  (saved) => {
    const position = (saved as ArchiveCursorPosition | undefined) ?? { after: {}, newestMs: {} };
    const types = sources.flatMap(({ eventTypes }) => eventTypes);
    const reader = new ArchiveReader(place, types, { after: position.after, until, sinceDate, readFile });
    const newest: Record<string, number> = { ...position.newestMs };
    const decode = createArchiveDecoder(sources);
    let next: (NextEvent & { readonly partition: string }) | undefined;
    return {
      from: place.location,
      get files() {
        return reader.files;
      },
      async peek() {
        if (next !== undefined) return next;
        const event = await reader.peek();
        if (event === undefined) return undefined;
        const element = decode(event, watermarkAfter(newest[event.partition], outOfOrderMs));
        const { partition, offset } = event;
        const timeMs = element.ok === true ? element.eventTimeMs : undefined;
        next = { element, timeMs, partition, place: `${partition}/${offset}` };
        return next;
      },
      take() {
        reader.take();
        if (next?.timeMs !== undefined)
          newest[next.partition] = Math.max(newest[next.partition] ?? next.timeMs, next.timeMs);
        next = undefined;
      },
      position: (): ArchiveCursorPosition => ({ after: reader.position(), newestMs: { ...newest } }),
    };
  };
