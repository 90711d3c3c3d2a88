import type { ArchiveList } from './archive_list.ts';

/** Events that the archive lacks, of before a time. */
export interface ArchiveGap {
  /** All events that arrived later are held. */
  readonly untilMs: number;
  readonly reason: string;
}

/** A view whose state is computed from the archive. */
export interface NeededEvents {
  readonly view: string;
  /** How far back its state reaches, ms. */
  readonly horizonMs: number;
}

/** Beyond, numbers are a broker's own (Kinesis) and do not count from 0. */
const MOST_COUNTED = 2n ** 63n;

/** Returns what the archive of a topic does not hold of it: what came before it began, what the broker had deleted, and days that were removed. */
export function gapsOf({ partitions, gaps, removedUntil }: ArchiveList): readonly ArchiveGap[] {
  const begun = Object.entries(partitions).flatMap(([partition, { first }]): ArchiveGap[] => {
    if (first === undefined || BigInt(first.offset) <= 0n || BigInt(first.offset) >= MOST_COUNTED) return [];
    return [
      {
        untilMs: Date.parse(first.at),
        reason: `partition ${partition} was first read at offset ${first.offset}, at ${first.at}`,
      },
    ];
  });
  const deleted = gaps.map(({ partition, after, at }) => ({
    untilMs: Date.parse(at),
    reason: `the broker had deleted records after offset ${after} of partition ${partition} before they were read, at ${at}`,
  }));
  const removed =
    removedUntil === undefined
      ? []
      : [{ untilMs: Date.parse(removedUntil), reason: `days before ${removedUntil} were removed (archive.keep)` }];
  return [...begun, ...deleted, ...removed];
}

/**
 * Returns since when no event is missing, in event time: all that happened since are in the archive or in the history.
 *
 * @param historyUntilMs - events of before that are read from elsewhere
 */
export function completeSince(list: ArchiveList, historyUntilMs: number): number {
  const uncounted = Object.values(list.partitions).flatMap(({ first }) =>
    first !== undefined && BigInt(first.offset) >= MOST_COUNTED ? [Date.parse(first.at)] : [],
  );
  const times = [...gapsOf(list).map(({ untilMs }) => untilMs), ...uncounted];
  return Math.max(Number.NEGATIVE_INFINITY, ...times.filter((timeMs) => timeMs > historyUntilMs));
}

/**
 * Returns in words which views need events that the archive lacks; undefined when it holds all that they need.
 *
 * @param historyUntilMs - events of before that are read from elsewhere
 */
export function missingEvents(
  list: ArchiveList,
  views: readonly NeededEvents[],
  { nowMs, historyUntilMs }: { readonly nowMs: number; readonly historyUntilMs: number },
): string | undefined {
  const open = gapsOf(list).filter(({ untilMs }) => untilMs > historyUntilMs);
  const lines = views.flatMap(({ view, horizonMs }) => {
    const sinceMs = nowMs - horizonMs;
    const reasons = open.filter(({ untilMs }) => untilMs > sinceMs);
    if (reasons.length === 0) return [];
    const lastMs = Math.max(...reasons.map(({ untilMs }) => untilMs));
    return [
      `${view} needs events since ${isoOf(sinceMs)}: ${reasons.map(({ reason }) => reason).join('; ')}. From ${isoOf(lastMs + horizonMs)} on it needs none of them`,
    ];
  });
  if (lines.length === 0) return undefined;
  return `the archive lacks events that the stream may have counted, and the state computed from it would replace the stream's: ${lines.join('; ')}. Name files that hold them with --in, or replace the state without them with --accept-gaps`;
}

const isoOf = (timeMs: number): string => new Date(timeMs).toISOString();
