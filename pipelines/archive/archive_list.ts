import { z } from 'zod';
import { checkedJson, parseCheckedJson } from '#storage/checked_json';
import type { ArchivePlace } from './archive_place.ts';
import { ArchiveInUseError, ArchiveListMissingError, ArchiveOfOtherTopicError } from './errors.ts';

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
  /** In a bucket, the writer that has it: another one's commits find a list that is not theirs. */
  writer: z.string().optional(),
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

/**
 * Replaces the list as a whole: this is what commits a change of the archive.
 *
 * @param tag - of the list that it takes the place of, in a bucket
 * @returns the tag of the new one
 * @throws {@link ArchiveInUseError} where another process has replaced that list
 */
export async function writeList(place: ArchivePlace, list: ArchiveList, tag?: string): Promise<string | undefined> {
  const bytes = Buffer.from(checkedJson(list));
  if (place.conditional === undefined) {
    await place.write(LIST_NAME, bytes);
    return undefined;
  }
  const written = await place.conditional.replace(LIST_NAME, bytes, tag);
  if (written === undefined) throw new ArchiveInUseError(place.location);
  return written;
}

/** A list that its writer has opened. */
export interface OpenList {
  readonly list: ArchiveList;
  /** In a bucket; see {@link writeList}. */
  readonly tag: string | undefined;
}

/**
 * Opens an archive for its writer: makes the list where there is none, and removes files that no list names, which a crash has left.
 *
 * @param writer - in a bucket, who opens it: no two may have the same
 * @throws {@link ArchiveListMissingError} where files lie without a list, {@link ArchiveOfOtherTopicError} where its positions are of another topic
 */
export async function openList(place: ArchivePlace, topic: string, writer?: string): Promise<OpenList> {
  const names = await place.names();
  const held = await place.conditional?.read(LIST_NAME);
  const found = await readList(place);
  if (found === undefined && names.length > 0) throw new ArchiveListMissingError(place.location, names.length);
  if (found !== undefined && found.topic !== topic)
    throw new ArchiveOfOtherTopicError(place.location, found.topic, topic);
  if (place.conditional === undefined) {
    const list = found ?? emptyList(topic);
    if (found === undefined) await writeList(place, list);
    await removeUnlisted(place, names, list);
    return { list, tag: undefined };
  }
  // Before anything is removed: what a writer of before has not committed yet it cannot commit any more.
  const list = { ...(found ?? emptyList(topic)), writer };
  const tag = await writeList(place, list, held?.tag);
  await removeUnlisted(place, names, list);
  return { list, tag };
}

async function removeUnlisted(place: ArchivePlace, names: readonly string[], { files }: ArchiveList): Promise<void> {
  const listed = new Set(files.map(({ name }) => name));
  for (const name of names) if (!listed.has(name)) await place.remove(name);
}
