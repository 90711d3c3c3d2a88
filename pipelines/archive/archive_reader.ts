import { type ArchivedFile, readList } from './archive_list.ts';
import type { ArchivePlace } from './archive_place.ts';
import { type ArchivedEvent, type ReadArchivedFile, readEvents } from './archived_event.ts';

/** The last event that was read of a partition. Plain data. */
export interface PartitionPlace {
  readonly generation: number;
  readonly offset: string;
}

/** Where reading an archive stands, by partition. */
export type ArchivePosition = Readonly<Record<string, PartitionPlace>>;

/** What of an archive is read. */
export interface ArchiveRange {
  readonly after?: ArchivePosition;
  readonly until?: ArchivePosition | undefined;
  /** Of the events' own times, UTC, such as 2026-11-28. */
  readonly sinceDate?: string | undefined;
  /** Reads what matters of a file; all of it without it. */
  readonly readFile?: ReadArchivedFile | undefined;
}

interface OpenEvents {
  readonly events: readonly ArchivedEvent[];
  at: number;
}

/** The events of one partition in the order of their offsets. */
class PartitionCursor {
  readonly partition: string;
  readonly #place: ArchivePlace;
  readonly #files: ArchivedFile[];
  readonly #until: PartitionPlace | undefined;
  readonly #readFile: ReadArchivedFile;
  #open: OpenEvents[] = [];
  last: PartitionPlace | undefined;

  /** @param files - of this partition, in order */
  constructor(
    place: ArchivePlace,
    partition: string,
    files: readonly ArchivedFile[],
    {
      after,
      until,
      readFile,
    }: {
      readonly after: PartitionPlace | undefined;
      readonly until: PartitionPlace | undefined;
      readonly readFile: ReadArchivedFile;
    },
  ) {
    this.#place = place;
    this.partition = partition;
    this.#files = files.filter(({ generation, last }) => isAfter({ generation, offset: last }, after));
    this.#until = until;
    this.#readFile = readFile;
    this.last = after;
  }

  /** @returns undefined at the end; `gone` when a file was replaced: the list has to be read again */
  async head(): Promise<ArchivedEvent | undefined | 'gone'> {
    for (;;) {
      const head = this.#smallest();
      const next = this.#files[0];
      if (
        next !== undefined &&
        (head === undefined || !isAfter({ generation: next.generation, offset: next.first }, placeOf(eventOf(head))))
      ) {
        const events = await this.#readFile(this.#place, next);
        if (events === undefined) return 'gone';
        this.#files.shift();
        const at = events.findIndex((event) => isAfter(placeOf(event), this.last));
        if (at >= 0) this.#open.push({ events, at });
        continue;
      }
      if (head === undefined) return undefined;
      const event = eventOf(head);
      return this.#until !== undefined && isAfter(placeOf(event), this.#until) ? undefined : event;
    }
  }

  #smallest(): OpenEvents | undefined {
    let smallest: OpenEvents | undefined;
    for (const open of this.#open) {
      if (smallest === undefined || isAfter(placeOf(eventOf(smallest)), placeOf(eventOf(open)))) smallest = open;
    }
    return smallest;
  }

  /** Steps over the {@link head}. */
  take(): void {
    const open = this.#smallest() as OpenEvents;
    this.last = placeOf(eventOf(open));
    open.at += 1;
    if (open.at >= open.events.length) this.#open = this.#open.filter((other) => other !== open);
  }
}

const eventOf = ({ events, at }: OpenEvents): ArchivedEvent => events[at] as ArchivedEvent;
const placeOf = ({ generation, offset }: ArchivedEvent): PartitionPlace => ({ generation, offset: String(offset) });

const isAfter = (place: PartitionPlace, other: PartitionPlace | undefined): boolean =>
  other === undefined ||
  place.generation > other.generation ||
  (place.generation === other.generation && BigInt(place.offset) > BigInt(other.offset));

const orderOf = (a: ArchivedFile, b: ArchivedFile): number =>
  a.generation - b.generation || (BigInt(a.first) < BigInt(b.first) ? -1 : 1);

/**
 * Reads the events of some types: those of a partition in the order of their offsets, and of partitions the one that its broker took in first. Files that are joined or
 * rewritten meanwhile are followed.
 */
export class ArchiveReader {
  readonly #place: ArchivePlace;
  readonly #types: ReadonlySet<string>;
  readonly #until: ArchivePosition | undefined;
  readonly #sinceDate: string;
  readonly #readFile: ReadArchivedFile;
  #after: ArchivePosition;
  #end: ArchivePosition | undefined;
  #cursors: PartitionCursor[] | undefined;
  #next: { readonly cursor: PartitionCursor; readonly event: ArchivedEvent } | undefined;
  files = 0;

  /** @param range - `until`: the last event of each partition; without it all that is listed when reading begins. `sinceDate`: events of days before it are left out */
  constructor(
    place: ArchivePlace,
    types: Iterable<string>,
    { after = {}, until, sinceDate = '', readFile = readEvents }: ArchiveRange = {},
  ) {
    this.#place = place;
    this.#types = new Set(types);
    this.#after = after;
    this.#until = until;
    this.#sinceDate = sinceDate;
    this.#readFile = readFile;
  }

  async #open(): Promise<PartitionCursor[]> {
    const list = await readList(this.#place);
    // What is added while it reads is for the next time.
    this.#end ??=
      this.#until ??
      Object.fromEntries(
        Object.entries(list?.partitions ?? {}).map(([partition, { generation, last }]) => [
          partition,
          { generation, offset: last },
        ]),
      );
    const files = (list?.files ?? [])
      .filter(({ eventType, date }) => this.#types.has(eventType) && date >= this.#sinceDate)
      .sort(orderOf);
    this.files = files.length;
    const partitions = [...new Set(files.map(({ partition }) => partition))].sort();
    return partitions
      .filter((partition) => this.#end?.[partition] !== undefined)
      .map(
        (partition) =>
          new PartitionCursor(
            this.#place,
            partition,
            files.filter((file) => file.partition === partition),
            { after: this.#after[partition], until: this.#end?.[partition], readFile: this.#readFile },
          ),
      );
  }

  /** @returns the next event; undefined at the end */
  async peek(): Promise<ArchivedEvent | undefined> {
    for (;;) {
      if (this.#next !== undefined) return this.#next.event;
      this.#cursors ??= await this.#open();
      let isGone = false;
      for (const cursor of this.#cursors) {
        const event = await cursor.head();
        if (event === 'gone') {
          isGone = true;
          break;
        }
        if (event === undefined) continue;
        if (this.#next === undefined || event.recordedAtMs < this.#next.event.recordedAtMs)
          this.#next = { cursor, event };
      }
      if (isGone) {
        this.#after = this.position();
        this.#cursors = undefined;
        this.#next = undefined;
      } else if (this.#next === undefined) return undefined;
    }
  }

  take(): void {
    this.#next?.cursor.take();
    this.#next = undefined;
  }

  /** After the last event that was taken. */
  position(): ArchivePosition {
    const read = (this.#cursors ?? []).flatMap(({ partition, last }) =>
      last === undefined ? [] : [[partition, last] as const],
    );
    return { ...this.#after, ...Object.fromEntries(read) };
  }
}
