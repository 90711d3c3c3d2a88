import { TableUnreadableError } from '#connectors/errors';
import { type TablePart, TableReader, type TableReading } from '#connectors/postgres/table_reader';
import type { TableRow } from '#connectors/postgres/table_writer';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';
import { type Logger, silentLogger } from '#monitoring/log';
import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type ProcessContinuation,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import type { PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
import { read } from '#pipelines/model/transforms';

/** Which table or query of PostgreSQL is read, and how it is divided. */
export interface ReadPostgresSettings<T> extends TableReading {
  /** `postgres://user:password@host:port/database`. */
  readonly url: string;
  /** Event time of a row, ms. Default: the beginning of time. */
  readonly timestampOf?: (row: T) => number;
  readonly name?: string;
  readonly log?: Logger;
}

/** Plain data, for snapshots of the job. */
interface TableRestriction {
  /** Of PostgreSQL. */
  readonly snapshot: string;
  readonly part: TablePart;
}

/**
 * Reads a table of PostgreSQL as of one moment: in parts, by ranges of its key or else of blocks, over connections that share one snapshot. PostgreSQL keeps a snapshot for as long as the connection that began it:
 * when a job restarts, the rest is read as of the restart. By key, each row that does not change meanwhile still comes exactly once; by blocks that could not be guaranteed, and the job fails.
 *
 * @throws TableUnreadableError when the job runs and there is no such table or column, `key` is not unique, or a value cannot be taken exactly
 */
export function readPostgres<T extends TableRow = TableRow>(
  settings: ReadPostgresSettings<T>,
): PTransform<PipelineRoot, PCollection<T>> {
  return read('table', new PostgresSource(settings), settings.name ?? `Read ${settings.table}`);
}

class PostgresSource<T extends TableRow> implements SplittableDoFn<string, T, TableRestriction, TableRestriction> {
  readonly splittable = true;
  readonly bounded = true;
  readonly #settings: ReadPostgresSettings<T>;
  readonly #log: Logger;
  /** By the name of the snapshot that restrictions have. */
  readonly #readers = new Map<string, Promise<TableReader>>();

  constructor(settings: ReadPostgresSettings<T>) {
    this.#settings = settings;
    this.#log = (settings.log ?? silentLogger).child({ component: 'pipelines.io', table: settings.table });
  }

  async initialRestrictions(): Promise<readonly TableRestriction[]> {
    const reader = await TableReader.begin(this.#settings.url, this.#settings);
    const { snapshot } = reader;
    this.#readers.set(snapshot, Promise.resolve(reader));
    return (await reader.parts()).map((part) => ({ snapshot, part }));
  }

  createTracker(restriction: TableRestriction): RestTracker<TableRestriction> {
    return new RestTracker(restriction);
  }

  restrictionSize({ part }: TableRestriction): number {
    return part.by === 'place' ? part.to - part.from : 1;
  }

  async process(
    _: string,
    { snapshot, part }: TableRestriction,
    tracker: RestTracker<TableRestriction>,
    context: SplittableContext<T, TableRestriction>,
  ): Promise<ProcessContinuation> {
    const { rows, rest } = await this.#read(snapshot, part);
    const { timestampOf } = this.#settings;
    for (const row of rows as readonly T[]) {
      context.output(row, timestampOf === undefined ? (MIN_EVENT_TIME as EventTime) : eventTime(timestampOf(row)));
    }
    if (rest === undefined) return STOP;
    tracker.tryClaim({ snapshot, part: rest });
    return resumeAfter(0);
  }

  async #read(snapshot: string, part: TablePart) {
    let opening = this.#readers.get(snapshot);
    if (opening === undefined) {
      opening = this.#open(snapshot);
      this.#readers.set(snapshot, opening);
    }
    let reader: TableReader | undefined;
    try {
      reader = await opening;
      if (part.by === 'place' && reader.snapshot !== snapshot) {
        throw new TableUnreadableError(
          this.#settings.table,
          'the snapshot that it was read as of is gone, as the job or PostgreSQL was restarted, and rows have no key by which reading could resume. Add a primary key or name `key`, or run the job anew with an empty snapshots folder',
        );
      }
      return await reader.read(part);
    } catch (error) {
      if ((reader === undefined || reader.isLost) && this.#readers.get(snapshot) === opening) {
        this.#readers.delete(snapshot);
        void reader?.close();
      }
      throw error;
    }
  }

  async #open(snapshot: string): Promise<TableReader> {
    const { url } = this.#settings;
    const held = await TableReader.resume(url, this.#settings, snapshot);
    if (held !== undefined) return held;
    this.#log.warn({ snapshot }, 'table.snapshot_lost');
    return TableReader.begin(url, this.#settings);
  }

  async teardown(): Promise<void> {
    const readers = [...this.#readers.values()];
    this.#readers.clear();
    await Promise.all(readers.map((opening) => opening.then((reader) => reader.close()).catch(() => {})));
  }
}
