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
});
export type ArchivedPartition = z.infer<typeof partitionSchema>;

const listSchema = z.strictObject({
  format: z.literal(1),
  topic: z.string(),
  files: z.array(fileSchema),
  partitions: z.record(z.string(), partitionSchema),
  /** What the broker had deleted before it was read. */
  gaps: z.array(z.strictObject({ partition: z.string(), after: offsetText, at: z.string() })),
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
  if (bytes === undefined) return undefined;
  const remedy = 'restore it from a backup: without it no file of the archive is read';
  return parseCheckedJson(bytes, listSchema, { file: `${place.location}/${LIST_NAME}`, remedy });
}

/** Replaces the list as a whole: this is what commits a change of the archive. */
export const writeList = (place: ArchivePlace, list: ArchiveList): Promise<void> =>
  place.write(LIST_NAME, Buffer.from(checkedJson(list)));

/**
 * Opens an archive for its writer: makes the list where there is none, and removes files that no list names, which a crash has left.
 *
 * @throws {@link ArchiveListMissingError} where files lie without a list, {@link ArchiveOfOtherTopicError} where its positions are of another topic
 */
export async function openList(place: ArchivePlace, topic: string): Promise<ArchiveList> {
  const names = await place.names();
  const list = await readList(place);
  if (list === undefined) {
    if (names.length > 0) throw new ArchiveListMissingError(place.location, names.length);
    const made = emptyList(topic);
    await writeList(place, made);
    return made;
  }
  if (list.topic !== topic) throw new ArchiveOfOtherTopicError(place.location, list.topic, topic);
  const listed = new Set(list.files.map(({ name }) => name));
  for (const name of names) if (!listed.has(name)) await place.remove(name);
  return list;
}
