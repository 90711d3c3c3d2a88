import { join } from 'node:path';
import type { DuckDb } from '#connectors/files/duckdb/duckdb';
import { openDuckDb, quotedText } from '#connectors/files/duckdb/duckdb';
import { messageOf } from '#kernel/errors';
import { PackageMissingError } from '#kernel/optional_package';
import type { ArchivedFile } from './archive_list.ts';
import type { ArchivePlace } from './archive_place.ts';
import { type ArchivedEvent, checkedBytes, decodeEvents } from './archived_event.ts';
import { ArchiveDamagedError } from './errors.ts';

/** A row as {@link EntityScan} selects it. */
type ScannedRow = readonly [
  eventId: string,
  eventTimeMs: bigint,
  receivedAtMs: bigint | null,
  recordedAtMs: bigint,
  offset: string,
  key: string | null,
  headers: string | null,
  payload: string,
];

/** Of JSON: what follows may stand for any character. */
const ESCAPE = '\\u';
const COLUMNS = `event_id, epoch_ms(event_time), epoch_ms(received_at), epoch_ms(recorded_at), "offset"::VARCHAR, "key", headers, payload`;

/**
 * Reads the events of archived files whose payload holds some ids, or an escape that may stand for one. In a folder DuckDB looks for them in the column of payloads
 * and decodes no other rows; in a bucket, or where DuckDB is not installed, each file is decoded first.
 */
export class EntityScan {
  readonly #ids: readonly string[];
  /** Bound to the condition: no SQL is written with a text of a caller. */
  readonly #values: string[];
  readonly #condition: string;
  #duckdb: Promise<DuckDb | undefined> | undefined;

  /** @param ids - as JSON writes them without escapes; none: all events are read */
  constructor(ids: readonly string[]) {
    this.#ids = ids;
    this.#values = [...ids, ESCAPE];
    this.#condition = `${ids.map((_, index) => `contains(payload, $${index + 1})`).join(' AND ')} OR contains(payload, $${ids.length + 1})`;
  }

  /** The same as `readEvents`, of the events that hold the ids. */
  readonly read = async (place: ArchivePlace, file: ArchivedFile): Promise<readonly ArchivedEvent[] | undefined> => {
    const bytes = await checkedBytes(place, file);
    if (bytes === undefined) return undefined;
    const duckdb = this.#ids.length === 0 || place.folder === undefined ? undefined : await this.#open();
    if (duckdb === undefined || place.folder === undefined) {
      const events = await decodeEvents(place, file, bytes);
      return events.filter(({ payload }) => this.#mayHold(payload));
    }
    const path = join(place.folder, file.name);
    // `*` and the like are part of a file's name here.
    const table = `read_parquet(${quotedText(path.replace(/[*?[{]/g, '[$&]'))}, hive_partitioning = false)`;
    try {
      const result = await duckdb.connection.runAndReadAll(
        `SELECT ${COLUMNS} FROM ${table} WHERE ${this.#condition}`,
        this.#values,
      );
      return (result.getRows() as unknown as readonly ScannedRow[]).map((row) => eventOf(file, row));
    } catch (error) {
      // Joined with others since its bytes were read.
      if ((await place.read(file.name)) === undefined) return undefined;
      throw new ArchiveDamagedError(path, messageOf(error), error);
    }
  };

  #mayHold(payload: string): boolean {
    return this.#ids.every((id) => payload.includes(id)) || payload.includes(ESCAPE);
  }

  #open(): Promise<DuckDb | undefined> {
    this.#duckdb ??= openDuckDb('reading the archive').catch((error: unknown) => {
      if (error instanceof PackageMissingError) return undefined;
      throw error;
    });
    return this.#duckdb;
  }

  async close(): Promise<void> {
    (await this.#duckdb)?.close();
  }
}

const eventOf = (
  { eventType, partition, generation }: ArchivedFile,
  [eventId, eventTimeMs, receivedAtMs, recordedAtMs, offset, key, headers, payload]: ScannedRow,
): ArchivedEvent => ({
  ...{ eventType, partition, generation, eventId, payload },
  eventTimeMs: Number(eventTimeMs),
  receivedAtMs: receivedAtMs === null ? undefined : Number(receivedAtMs),
  recordedAtMs: Number(recordedAtMs),
  offset: BigInt(offset),
  key: key ?? undefined,
  headers: headers ?? undefined,
});
