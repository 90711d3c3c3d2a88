import type { Broker, LogRecord } from '#connectors/connector';
import { type DeadLetter, type FiledLetter, fileOf } from '#connectors/dead_letter';
import { isInText } from '#connectors/entity_mention';
import { recordsOfTopic } from '#connectors/records/topic_records';
import { dataSubject } from '#feature_store/data_subjects/erasable';
import { type FeatureView, readsSource } from '#feature_store/definitions/feature_view';
import { idOwnerOf } from '#feature_store/definitions/joined_sources';
import { type EntityKey, keyIn, parseEntityKey } from '#feature_store/definitions/values/entity_key';
import type { Erasures } from '#feature_store/erasure/erasures';
import type { FoundEvent } from '#feature_store/explanation/entity_replay';
import type { EntityEvents, PlaceRead, RefusedRecord } from '#feature_store/explanation/value_explanation';
import { HOUR_MS, MIN_EVENT_TIME } from '#kernel/time';
import { gapsOf } from '#pipelines/archive/archive_coverage';
import { type ArchiveList, readList } from '#pipelines/archive/archive_list';
import type { ArchivePlace } from '#pipelines/archive/archive_place';
import { dateOf } from '#pipelines/archive/archived_event';
import { EntityScan } from '#pipelines/archive/entity_scan';
import { createEventDecoder, type DecodedEvent } from '#pipelines/events/decode_events';
import { archiveCursor, type HistoryCursor } from '#pipelines/io/history/history_cursors';
import { oldestOf } from '#pipelines/io/history/merged_history';
import { type HistoryDeps, openHistory } from '#pipelines/io/history/open_history';

export interface EntityEventsDeps extends HistoryDeps {
  /** Undefined: it is switched off. */
  readonly archive: ArchivePlace | undefined;
  readonly broker: Pick<Broker, 'kind' | 'listPartitions' | 'openPartition'>;
  readonly erasures: Erasures;
}

export interface EntityEventsSettings {
  readonly rawEventsTopic: string;
  readonly deadLetterTopic: string;
}

/** Clocks of producers may be so far ahead of the broker's. */
const CLOCK_DIFFERENCE_MS = HOUR_MS;
/** What the replay itself says of its events. */
const REPLAYED_STAGES = ['pipeline.compute_features', 'pipeline.quality', 'pipeline.decay'];

/**
 * Reads the events of an entity that a view is computed from, in the order of their arrival: from the archive, what the topic holds after it, and the source's history where the
 * archive does not reach back far enough. What was erased is passed over.
 *
 * @param sinceMs - events of before need not be found
 */
export async function readEntityEvents(
  deps: EntityEventsDeps,
  { rawEventsTopic, deadLetterTopic }: EntityEventsSettings,
  { view, entityKey, sinceMs }: { readonly view: FeatureView; readonly entityKey: EntityKey; readonly sinceMs: number },
): Promise<EntityEvents> {
  const { archive, broker } = deps;
  const list = archive === undefined ? undefined : await readList(archive);
  const isIn = membership(view, entityKey, deps.erasures);
  const { events, places } = await readKept(deps, { view, entityKey, list, sinceMs, isIn });
  if (broker.kind === 'pubsub') {
    const gap = 'Pub/Sub gives a message to one reader, the pipeline: what waits there is not shown';
    return { events, refused: [], places: [...places, { from: `topic ${rawEventsTopic}`, events: 0, gaps: [gap] }] };
  }
  const newest = await readTail(deps, rawEventsTopic, { view, list, sinceMs, isIn });
  const refused = await readRefused(deps, deadLetterTopic, { view, entityKey, sinceMs });
  const tail = { from: `topic ${rawEventsTopic}`, events: newest.length, gaps: [] };
  return { events: [...events, ...newest], refused, places: [...places, tail] };
}

/** What the archive and the source's history hold. */
async function readKept(
  deps: EntityEventsDeps,
  {
    view,
    entityKey,
    list,
    sinceMs,
    isIn,
  }: {
    readonly view: FeatureView;
    readonly entityKey: EntityKey;
    readonly list: ArchiveList | undefined;
    readonly sinceMs: number;
    readonly isIn: IsOfEntity;
  },
): Promise<{ readonly events: readonly FoundEvent[]; readonly places: readonly PlaceRead[] }> {
  const gaps = list === undefined ? [] : gapsOf(list).filter(({ untilMs }) => untilMs > sinceMs);
  const events: FoundEvent[] = [];
  const cursors: { readonly cursor: HistoryCursor; readonly from: string; count: number }[] = [];
  for (const source of view.sources) {
    if (source.history === undefined || !(list === undefined || gaps.length > 0 || view.mode === 'batch')) continue;
    const cursor = openHistory(source.history, [source], deps)(undefined);
    cursors.push({ cursor, from: `history of ${source.name}`, count: 0 });
  }
  const scan = new EntityScan(plainIds(view, entityKey));
  if (deps.archive !== undefined && list !== undefined) {
    const sinceDate = Number.isFinite(sinceMs) ? dateOf(sinceMs) : undefined;
    const open = archiveCursor({ ...deps, place: deps.archive, sources: view.sources, sinceDate, readFile: scan.read });
    cursors.push({ cursor: open(undefined), from: 'archive', count: 0 });
  }
  try {
    const all = cursors.map(({ cursor }) => cursor);
    for (let oldest = await oldestOf(all); oldest !== undefined; oldest = await oldestOf(all)) {
      const { cursor, next } = oldest;
      cursor.take();
      const { element } = next;
      if (!isIn(element)) continue;
      const of = cursors[all.indexOf(cursor)] as (typeof cursors)[number];
      of.count += 1;
      events.push(foundEvent(view, element, of.from, next.place));
    }
  } finally {
    await scan.close();
  }
  const places = cursors.map(({ from, count }) => ({
    ...{ from, events: count },
    gaps: from === 'archive' ? gaps.map(({ reason }) => reason) : [],
  }));
  return { events, places };
}

type UsableEvent = Extract<DecodedEvent, { readonly ok: true }>;
type IsOfEntity = (element: DecodedEvent) => element is UsableEvent;

const foundEvent = (view: FeatureView, element: UsableEvent, from: string, place: string | undefined): FoundEvent => {
  const { eventId, event, eventTimeMs, arrivedAtMs, knownAtMs, traceparent } = element;
  return {
    eventId,
    userId: idOwnerOf(view, element),
    event,
    eventTimeMs,
    arrivedAtMs,
    knownAtMs,
    traceparent,
    from,
    place,
  };
};

function membership(view: FeatureView, key: EntityKey, erasures: Erasures): IsOfEntity {
  return (element): element is UsableEvent =>
    element.ok === true &&
    readsSource(view, element.source) &&
    keyIn(view.entity, element.event) === key &&
    !erasures.isErased(key, element.knownAtMs);
}

/** An id that JSON writes in no other way than as it is, unless with escapes. */
const PLAIN_ID = /^[\w.@:-]+$/;

/** Returns the parts of a key that a payload of its entity holds as they are. */
const plainIds = ({ joinKeyTypes }: FeatureView, key: EntityKey): readonly string[] =>
  parseEntityKey(key)
    .parts.map(String)
    .filter((text, index) => joinKeyTypes[index] === 'string' && PLAIN_ID.test(text));

/** What the topic holds that the archive does not yet, in the order in which its broker has taken it. */
async function readTail(
  { broker, clock }: EntityEventsDeps,
  topic: string,
  {
    view,
    list,
    sinceMs,
    isIn,
  }: {
    readonly view: FeatureView;
    readonly list: ArchiveList | undefined;
    readonly sinceMs: number;
    readonly isIn: IsOfEntity;
  },
): Promise<readonly FoundEvent[]> {
  const decode = createEventDecoder(view.sources, clock);
  const found: { readonly event: FoundEvent; readonly record: LogRecord }[] = [];
  const reading = recordsOfTopic(broker, topic, (partition) => {
    const position = list?.partitions[partition]?.position;
    return position === undefined ? startAt(sinceMs) : { resumeAfter: position };
  });
  for await (const records of reading) {
    for (const record of records) {
      const { element } = decode(record, MIN_EVENT_TIME, topic);
      if (!isIn(element)) continue;
      const place = `${record.partition}/${record.offset}`;
      found.push({ event: foundEvent(view, element, `topic ${topic}`, place), record });
    }
  }
  const partitions = new Set(found.map(({ record }) => record.partition));
  if (partitions.size > 1) found.sort((a, b) => a.record.timestampMs - b.record.timestampMs);
  return found.map(({ event }) => event);
}

const startAt = (sinceMs: number) =>
  Number.isFinite(sinceMs)
    ? { startAt: { timestampMs: Math.max(0, sinceMs - CLOCK_DIFFERENCE_MS) } }
    : { startAt: 'earliest' as const };

/** Records about the entity that were refused before any view saw them. */
async function readRefused(
  { broker, views, erasures }: EntityEventsDeps,
  topic: string,
  { view, entityKey, sinceMs }: { readonly view: FeatureView; readonly entityKey: EntityKey; readonly sinceMs: number },
): Promise<readonly RefusedRecord[]> {
  const { mention } = dataSubject(entityKey, views);
  const erasedAtMs = erasures.erasedAtMs(entityKey) ?? Number.NEGATIVE_INFINITY;
  const types: ReadonlySet<unknown> = new Set(view.events.eventTypes);
  const refused: RefusedRecord[] = [];
  for await (const records of recordsOfTopic(broker, topic, () => startAt(sinceMs))) {
    for (const record of records) {
      const { letter }: FiledLetter = fileOf(record);
      if (letter === undefined || REPLAYED_STAGES.includes(letter.stage)) continue;
      if (Date.parse(letter.timestamp) <= erasedAtMs || !isInText(letter.payload, mention)) continue;
      const { id, type } = namedIn(view, letter);
      if (type !== undefined && !types.has(type)) continue;
      refused.push({ eventId: id, reason: letter.reason, stage: letter.stage, timestamp: letter.timestamp });
    }
  }
  return refused.reverse();
}

/** Returns what a refused event calls itself, as far as it can be read. */
function namedIn({ sources }: FeatureView, { payload }: DeadLetter): { readonly id?: string; readonly type?: unknown } {
  try {
    const fields = JSON.parse(payload) as Readonly<Record<string, unknown>>;
    const source = sources.find(({ eventTypes }) => eventTypes.includes(String(fields.event_type))) ?? sources[0];
    const id = fields[source.eventIdField];
    return { ...(typeof id === 'string' ? { id } : {}), type: fields.event_type };
  } catch {
    return {};
  }
}
