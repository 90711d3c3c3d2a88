import { createHash } from 'node:crypto';
import { parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { messageOf } from '#kernel/errors';
import type { ArchivedFile } from './archive_list.ts';
import type { ArchivePlace } from './archive_place.ts';
import { ArchiveDamagedError } from './errors.ts';

/** An event as it was accepted, and where it lay in its topic. */
export interface ArchivedEvent {
  readonly eventType: string;
  readonly eventId: string;
  readonly eventTimeMs: number;
  /** When the gateway accepted it; undefined when another producer wrote it. */
  readonly receivedAtMs: number | undefined;
  /** When the broker took it in. */
  readonly recordedAtMs: number;
  readonly partition: string;
  readonly generation: number;
  readonly offset: bigint;
  readonly key: string | undefined;
  /** JSON of the record's headers; undefined without any. */
  readonly headers: string | undefined;
  /** The text of the record, to the byte: fields that no schema knows and all digits of integers. */
  readonly payload: string;
}

const ROW_GROUP = 50_000;
/** Kinesis' sequence numbers are larger: their column holds digits. */
const LARGEST_INT64 = 2n ** 63n - 1n;

/** Returns a Parquet file of events. */
export function encodeEvents(events: readonly ArchivedEvent[]): Buffer {
  const time = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms));
  const column = <T>(name: string, type: 'STRING' | 'TIMESTAMP' | 'INT64', of: (event: ArchivedEvent) => T) => ({
    ...{ name, type, nullable: true },
    data: events.map(of),
  });
  const columnData = [
    column('event_id', 'STRING', ({ eventId }) => eventId),
    column('event_time', 'TIMESTAMP', ({ eventTimeMs }) => time(eventTimeMs)),
    column('received_at', 'TIMESTAMP', ({ receivedAtMs }) => time(receivedAtMs)),
    column('recorded_at', 'TIMESTAMP', ({ recordedAtMs }) => time(recordedAtMs)),
    events.every(({ offset }) => offset <= LARGEST_INT64)
      ? column('offset', 'INT64', ({ offset }) => offset)
      : column('offset', 'STRING', ({ offset }) => String(offset)),
    column('key', 'STRING', ({ key }) => key ?? null),
    column('headers', 'STRING', ({ headers }) => headers ?? null),
    column('payload', 'STRING', ({ payload }) => payload),
  ];
  return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: ROW_GROUP }));
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

interface StoredEvent {
  readonly event_id: string;
  readonly event_time: Date;
  readonly received_at: Date | null;
  readonly recorded_at: Date;
  /** Digits where they are larger than 64 bits. */
  readonly offset: bigint | string;
  readonly key: string | null;
  readonly headers: string | null;
  readonly payload: string;
}

/** Reads the events of a file, or those of them that matter, in the order of their offsets; undefined where the file does not exist. */
export type ReadArchivedFile = (
  place: ArchivePlace,
  file: ArchivedFile,
) => Promise<readonly ArchivedEvent[] | undefined>;

/**
 * Reads the events of a file, in the order of their offsets.
 *
 * @returns undefined where the file does not exist: it was joined with others, or what it held was erased
 * @throws {@link ArchiveDamagedError} naming the file when it is not what was written
 */
export async function readEvents(
  place: ArchivePlace,
  file: ArchivedFile,
): Promise<readonly ArchivedEvent[] | undefined> {
  const bytes = await checkedBytes(place, file);
  return bytes === undefined ? undefined : decodeEvents(place, file, bytes);
}

/** Reads a file as it was written; undefined where it does not exist. @throws {@link ArchiveDamagedError} */
export async function checkedBytes(place: ArchivePlace, file: ArchivedFile): Promise<Buffer | undefined> {
  const bytes = await place.read(file.name);
  if (bytes === undefined) return undefined;
  const path = `${place.location}/${file.name}`;
  if (bytes.length !== file.bytes) {
    throw new ArchiveDamagedError(path, `it has ${bytes.length} bytes, and ${file.bytes} were written`);
  }
  if (sha256(bytes) !== file.sha256) throw new ArchiveDamagedError(path, 'its checksum does not match its content');
  return bytes;
}

/** Returns the events of a file's bytes. @throws {@link ArchiveDamagedError} */
export async function decodeEvents(
  place: ArchivePlace,
  file: ArchivedFile,
  bytes: Buffer,
): Promise<readonly ArchivedEvent[]> {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  try {
    const rows = (await parquetReadObjects({ file: buffer })) as unknown as readonly StoredEvent[];
    return rows.map((row) => eventOf(file, row));
  } catch (error) {
    throw new ArchiveDamagedError(`${place.location}/${file.name}`, messageOf(error), error);
  }
}

const eventOf = ({ eventType, partition, generation }: ArchivedFile, row: StoredEvent): ArchivedEvent => ({
  ...{ eventType, partition, generation },
  eventId: row.event_id,
  eventTimeMs: row.event_time.getTime(),
  receivedAtMs: row.received_at?.getTime(),
  recordedAtMs: row.recorded_at.getTime(),
  offset: BigInt(row.offset),
  key: row.key ?? undefined,
  headers: row.headers ?? undefined,
  payload: row.payload,
});

/** Names a file by what it holds: type and date, partition, generation, and the range of positions. */
export function fileName({
  eventType,
  date,
  partition,
  generation,
  first,
  last,
  revision,
}: Omit<ArchivedFile, 'name' | 'rows' | 'bytes' | 'sha256'>): string {
  const digits = (offset: string): string => offset.padStart(20, '0');
  const folder = `event_type=${safe(eventType)}/date=${date}`;
  const again = revision === 0 ? '' : `.r${revision}`;
  return `${folder}/${safe(partition)}.${generation}-${digits(first)}-${digits(last)}${again}.parquet`;
}

/** Percent-encoded, as Hive, DuckDB and Arrow read names of folders. */
const safe = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*.~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** Writes a file of events of one type, date, partition and generation, in the order of their offsets. */
export async function writeEvents(
  place: ArchivePlace,
  of: Pick<ArchivedFile, 'eventType' | 'date' | 'partition' | 'generation' | 'revision'>,
  events: readonly ArchivedEvent[],
): Promise<ArchivedFile> {
  const first = String((events[0] as ArchivedEvent).offset);
  const last = String((events.at(-1) as ArchivedEvent).offset);
  const { eventType, date, partition, generation, revision } = of;
  const range = { eventType, date, partition, generation, revision, first, last };
  const name = fileName(range);
  const bytes = encodeEvents(events);
  await place.write(name, bytes);
  return { name, ...range, rows: events.length, bytes: bytes.length, sha256: sha256(bytes) };
}

/** The day of an event, UTC. */
export const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
