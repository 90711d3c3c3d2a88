import type { ArchivedFile, ArchiveList } from './archive_list.ts';
import type { ArchivePlace } from './archive_place.ts';
import { type ArchivedEvent, dateOf, readEvents, writeEvents } from './archived_event.ts';
import { ArchiveDamagedError } from './errors.ts';

/** A change of an archive: new files are written, and the others are removed once the list is. */
export interface ArchiveChange {
  readonly files: readonly ArchivedFile[];
  readonly removed: readonly string[];
  /** The first day that is kept, where days are removed. */
  readonly removedUntil?: string;
}

const JOINED_ROWS = 200_000;
const JOINED_BYTES = 32 * 1_024 * 1_024;
/** So many files of a day are left as they are while events of it arrive. */
const FILES_OF_TODAY = 8;

const orderOf = (a: ArchivedFile, b: ArchivedFile): number =>
  a.generation - b.generation || (BigInt(a.first) < BigInt(b.first) ? -1 : 1);

const whole = async (place: ArchivePlace, file: ArchivedFile): Promise<readonly ArchivedEvent[]> => {
  const events = await readEvents(place, file);
  if (events === undefined) throw new ArchiveDamagedError(`${place.location}/${file.name}`, 'it does not exist');
  return events;
};

/** Joins small files of one type, date and partition; undefined when there is nothing to join. */
export async function joinSmallFiles(
  place: ArchivePlace,
  { files }: ArchiveList,
  nowMs: number,
): Promise<ArchiveChange | undefined> {
  const groups = new Map<string, ArchivedFile[]>();
  for (const file of files) {
    const group = `${file.eventType}\u0000${file.date}\u0000${file.partition}\u0000${file.generation}`;
    const held = groups.get(group);
    if (held === undefined) groups.set(group, [file]);
    else held.push(file);
  }
  for (const group of groups.values()) {
    const most = (group[0] as ArchivedFile).date >= dateOf(nowMs) ? FILES_OF_TODAY : 2;
    const run = longestRun(group.sort(orderOf));
    if (run.length < most) continue;
    const events: ArchivedEvent[] = [];
    for (const file of run) events.push(...(await whole(place, file)));
    const joined = await writeEvents(place, { ...(run[0] as ArchivedFile), revision: 0 }, events);
    const removed = new Set(run.map(({ name }) => name));
    return { files: [...files.filter(({ name }) => !removed.has(name)), joined], removed: [...removed] };
  }
  return undefined;
}

/** The longest row of neighbours that fit into one file. */
function longestRun(files: readonly ArchivedFile[]): readonly ArchivedFile[] {
  let longest: readonly ArchivedFile[] = [];
  let run: ArchivedFile[] = [];
  let rows = 0;
  let bytes = 0;
  for (const file of files) {
    if (rows + file.rows > JOINED_ROWS || bytes + file.bytes > JOINED_BYTES) {
      run = [];
      rows = 0;
      bytes = 0;
    }
    run.push(file);
    rows += file.rows;
    bytes += file.bytes;
    if (run.length > longest.length) longest = [...run];
  }
  return longest;
}

/** Removes days that are older than they may be. */
export function dropOldDays({ files }: ArchiveList, keepMs: number, nowMs: number): ArchiveChange | undefined {
  const firstKept = dateOf(nowMs - keepMs);
  const removed = files.filter(({ date }) => date < firstKept).map(({ name }) => name);
  if (removed.length === 0) return undefined;
  return { files: files.filter(({ date }) => date >= firstKept), removed, removedUntil: firstKept };
}

/** Rewrites the files that hold events which match, without these. */
export async function eraseEvents(
  place: ArchivePlace,
  { files }: ArchiveList,
  matches: (event: ArchivedEvent) => boolean,
  dryRun: boolean,
): Promise<ArchiveChange & { readonly erased: number }> {
  const kept: ArchivedFile[] = [];
  const removed: string[] = [];
  let erased = 0;
  for (const file of files) {
    const events = await whole(place, file);
    const others = events.filter((event) => !matches(event));
    erased += events.length - others.length;
    if (others.length === events.length || dryRun) {
      kept.push(file);
      continue;
    }
    if (others.length > 0) kept.push(await writeEvents(place, { ...file, revision: file.revision + 1 }, others));
    removed.push(file.name);
  }
  return { files: kept, removed, erased };
}
