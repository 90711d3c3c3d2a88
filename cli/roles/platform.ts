import { join } from 'node:path';
import { createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { createGateway } from '#connectors/gateway/gateway';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { AuditAnchorWriter } from '#feature_store/audit/anchor_writer';
import { ContractMonitor } from '#feature_store/contracts/contract_monitor';
import { checkDefinitions } from '#feature_store/definition_store/check_definitions';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow, ViewReference } from '#feature_store/definitions/values/feature_row';
import { CachedOnlineStore } from '#feature_store/online/cached_store';
import { FallbackOnlineStore } from '#feature_store/online/fallback_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { OnlineStoreRefill, type RefillDeps } from '#feature_store/online/refill';
import { pushesOf } from '#feature_store/push/push_rows';
import { ConsistencyMonitor } from '#feature_store/retrieval/consistency_monitor';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { createOnlineStore, ttlsOf } from '#feature_store/stores';
import { type RunningServices, type Service, startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { HttpService } from '#monitoring/http/http_service';
import type { TlsConfig } from '#monitoring/http/tls_config';
import type { Logger } from '#monitoring/log';
import { createMetricExporters } from '#monitoring/metric_exporters';
import { createMetricsRegistry } from '#monitoring/metrics';
import { isTraced, Tracing } from '#monitoring/tracing';
import { metricsOfAll } from '#monitoring/worker_metrics';
import type { FeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { KeptModels } from '#registry/kept_models';
import { type AuditEntry, Lifecycle } from '#registry/lifecycle/lifecycle';
import type { ModelRegistry } from '#registry/model_registry';
import type { ModelSignature } from '#registry/packages/model_package';
import { KeptVersions } from '#serving/explain/kept_versions';
import { ModelServer } from '#serving/inference/model_server';
import { serviceProblems } from '#serving/models/feature_check';
import { examineModel } from '#serving/models/loaded_model';
import { createPredictionTable } from '#serving/prediction_store/dynamodb_predictions';
import { PredictionLog, type PredictionSink } from '#serving/prediction_store/prediction_log';
import { sendPredictions } from '#serving/prediction_store/prediction_records';
import { createServing } from '#serving/server';
import { openExplainer } from '../explanation/open_explainer.ts';
import { openPredictionExplainer } from '../explanation/open_prediction_explainer.ts';
import { createJobHttp, type EmbeddedJob } from '../jobs/embedded_job.ts';
import { StateHandOver } from '../jobs/state_hand_over.ts';
import { objectStoreOf } from '../object_store/object_store.ts';
import { largeLetters } from '../parts/large_letters.ts';
import { createOfflineDatabase, type OfflineDatabase } from '../parts/offline_database.ts';
import { openSigningAnchors } from '../parts/open_anchors.ts';
import { createArchive } from '../parts/open_archive.ts';
import { openRegistry } from '../parts/open_registry.ts';
import { PendingRegistrations, registrationQueue } from '../parts/registrations.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { recordsBesideViews } from '../project/definition_records.ts';
import { definitionsOf, type Project } from '../project/project.ts';
import type { Role } from '../terminal/choices.ts';
import { createConsoleSources } from './console/console_sources.ts';
import { ControlServer } from './control_server.ts';
import { createHealth, watchPredictionSinks } from './health.ts';
import { modelVersionsOf } from './model_versions.ts';
import { createMonitorJob } from './monitor_service.ts';
import { createFeatureJob } from './pipeline_service.ts';
import { isServingWorker } from './serving_workers.ts';
import { createWorkflowServices, workflowApi, workflowsOf } from './workflows/workflow_worker.ts';

/** Versions that stay loaded to explain what they have answered. */
const EXPLAINED_VERSIONS = 2;

/** A running platform: what its commands need of it. */
export interface Platform {
  readonly services: RunningServices;
  readonly broker: Broker;
  readonly offline: OfflineDatabase;
  readonly registry: ModelRegistry;
  readonly models: ModelServer;
  readonly predictions: PredictionLog;
  readonly pipeline: EmbeddedJob;
  readonly featureMetrics: FeatureMetrics;
  /** Where each started role answers. */
  readonly urls: Readonly<Partial<Record<Role, string>>>;
  readonly listeners: Readonly<Record<Role, HttpService>>;
}

/**
 * Wires the parts that `roles` need and starts them: stores and broker first, then what works on them, the listeners last. All roles in one
 * process by default; in production each in its own.
 */
export async function startPlatform(
  config: Project,
  log: Logger,
  roles: readonly Role[],
  prepare: (parts: { readonly registry: ModelRegistry }) => Promise<void> = async () => {},
): Promise<Platform> {
  const clock = systemClock;
  const metrics = createMetricsRegistry();
  const { catalog, extensions } = config;
  const { views, services: featureServices } = definitionsOf(config);
  const base = { log, clock, metrics, views };
  const broker = await createBroker(base, config.broker, extensions.connectors);
  const offline = createOfflineDatabase(
    { ...base, views: catalog.views },
    config.offlineStore,
    extensions.offlineStores,
  );
  const store = createOnlineStore(base, config.onlineStore, extensions.onlineStores);
  const refills = createRefills({ ...base, store, offline }, config, roles);
  const readable = new FallbackOnlineStore(store, {
    ...base,
    offline,
    ttlMs: ttlsOf(views),
  });
  const online = new CachedOnlineStore(readable, metrics, config.cache);
  const features = new FeatureReader({ online, clock }, { views, services: featureServices });
  const registry = openRegistry(config);
  const registrations = new PendingRegistrations(registrationQueue(config), { registry, log });
  const { topics } = config;

  const checkSignature = (signature: ModelSignature) => serviceProblems(features, signature);
  const objectStore = objectStoreOf(config);
  const record = async (entry: AuditEntry): Promise<void> => {
    await offline.modelAudit.write(entry);
    await objectStore
      ?.syncVersions(registry, entry.model, entry)
      .catch((error: unknown) => log.warn({ error, model: entry.model }, 'object_store.sync_failed'));
  };
  const lifecycle = new Lifecycle({ registry, examine: examineModel, checkSignature, record }, config.promotion);
  const models = new ModelServer(
    {
      ...{ registry, log, metrics, checkSignature, routings: offline.routing },
      // A local registry is there when this machine is.
      kept: registry.kind === 'local' ? undefined : new KeptModels(join(config.dataDirectory, 'served_models')),
      outcomes: (query) => offline.feedback.experimentOutcomes(query),
      promote: async (name, version, authorship) => {
        await lifecycle.promote(name, version, { ...authorship, stage: 'Production' });
      },
    },
    config.serving,
  );
  const deadLetters = new DeadLetterWriter(
    { producer: broker.producer, log, metrics },
    { topic: topics.deadLetters, large: largeLetters(config) },
  );
  const watched = watchPredictionSinks(predictionSinks(broker, offline, config), () => clock.now());
  const predictions = new PredictionLog(
    { sinks: watched.sinks, deadLetters, log, metrics },
    { maxPending: config.serving.maxPendingLog },
  );
  const { job: pipeline, metrics: featureMetrics } = createFeatureJob({ ...base, broker, online, offline }, config);
  const archive = createArchive({ broker, log, metrics }, config);
  const handOvers =
    archive === undefined
      ? undefined
      : new StateHandOver({ ...base, broker, online, offline, job: pipeline, archive }, config);
  // Two jobs of one process, each with metrics of its own.
  const monitorMetrics = createMetricsRegistry({ process: roles.includes('monitor') });
  const monitor = createMonitorJob({ ...base, metrics: monitorMetrics, broker, offline, registry }, config);
  // Of a process of its own, the monitor's listener shows the monitor's metrics alone.
  const isMonitorAlone = roles.every((role) => role === 'monitor');
  const health = createHealth(
    {
      ...{ broker, online, offline, registry },
      metrics: isMonitorAlone ? monitorMetrics : metrics,
      jobs: { pipeline: [pipeline, ...refills], monitor: [monitor], serving: [watched.source] },
    },
    config,
    roles,
  );
  const { consistencyInterval, contractInterval } = config.features;
  // What is in the stores is compared, not what is cached of it.
  const stores = { ...base, online: readable, offline };
  const consistency =
    consistencyInterval === 'off'
      ? []
      : [new ConsistencyMonitor(stores, { intervalMs: durationMs(consistencyInterval), sample: 200 })];
  const contracts =
    contractInterval === 'off' ? [] : [new ContractMonitor(stores, { intervalMs: durationMs(contractInterval) })];
  const versions = modelVersionsOf(registry, lifecycle);
  // What the store holds, and not what is cached of it.
  const explain = openExplainer({ broker, online: readable, offline, registry }, config);
  const looked = new KeptVersions(registry, { most: EXPLAINED_VERSIONS });
  const explainPrediction = openPredictionExplainer({ offline, registry, versions: looked }, config);
  const consoleDeps = {
    ...{ broker, online: readable, offline, registry, models, versions, explain, explainPrediction, log },
    ...{ metrics, monitorMetrics, health: health.of('serving').sources },
  };
  const shown = config.serving.console.enabled ? createConsoleSources(consoleDeps, config) : undefined;
  const scrape = isServingWorker() ? metricsOfAll(metrics) : undefined;
  const secured = <T extends { readonly tls?: TlsConfig | undefined }>(listener: T): T => ({
    ...listener,
    tls: listener.tls ?? config.tls,
  });
  const workflows = await workflowsOf(roles);
  const listeners: Record<Role, HttpService> = {
    gateway: await createGateway(
      {
        ...{
          ...base,
          producer: broker.producer,
          deadLetters,
          eventTypes: catalog.sources,
          health: health.of('gateway'),
          plugins: extensions.plugins.gateway,
        },
        allowedLatenessMs: config.pipeline.allowedLatenessMs,
      },
      secured(config.gateway),
      { rawEvents: topics.rawEvents, deadLetters: topics.deadLetters },
    ),
    pipeline: await createJobHttp(
      { log, metrics, health: health.of('pipeline'), plugins: extensions.plugins.pipeline, jobs: [pipeline] },
      { ...secured(config.pipeline), name: 'pipeline', portSetting: 'PIPELINE_PORT' },
    ),
    monitor: await createJobHttp(
      {
        ...{ log, metrics: monitorMetrics, health: health.of('monitor'), plugins: extensions.plugins.monitor },
        jobs: [monitor],
        api: workflowApi({ catalog: workflows, offline }),
      },
      { ...secured(config.monitor), name: 'monitor', portSetting: 'MONITOR_PORT' },
    ),
    features: await createFeatureApi(
      {
        ...base,
        store: online,
        features,
        statistics: offline.statistics,
        embeddings: offline.embeddings,
        history: offline.features,
        health: health.of('features'),
        plugins: extensions.plugins.features,
        pushes: pushesOf(catalog.views, { online, offline }, base.clock),
        explain,
      },
      secured(config.featureApi),
    ),
    serving: await createServing(
      {
        ...base,
        models,
        features,
        predictions,
        feedback: offline,
        deadLetters,
        versions,
        explainPrediction,
        console: shown?.sources,
        scrape,
        health: health.of('serving'),
        plugins: extensions.plugins.serving,
      },
      secured(config.serving),
    ),
  };
  if (!config.metrics.enabled) for (const listener of Object.values(listeners)) listener.hideMetrics();
  const anchors = openSigningAnchors(offline, config);
  const needsOffline = roles.some((role) => role !== 'gateway');
  const prepared: Service = {
    name: 'topics and models',
    async start() {
      const { partitions } = topics;
      const names = [topics.rawEvents, topics.featureEvents, topics.deadLetters, topics.predictions];
      if (needsOffline) await checkDefinitions(offline.definitions, catalog.views, recordsBesideViews(catalog));
      await broker.ensureTopics(names.map((name) => ({ name, partitions })));
      await prepare({ registry });
    },
    drain: async () => {},
    async stop() {
      await looked.close();
      await registry.close();
    },
  };
  const workers = createWorkflowServices(
    { catalog: workflows, offline, registry, log, metrics: monitorMetrics },
    config,
  );
  const shownMetrics = {
    ...(isMonitorAlone ? {} : { platform: metrics }),
    ...(roles.includes('monitor') ? { monitor: monitorMetrics } : {}),
  };
  const wanted = (role: Role, ...services: Service[]): Service[] => (roles.includes(role) ? services : []);
  const services = await startAll(
    [
      ...(isTraced() ? [new Tracing()] : []),
      ...createMetricExporters(shownMetrics, log, config.metrics),
      broker,
      online,
      ...(needsOffline ? [offline] : []),
      ...(anchors !== undefined && needsOffline
        ? [new AuditAnchorWriter({ anchors, log, metrics }, durationMs(config.audit.anchor?.every ?? '10s'))]
        : []),
      prepared,
      ...health.probes,
      ...refills,
      new ControlServer(
        { broker, online, offline, ...(roles.includes('pipeline') ? { archive, stream: handOvers } : {}) },
        log,
        config,
      ),
      ...wanted('pipeline', ...(archive === undefined ? [] : [archive]), pipeline, listeners.pipeline),
      ...wanted('pipeline', ...(handOvers === undefined ? [] : [handOvers])),
      ...wanted('features', ...consistency, ...contracts, listeners.features),
      ...wanted('serving', registrations, models, predictions, ...(shown === undefined ? [] : [shown.sampler])),
      ...wanted('serving', listeners.serving),
      ...wanted('monitor', monitor, ...workers, listeners.monitor),
      ...wanted('gateway', listeners.gateway),
    ],
    new AbortController().signal,
  );
  const urls = Object.fromEntries(roles.map((role) => [role, listeners[role].url]));
  return { services, broker, offline, registry, models, predictions, pipeline, featureMetrics, urls, listeners };
}

/** A role besides the pipeline fills the online store only when no pipeline has begun to for so long. */
const STANDBY_MS = 15_000;

/** Of stores that another process can empty. */
function createRefills(
  { store, ...deps }: Omit<RefillDeps, 'online'> & { readonly store: OnlineStore },
  { onlineStore }: PlatformConfig,
  roles: readonly Role[],
): readonly OnlineStoreRefill[] {
  const { contents } = store;
  const reads = roles.some((role) => role !== 'gateway' && role !== 'monitor');
  if (contents === undefined || onlineStore.kind !== 'redis' || !reads) return [];
  const online = {
    contents,
    write: (rows: readonly FeatureRow[]) => store.write(rows),
    read: (view: ViewReference, keys: readonly EntityKey[]) => store.read(view, keys),
    erase: (of: readonly ViewReference[], key: EntityKey) => store.erase(of, key),
  };
  const standbyMs = roles.includes('pipeline') ? 0 : STANDBY_MS;
  return [new OnlineStoreRefill({ ...deps, online }, { ...onlineStore.refill, standbyMs })];
}

/** Predictions go to their topic, to the offline store for audit, and to a table beside the online store where one is configured. */
const predictionSinks = (
  broker: Broker,
  offline: OfflineDatabase,
  { topics, serving, onlineStore }: PlatformConfig,
): readonly PredictionSink[] => [
  {
    target: 'prediction topic',
    write: (rows) => sendPredictions(broker, { topic: topics.predictions, format: serving.predictionFormat }, rows),
  },
  { target: 'prediction store', write: (rows) => offline.predictions.write(rows) },
  ...[createPredictionTable(onlineStore)].filter((table) => table !== undefined),
];
