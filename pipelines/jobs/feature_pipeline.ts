import type { Broker, Producer } from '#connectors/connector';
import type { LargeLetters } from '#connectors/dead_letters/dead_letter_writer';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import type { FileSystemOf } from '#connectors/files/file_systems';
import { shownPath } from '#connectors/files/history_files';
import { DefinitionError } from '#feature_store/definitions/errors';
import { type FeatureView, readsSource } from '#feature_store/definitions/feature_view';
import {
  type Entity,
  type EventSource,
  filesOfHistory,
  type History,
  type QueryHistorySpec,
} from '#feature_store/definitions/sources/source';
import { entityOf } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { Erasures } from '#feature_store/erasure/erasures';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OfflineStores } from '#feature_store/offline_stores';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { ArchivePlace } from '#pipelines/archive/archive_place';
import type { ArchivePosition } from '#pipelines/archive/archive_reader';
import { createEventDecoder, type DecodedEvent, unreadableEvent } from '#pipelines/events/decode_events';
import { createRowDecoder } from '#pipelines/events/row_decoder';
import { BrokerSource, type OffsetOutOfRangePolicy } from '#pipelines/io/broker_source';
import { archiveCursor, type OpenCursor } from '#pipelines/io/history/history_cursors';
import { HistorySource } from '#pipelines/io/history/history_source';
import { type HistoryRows, MergedHistory } from '#pipelines/io/history/merged_history';
import { openHistory, QUERY_PAGE, queryHistory, readingOf } from '#pipelines/io/history/open_history';
import { QuerySource } from '#pipelines/io/query_source';
import { createSourceMetrics } from '#pipelines/io/source_metrics';
import type { PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { filter, flatten, keyedCoder, parDo, parDoTagged, read } from '#pipelines/model/transforms';
import { ApplyErasures } from '#pipelines/transforms/apply_erasures';
import { type ComputedRow, ComputeFeatures, DEAD, SplitInvalid } from '#pipelines/transforms/compute_features';
import type { FailureLimit } from '#pipelines/transforms/failure_limit';
import type { FeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { writeStatistics } from '#pipelines/transforms/feature_statistics';
import { KeyByEntity } from '#pipelines/transforms/key_by_entity';
import { WriteDeadLetters, WriteRows } from '#pipelines/transforms/write_rows';

/** Where features go, and what they are. */
export interface FeatureDeps {
  /** For the feature-events topic and the dead letters. */
  readonly producer: Producer;
  readonly online: OnlineStore;
  readonly offline: Pick<OfflineStores, 'features' | 'history' | 'statistics' | 'erasures'>;
  readonly views: readonly FeatureView[];
  readonly metrics: FeatureMetrics;
  readonly log: Logger;
  readonly clock: Clock;
  /** Those that are known at start; more come with the events. None without it. */
  readonly erasures?: Erasures;
  /** Removes snapshots that were taken before an erasure. */
  readonly discardSnapshots?: () => Promise<void>;
}

export interface FeaturePipelineDeps extends Omit<FeatureDeps, 'producer'> {
  readonly broker: Broker;
}

export interface FeatureSettings {
  /** Undefined: computed rows are not published. */
  readonly featureEventsTopic: string | undefined;
  readonly deadLetterTopic: string;
  /** When the features of a view fail for too many events, it stops. */
  readonly failureLimit?: FailureLimit;
  /** Ids of views that start again although they had stopped. */
  readonly resumedViews?: readonly string[];
  /** Where dead letters go that are too large for their topic. */
  readonly largeLetters?: LargeLetters;
  /** How old an event may be when it arrives and count, ms (docs/adr/0020). */
  readonly allowedLatenessMs: number;
  readonly deduplication?: { readonly maxIdsPerEntity: number };
  /** Length of the windows that statistics of features are of; undefined: none are made. */
  readonly statisticsWindowMs?: number;
}

export interface FeaturePipelineSettings extends FeatureSettings {
  readonly rawEventsTopic: string;
  readonly group: string;
  readonly outOfOrderMs: number;
  readonly idleAfterMs: number;
  /** Where reading continues when retention has deleted what comes next; `fail` without it. */
  readonly offsetOutOfRange?: OffsetOutOfRangePolicy;
  /** What becomes of a batch that cannot be read; `fail` without it. */
  readonly unreadableBatches?: 'fail' | 'dead_letter';
  /** Ends when the topic has been read, for back-fill and tests. */
  readonly bounded?: boolean;
}

type Usable = Extract<DecodedEvent, { ok: true | 'erasure' }>;

/**
 * Events to features, for every view: read and check, then for each view key by entity, compute, write. Adding a view to the
 * catalog is all it takes to add it here.
 */
export function buildFeaturePipeline(
  root: PipelineRoot,
  deps: FeaturePipelineDeps,
  settings: FeaturePipelineSettings,
): void {
  const { broker, metrics, clock } = deps;
  const views = deps.views.filter(({ mode }) => mode === 'streaming');
  const source = new BrokerSource<DecodedEvent>(broker, {
    topics: [settings.rawEventsTopic],
    group: settings.group,
    startAt: 'earliest',
    outOfOrderMs: settings.outOfOrderMs,
    idleAfterMs: settings.idleAfterMs,
    metrics: createSourceMetrics(metrics.registry),
    log: deps.log,
    offsetOutOfRange: settings.offsetOutOfRange ?? 'fail',
    ...(settings.unreadableBatches === 'dead_letter' ? { unreadable: unreadableEvent } : {}),
    decode: createEventDecoder([...new Set(views.flatMap((view) => view.sources))], clock, deps.erasures),
    ...(settings.bounded === undefined ? {} : { bounded: settings.bounded }),
  });
  const records = root.apply(read(settings.rawEventsTopic, source, 'ReadEvents'));
  computeFeatures(records, { ...deps, views, producer: broker.producer }, settings, settings.bounded !== true);
}

export interface BackfillSettings extends FeatureSettings {
  /**
   * By view id, features that are computed beside the others: rows of history keep the values of the others, and what is online stays, to be refreshed from history. Other views
   * are computed whole.
   */
  readonly features?: Readonly<Record<string, readonly string[]>>;
  /** Id that rows of history are noted with; none without it. */
  readonly backfill?: string;
  /** Instead of the histories of the views' sources. */
  readonly history?: History;
  readonly outOfOrderMs: number;
  readonly fileSystems?: FileSystemOf;
  /** Called as reading continues. */
  readonly onProgress?: (progress: BackfillProgress) => void;
  /** The archive of raw events: the history of sources that declare no other, and what follows on that of the others. */
  readonly archive?: ArchivePlace;
  /** The archive is read up to these events; undefined: to its end. */
  readonly archiveUntil?: ArchivePosition;
  /** Called when all was read, where the state is handed over: the job is to be drained then. */
  readonly onCaughtUp?: () => void;
  /** Called for each dead letter. */
  readonly onRefused?: (letter: DeadLetter) => void;
}

export interface BackfillProgress {
  /** Where it reads now: a file, or a source's query. */
  readonly from: string;
  readonly files: number;
  /** Read so far, before a restart too. */
  readonly rows: number;
  /** Rows before this piece. */
  readonly before: number;
  /** Of each history, where several are read as one: the archive is the last. */
  readonly rowsOf?: readonly HistoryRows[];
}

/** The same from history, oldest first: what the stream would have computed, had it read it. */
export function buildBackfillPipeline(root: PipelineRoot, deps: FeatureDeps, settings: BackfillSettings): void {
  const sources = [...new Set(deps.views.flatMap((view) => view.sources))];
  const { archive, history, onRefused } = settings;
  const sinks = sinksOfBackfill(deps, settings);
  // Events of a view that come from several histories are read in the order of their times: none waits long for the others.
  const areJoined = history === undefined && deps.views.some((view) => view.sources.length > 1);
  if (archive !== undefined || areJoined) {
    const events = readInOrder(root, archive, sources, deps, settings);
    computeFeatures(events, deps, settings, false, onRefused, sinks);
    return;
  }
  // One history for all of them, or each its own.
  const parts =
    history === undefined
      ? sources.map((source) => ({ name: `History of ${source.name}`, history: historyOf(source), sources: [source] }))
      : [{ name: 'ReadHistory', history, sources }];
  const collections = parts.map((part) => readHistory(root, part, deps, settings));
  const [only, ...others] = collections;
  const records = only !== undefined && others.length === 0 ? only : flatten(collections, 'AllHistory');
  computeFeatures(records, deps, settings, false, onRefused, sinks);
}

/** Where rows of a back-fill go. */
function sinksOfBackfill(
  { online, offline }: Pick<FeatureDeps, 'online' | 'offline'>,
  { features = {}, backfill }: Pick<BackfillSettings, 'features' | 'backfill'>,
): Sinks {
  const writer = { backfill };
  if (Object.keys(features).length === 0)
    return { online, offline: { write: (rows) => offline.features.write(rows, writer) } };
  const isWhole = (row: FeatureRow): boolean => features[viewId(row)] === undefined;
  return {
    online: { write: (rows) => online.write(rows.filter(isWhole)) },
    offline: {
      async write(rows) {
        await offline.features.write(rows.filter(isWhole), writer);
        for (const [id, names] of Object.entries(features)) {
          const part = rows.filter((row) => viewId(row) === id);
          if (part.length > 0) await offline.features.writeFeatures(part, names, writer);
        }
      },
    },
  };
}

interface Sinks {
  readonly online: Pick<OnlineStore, 'write'>;
  readonly offline: Pick<OfflineStore, 'write'>;
}

/** The histories of the sources, and the archive after them where there is one, as one. */
function readInOrder(
  root: PipelineRoot,
  place: ArchivePlace | undefined,
  sources: readonly EventSource[],
  { offline, clock, views }: FeatureDeps,
  { history: given, outOfOrderMs, fileSystems, onProgress, onCaughtUp, archiveUntil: until }: BackfillSettings,
): PCollection<DecodedEvent> {
  const cursorOf = (history: History, of: readonly EventSource[]): OpenCursor =>
    openHistory(history, of, { offline, clock, views, fileSystems, outOfOrderMs });
  const own =
    given === undefined
      ? sources.flatMap((source) =>
          place !== undefined && source.history === undefined ? [] : [cursorOf(historyOf(source), [source])],
        )
      : [cursorOf(given, sources)];
  const merged = new MergedHistory({
    histories: place === undefined ? own : [...own, archiveCursor({ place, sources, outOfOrderMs, until })],
    outOfOrderMs,
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(onCaughtUp === undefined ? {} : { onCaughtUp }),
  });
  return root.apply(read('history', merged, 'ReadHistory'));
}

function historyOf({ name, history }: EventSource): History {
  if (history === undefined) throw new DefinitionError([`source ${name} has no history: say where its past lies`]);
  return history;
}

function readHistory(
  root: PipelineRoot,
  part: { readonly name: string; readonly history: History; readonly sources: readonly EventSource[] },
  { offline, clock, views }: FeatureDeps,
  { outOfOrderMs, fileSystems, onProgress }: BackfillSettings,
): PCollection<DecodedEvent> {
  const { name, history, sources } = part;
  const decode = createRowDecoder(sources, clock, views);
  const files = filesOfHistory(history);
  if (files !== undefined) {
    const source = new HistorySource<DecodedEvent>({
      patterns: files,
      reading: readingOf(history, sources),
      outOfOrderMs,
      decode,
      ...(fileSystems === undefined ? {} : { fileSystems }),
      onProgress: ({ file, ...counts }) => onProgress?.({ from: shownPath(file), ...counts }),
    });
    return root.apply(read('history', source, name));
  }
  // Rows say when and which they are in the fields that the sources agree on.
  const [{ timestampField, eventIdField: idField }] = sources as readonly [EventSource];
  const { query, database } = history as QueryHistorySpec;
  const pages = queryHistory(offline, database);
  const source = new QuerySource<DecodedEvent>({
    readPage: (after) => pages.read(query, { timestampField, idField, after, limit: QUERY_PAGE }),
    timestampField,
    idField,
    decode,
    onProgress: (counts) => onProgress?.({ from: name, files: 0, ...counts }),
  });
  return root.apply(read('history', source, name));
}

function computeFeatures(
  records: PCollection<DecodedEvent>,
  deps: FeatureDeps,
  settings: FeatureSettings,
  isLive: boolean,
  onRefused?: (letter: DeadLetter) => void,
  sinks: Sinks = { online: deps.online, offline: deps.offline.features },
): void {
  const { producer, views, metrics, log } = deps;
  const valid = records.apply(
    parDoTagged(new SplitInvalid(metrics, settings), { dead: DEAD }, { name: 'SplitInvalid' }),
  );
  const usable = valid.main as PCollection<Usable>;
  const rows: PCollection<ComputedRow>[] = [];
  const dead = [valid.dead];
  const entities = [...new Map(views.map(({ entity }) => [entity.name, entity])).values()];
  for (const [index, view] of views.entries()) {
    const reportedBy = entitiesBySource(views.slice(0, index), view);
    const id = viewId(view);
    // An event that identifies no entity is one dead letter, not one for each view.
    const reports = view.sources.filter(({ name }) => reporterOf(views, view.entity, name) === view);
    const keyed = usable
      .apply(filter((element) => isFor(view, element), `Events for ${id}`))
      .apply(
        parDoTagged(
          new KeyByEntity(view, new Set(reports.map(({ name }) => name)), metrics),
          { dead: DEAD },
          { name: `Key ${id} by ${view.entity.name}`, coder: keyedCoder() },
        ),
      );
    const computed = keyed.main.apply(
      parDoTagged(
        new ComputeFeatures(
          view,
          { metrics, log, erasures: deps.erasures, entities },
          { ...settings, isLive, reportedBy, maxIdsPerEntity: settings.deduplication?.maxIdsPerEntity },
        ),
        { dead: DEAD },
        { name: `Compute ${id}` },
      ),
    );
    rows.push(computed.main);
    dead.push(keyed.dead, computed.dead);
    if (settings.statisticsWindowMs !== undefined) {
      const statistics = { windowMs: settings.statisticsWindowMs, isLive };
      const to = { statistics: deps.offline.statistics, log, metrics: metrics.registry };
      dead.push(computed.main.apply(writeStatistics(view, to, statistics)));
    }
  }
  if (isLive) {
    usable
      .apply(filter(({ ok }) => ok === 'erasure', 'Erasures'))
      .apply(parDo(new ApplyErasures(deps, settings.featureEventsTopic), { name: 'ApplyErasures' }));
  }
  const sink = new WriteRows({
    online: sinks.online,
    offline: sinks.offline,
    events: producer,
    featureEventsTopic: settings.featureEventsTopic,
    metrics,
    log,
  });
  dead.push(flatten(rows, 'AllRows').apply(parDo(sink, { name: 'WriteRows' })));
  flatten(dead, 'AllDeadLetters').apply(
    parDo(
      new WriteDeadLetters(
        { producer, log, metrics: metrics.registry },
        { topic: settings.deadLetterTopic, large: settings.largeLetters },
        onRefused,
      ),
      { name: 'WriteDeadLetters' },
    ),
  );
}

/** An erasure is for every view of its entity. */
const isFor = (view: FeatureView, element: Usable): boolean =>
  element.ok === 'erasure' ? entityOf(element.entityKey) === view.entity.name : readsSource(view, element.source);

const reporterOf = (views: readonly FeatureView[], of: Entity, source: string): FeatureView | undefined =>
  views.find((view) => view.entity.name === of.name && readsSource(view, source));

/** The entities of views before one, by the sources that they have in common with it. */
const entitiesBySource = (before: readonly FeatureView[], { sources }: FeatureView) =>
  new Map(
    sources.map(({ name }) => [name, before.filter((view) => readsSource(view, name)).map(({ entity }) => entity)]),
  );
