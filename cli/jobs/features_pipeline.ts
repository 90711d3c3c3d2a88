import { z } from 'zod';
import { checkDefinitions } from '#feature_store/definition_store/check_definitions';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { History } from '#feature_store/definitions/sources/source';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { Erasures } from '#feature_store/erasure/erasures';
import { UnknownViewError } from '#feature_store/errors';
import type { OnlineStore } from '#feature_store/online/online_store';
import { writeUnerased } from '#feature_store/online/write_unerased';
import { type Consistency, compareStores } from '#feature_store/retrieval/consistency';
import { type Service, startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import { createLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import {
  type BackfillSettings,
  buildBackfillPipeline,
  buildFeaturePipeline,
  type FeatureDeps,
} from '#pipelines/jobs/feature_pipeline';
import type { Construct } from '#pipelines/model/graph';
import { createFeatureMetrics, type FeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { archiveToRead } from '../parts/archive_folder.ts';
import { largeLetters } from '../parts/large_letters.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { openBroker, openOffline, openOnline } from '../parts/open_parts.ts';
import { recordsBesideViews } from '../project/definition_records.ts';
import { definitionsOf, loadProject, type Project } from '../project/project.ts';
import { UsageError } from '../terminal/usage_error.ts';

/** A pipeline with what it holds open. */
export interface OpenPipeline {
  readonly construct: Construct;
  close(): Promise<void>;
}

/** The stores of the configuration, started, and what of the catalog it runs. */
async function openStores(
  config: Project,
  log = createLogger({ level: config.log.level }),
  more: readonly Service[] = [],
) {
  const base = { log, clock: systemClock, metrics: createMetricsRegistry(), views: definitionsOf(config).views };
  const online = await openOnline(config, log, base.views);
  const offline = await openOffline(config, log);
  const services = await startAll([...more, online, offline], new AbortController().signal);
  return { ...base, online, offline, close: async () => services[Symbol.asyncDispose]() };
}

/** What the platform's pipelines work on: the broker as well. */
async function openBrokerAndStores(config: Project) {
  const log = createLogger({ level: config.log.level });
  const broker = await openBroker(config, log);
  const stores = await openStores(config, log, [broker]);
  const { topics } = config;
  const names = [topics.rawEvents, topics.featureEvents, topics.deadLetters];
  await broker.ensureTopics(names.map((name) => ({ name, partitions: topics.partitions })));
  await checkDefinitions(stores.offline.definitions, config.catalog.views, recordsBesideViews(config.catalog));
  const erasures = new Erasures();
  erasures.load(await stores.offline.erasures.read(0));
  return { ...stores, broker, erasures, metrics: createFeatureMetrics(stores.metrics) };
}

/**
 * The platform's own pipeline, as `headwater pipelines run features` and `headwater pipelines worker features` take it: with the broker and the stores of the
 * configuration, on whatever runner. Option `bounded=true` ends at what the topic holds now.
 */
export async function openFeaturesPipeline(options: Readonly<Record<string, string>>): Promise<OpenPipeline> {
  const config = await loadProject();
  const { close, ...deps } = await openBrokerAndStores(config);
  const { topics, pipeline } = config;
  return {
    construct: (root) =>
      buildFeaturePipeline(root, deps, {
        ...pipeline,
        ...statisticsOf(config),
        rawEventsTopic: topics.rawEvents,
        featureEventsTopic: topics.featureEvents,
        deadLetterTopic: topics.deadLetters,
        largeLetters: largeLetters(config),
        bounded: options.bounded === 'true',
      }),
    close,
  };
}

export interface OpenBackfill extends OpenPipeline {
  readonly metrics: FeatureMetrics;
  /** Those that are computed. */
  readonly views: readonly FeatureView[];
}

/**
 * `headwater features backfill`, and `headwater pipelines run backfill --option in=s3://bucket/**` on any runner: features of history. Options: `in`, patterns of
 * files, comma-separated, or `query`, a query of the offline store's database, instead of where the sources say that their past lies; `views`,
 * ids of those to compute: otherwise all that have a past.
 */
export async function openBackfillPipeline(
  options: Readonly<Record<string, string>>,
  { metrics, ...hooks }: BackfillHooks & { readonly metrics?: FeatureMetrics } = {},
): Promise<OpenBackfill> {
  const config = await loadProject();
  const views = backfillViews(config, options);
  const { close, broker, ...deps } = await openBrokerAndStores(config);
  const counted = { ...deps, metrics: metrics ?? deps.metrics };
  const construct = constructBackfill({ ...counted, views, producer: broker.producer }, config, options, hooks);
  return { construct, metrics: counted.metrics, views, close };
}

type BackfillHooks = Pick<BackfillSettings, 'onProgress' | 'onRefused' | 'onCaughtUp' | 'archiveUntil' | 'backfill'>;

/** The views of a back-fill with these options. */
export function backfillViews(config: Project, options: Readonly<Record<string, string>>): readonly FeatureView[] {
  const isChosen = historyOption(options) !== undefined || (options.views ?? '') !== '' || config.archive.enabled;
  return chosenViews(config, options.views).filter(
    ({ sources, mode }) => mode !== 'push' && (isChosen || sources.every(({ history }) => history !== undefined)),
  );
}

/** The pipeline of a back-fill with these options. */
export function constructBackfill(
  deps: FeatureDeps,
  config: Project,
  options: Readonly<Record<string, string>>,
  hooks: BackfillHooks,
): Construct {
  const history = historyOption(options);
  const archive = archiveToRead(config);
  const { topics, pipeline } = config;
  const features = featuresOption(options);
  return (root) =>
    buildBackfillPipeline(root, deps, {
      ...hooks,
      ...(history === undefined ? {} : { history }),
      ...(archive === undefined ? {} : { archive }),
      // Statistics are of whole rows.
      ...(features === undefined ? statisticsOf(config) : { features }),
      outOfOrderMs: pipeline.outOfOrderMs,
      allowedLatenessMs: pipeline.allowedLatenessMs,
      deduplication: pipeline.deduplication,
      featureEventsTopic: undefined,
      deadLetterTopic: topics.deadLetters,
      largeLetters: largeLetters(config),
      failureLimit: pipeline.failureLimit,
    });
}

const featuresSchema = z.record(z.string(), z.array(z.string()).min(1));

/** Option `features` of a back-fill: by view id, those that are computed beside the others, as JSON. */
export const featuresOption = ({
  features,
}: Readonly<Record<string, string>>): Readonly<Record<string, readonly string[]>> | undefined =>
  features === undefined ? undefined : featuresSchema.parse(JSON.parse(features));

function historyOption(options: Readonly<Record<string, string>>): History | undefined {
  const [first, ...others] = (options.in ?? '').split(',').filter((pattern) => pattern !== '');
  if (first !== undefined && options.query !== undefined) throw new UsageError('say --in or --query, not both');
  if (options.query !== undefined) return { query: options.query };
  return first === undefined ? undefined : { files: [first, ...others] };
}

/** The setting of pipelines for statistics of features. */
export function statisticsOf({ features }: Pick<Project, 'features'>): { readonly statisticsWindowMs?: number } {
  const { statisticsWindow } = features;
  return statisticsWindow === 'off' ? {} : { statisticsWindowMs: durationMs(statisticsWindow) };
}

function chosenViews(config: Project, ids: string | undefined): readonly FeatureView[] {
  const { views } = definitionsOf(config);
  if (ids === undefined || ids === '') return views;
  return ids.split(',').map((id) => {
    const view = views.find((candidate) => viewId(candidate) === id);
    if (view === undefined) throw new UnknownViewError(id, views.map(viewId));
    return view;
  });
}

/** Puts each entity's newest offline row into the online store; a newer one that is there stays. @returns rows by view id */
export async function rebuildOnline(
  ids: string | undefined,
  onProgress: (rows: number) => void,
): Promise<Readonly<Record<string, number>>> {
  const config = await loadProject();
  const views = chosenViews(config, ids);
  const { close, online, offline } = await openStores(config);
  const counts: Record<string, number> = {};
  let total = 0;
  try {
    for (const view of views) {
      counts[viewId(view)] = await writeNewestOnline(view, { online, offline }, (rows) => onProgress(total + rows));
      total += counts[viewId(view)] ?? 0;
    }
  } finally {
    await close();
  }
  return counts;
}

/** Puts each entity's newest row of history into the online store; a newer one that is there stays. @returns how many rows */
export async function writeNewestOnline(
  view: FeatureView,
  {
    online,
    offline,
  }: { readonly online: OnlineStore; readonly offline: Pick<OfflineDatabase, 'features' | 'erasures'> },
  onProgress: (rows: number) => void = () => {},
): Promise<number> {
  let after: EntityKey | undefined;
  let written = 0;
  for (;;) {
    const readAtMs = Date.now();
    const rows = await offline.features.newestRows(view, { limit: PAGE, ...(after === undefined ? {} : { after }) });
    if (rows.length === 0) return written;
    await writeUnerased({ online, offline }, rows, readAtMs);
    after = rows.at(-1)?.entityKey;
    written += rows.length;
    onProgress(written);
  }
}

/** @returns how far the stores agree, by view id */
export async function compareViews(
  ids: string | undefined,
  sample: number,
): Promise<Readonly<Record<string, Consistency>>> {
  const config = await loadProject();
  const views = chosenViews(config, ids);
  const { close, ...stores } = await openStores(config);
  try {
    const compared: Record<string, Consistency> = {};
    for (const view of views) compared[viewId(view)] = await compareStores(view, stores, sample);
    return compared;
  } finally {
    await close();
  }
}

const PAGE = 1_000;
