import { type AskedMoment, type ComparisonRange, ViewComparison } from '#feature_store/comparison/view_comparison';
import { type FeatureView, readsSource } from '#feature_store/definitions/feature_view';
import { idOwnerOf } from '#feature_store/definitions/joined_sources';
import { keyIn } from '#feature_store/definitions/values/entity_key';
import type { Erasures } from '#feature_store/erasure/erasures';
import type { FoundEvent } from '#feature_store/explanation/entity_replay';
import { gapsOf } from '#pipelines/archive/archive_coverage';
import { readList } from '#pipelines/archive/archive_list';
import type { ArchivePlace } from '#pipelines/archive/archive_place';
import { dateOf } from '#pipelines/archive/archived_event';
import type { DecodedEvent } from '#pipelines/events/decode_events';
import { archiveCursor, type HistoryCursor } from '#pipelines/io/history/history_cursors';
import { oldestOf } from '#pipelines/io/history/merged_history';
import { type HistoryDeps, openHistory } from '#pipelines/io/history/open_history';
import { EntityBuckets } from './entity_buckets.ts';

export interface ComparisonDeps extends HistoryDeps {
  readonly archive: ArchivePlace | undefined;
  readonly erasures: Erasures;
}

/** What was compared, and what it was computed from. */
export interface ComparedViews {
  readonly comparison: ViewComparison;
  /** Such as `archive`. */
  readonly from: string;
  readonly events: number;
  /** What the place does not hold, in words. */
  readonly gaps: readonly string[];
}

/** Entities are computed in so many parts: memory holds the events of one. */
const BUCKETS = 256;
const EVENTS_A_REPORT = 100_000;

/**
 * Computes two definitions on the same history and compares them. Their events are read once, in the order of their arrival, and put on disk by entity.
 *
 * @param asked - moments within the range at which both are read besides
 * @param onProgress - called every so many events
 * @returns undefined where there is neither an archive nor a history of each source
 */
export async function compareViews(
  deps: ComparisonDeps,
  [before, after]: readonly [FeatureView, FeatureView],
  range: ComparisonRange,
  {
    asked = [],
    onProgress = () => {},
  }: { readonly asked?: readonly AskedMoment[]; readonly onProgress?: (events: number) => void } = {},
): Promise<ComparedViews | undefined> {
  const comparison = new ViewComparison(before, after, range, asked);
  const fromMs = range.sinceMs - comparison.horizonMs;
  const opened = await openEvents(deps, before, fromMs);
  if (opened === undefined) return undefined;
  const { cursors, from, gaps } = opened;
  const buckets = await EntityBuckets.create<Omit<FoundEvent, 'from'>>(BUCKETS);
  let events = 0;
  try {
    for (let oldest = await oldestOf(cursors); oldest !== undefined; oldest = await oldestOf(cursors)) {
      oldest.cursor.take();
      const { element } = oldest.next;
      const key = entityOf(before, element, deps.erasures);
      if (key === undefined || element.ok !== true) continue;
      const { eventId, event, eventTimeMs, arrivedAtMs, knownAtMs } = element;
      const userId = idOwnerOf(before, element);
      if (eventTimeMs < fromMs || eventTimeMs > range.untilMs) continue;
      await buckets.add(key, { eventId, userId, event, eventTimeMs, arrivedAtMs, knownAtMs });
      events += 1;
      if (events % EVENTS_A_REPORT === 0) onProgress(events);
    }
    for await (const [key, held] of buckets.entities()) {
      comparison.add(
        key,
        held.map((event) => ({ ...event, from })),
      );
    }
    comparison.finish();
  } finally {
    await buckets.close();
  }
  return { comparison, from, events, gaps };
}

async function openEvents(
  deps: ComparisonDeps,
  { sources, events }: FeatureView,
  fromMs: number,
): Promise<
  { readonly cursors: readonly HistoryCursor[]; readonly from: string; readonly gaps: readonly string[] } | undefined
> {
  const { archive } = deps;
  const list = archive === undefined ? undefined : await readList(archive);
  if (archive !== undefined && list !== undefined) {
    const of = { ...deps, place: archive, sources, sinceDate: dateOf(fromMs) };
    const gaps = gapsOf(list).filter(({ untilMs }) => untilMs > fromMs);
    return { cursors: [archiveCursor(of)(undefined)], from: 'archive', gaps: gaps.map(({ reason }) => reason) };
  }
  const cursors = sources.flatMap((source) =>
    source.history === undefined ? [] : [openHistory(source.history, [source], deps)(undefined)],
  );
  if (cursors.length < sources.length) return undefined;
  return { cursors, from: `history of ${events.name}`, gaps: [] };
}

/** Returns the entity of an event that the view counts; undefined where it counts none, or the entity was erased. */
function entityOf(view: FeatureView, element: DecodedEvent, erasures: Erasures) {
  if (element.ok !== true || !readsSource(view, element.source)) return undefined;
  const key = keyIn(view.entity, element.event);
  return key === undefined || erasures.isErased(key, element.knownAtMs) ? undefined : key;
}
