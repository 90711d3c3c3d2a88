import { z } from 'zod';
import { checkedJson, parseCheckedJson } from '#storage/checked_json';
import type { ArchivePlace } from './archive_place.ts';
import { ArchiveListMissingError, ArchiveOfOtherTopicError } from './errors.ts';

export const LIST_NAME = '_archive.json';

const offsetText = z.string().regex(/^-?\d+$/);

const fileSchema = z.strictObject({
  name: z.string(),
  eventType: z.string(),
  /** Of the events' own times, UTC. */
  date: z.string(),
  partition: z.string(),
  /** Counts up when a topic was created again and its offsets begin anew. */
  generation: z.int().nonnegative(),
  /** Offsets of its first and last event. */
  first: offsetText,
  last: offsetText,
  /** How often it was rewritten: a file that a list names is never changed. */
  revision: z.int().nonnegative(),
  rows: z.int().positive(),
  bytes: z.int().positive(),
  sha256: z.string(),
});
export type ArchivedFile = z.infer<typeof fileSchema>;

const partitionSchema = z.strictObject({
  /** The broker's: reading resumes after it. */
  position: z.string(),
  generation: z.int().nonnegative(),
  /** Offset of the last record that was read, archived or not. */
  last: offsetText,
  /** Offset of the first record that was ever read, and the broker's time for it. */
  first: z.strictObject({ offset: offsetText, at: z.string() }).optional(),
});
export type ArchivedPartition = z.infer<typeof partitionSchema>;

const listSchema = z.strictObject({
  format: z.literal(1),
  topic: z.string(),
  files: z.array(fileSchema),
  partitions: z.record(z.string(), partitionSchema),
  /** What the broker had deleted before it was read. */
  gaps: z.array(z.strictObject({ partition: z.string(), after: offsetText, at: z.string() })),
  /** The first day that was kept when days were removed last. */
  removedUntil: z.string().optional(),
  /** Token of the writer that opened it last, in a bucket: what it has replaced, an earlier writer cannot replace any more. */
  writer: z.string().optional(),
});
export type ArchiveList = z.infer<typeof listSchema>;

export const emptyList = (topic: string): ArchiveList => ({ format: 1, topic, files: [], partitions: {}, gaps: [] });

/**
 * Reads the list of an archive's files: what it does not name does not count.
 *
 * @returns undefined where there is no archive
 * @throws {@link DamagedFileError}
 */
export async function readList(place: ArchivePlace): Promise<ArchiveList | undefined> {
  const bytes = await place.read(LIST_NAME);
  return bytes === undefined ? undefined : parseList(place, bytes);
}

const parseList = (place: ArchivePlace, bytes: Buffer): ArchiveList =>
  parseCheckedJson(bytes, listSchema, {
    file: `${place.location}/${LIST_NAME}`,
    remedy: 'restore it from a backup: without it no file of the archive is read',
  });

/** A list as it lies there. */
export interface OpenList {
  readonly list: ArchiveList;
  /** Of the file: what {@link writeList} replaces. */
  readonly tag: string;
}

/** Replaces the list as a whole: this is what commits a change of the archive. @throws {@link LockLostError} */
export const writeList = async (
  place: ArchivePlace,
  list: ArchiveList,
  tag: string | undefined,
): Promise<OpenList> => ({
  list,
  tag: await place.replace(LIST_NAME, Buffer.from(checkedJson(list)), tag),
});

/**
 * Opens an archive for its writer: makes the list where there is none, and removes files that no list names, which a crash has left.
 *
 * @param writer - the owner's token: written to the list first, so that a writer of before commits nothing any more
 * @throws {@link ArchiveListMissingError} where files lie without a list, {@link ArchiveOfOtherTopicError} where its positions are of another topic
 */
export async function openList(place: ArchivePlace, topic: string, writer?: string): Promise<OpenList> {
  const found = await place.readTagged(LIST_NAME);
  const own = writer === undefined ? {} : { writer };
  if (found === undefined) {
    const names = await place.names();
    if (names.length > 0) throw new ArchiveListMissingError(place.location, names.length);
    return writeList(place, { ...emptyList(topic), ...own }, undefined);
  }
  const read: OpenList = { list: parseList(place, found.bytes), tag: found.tag };
  if (read.list.topic !== topic) throw new ArchiveOfOtherTopicError(place.location, read.list.topic, topic);
  const opened = writer === undefined ? read : await writeList(place, { ...read.list, ...own }, read.tag);
  const listed = new Set(opened.list.files.map(({ name }) => name));
  // Looked for after that: an earlier writer adds nothing now that a list could name.
  for (const name of await place.names()) if (!listed.has(name)) await place.remove(name);
  return opened;
}
