import type { Broker } from '#connectors/connector';
import { DeadLetterQueue } from '#connectors/dead_letters/dead_letters';
import { createFileSystems } from '#connectors/files/file_systems';
import { dataSubject } from '#feature_store/data_subjects/erasable';
import { servicesById } from '#feature_store/definitions/feature_service';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { ExplainValue } from '#feature_store/explanation/value_explanation';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Service } from '#kernel/lifecycle';
import { DAY_MS, systemClock } from '#kernel/time';
import type { HealthSource } from '#monitoring/health';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { ModelRegistry } from '#registry/model_registry';
import type { ConsoleSources, PipelineStatus } from '#serving/console/sources';
import { listChanges } from '#serving/console/sql_changes';
import type { ExplainPrediction } from '#serving/explain/prediction_explanation';
import type { ModelServer } from '#serving/inference/model_server';
import type { ModelVersions } from '#serving/protocol/versions';
import { withEntityData } from '../../data_subjects/entity_data.ts';
import { eraseSubject } from '../../data_subjects/erase_subject.ts';
import { ModelsInUse } from '../../explanation/models_in_use.ts';
import type { OfflineDatabase } from '../../parts/offline_database.ts';
import { lagOf } from '../../parts/partition_lag.ts';
import { replaySinks } from '../../parts/replay_sinks.ts';
import { replayGroupOf } from '../../project/namespace.ts';
import { definitionsOf, type Project } from '../../project/project.ts';
import { ALERT_RULES } from './alert_rules.ts';
import { Catalogue } from './catalogue.ts';
import { Entities, predictionSummary } from './entities.ts';
import { FigureSampler } from './figure_sampler.ts';
import { Letters, letterStatus } from './letters.ts';
import { createMetricReader, type MetricReader } from './metric_reader.ts';
import { overviewOf } from './overview.ts';
import { OwnAlerts } from './own_alerts.ts';
import { searchOver } from './search.ts';
import { Topics, unreadSince } from './topics.ts';
import { countedVersions } from './version_counts.ts';
import { versionDetails } from './version_details.ts';
import { workflowSources } from './workflow_sources.ts';

interface Deps {
  readonly broker: Broker;
  readonly online: Pick<OnlineStore, 'read'>;
  readonly offline: OfflineDatabase;
  readonly registry: ModelRegistry;
  readonly models: ModelServer;
  readonly versions: ModelVersions;
  readonly explain: ExplainValue;
  readonly explainPrediction: ExplainPrediction;
  readonly health: readonly HealthSource[];
  readonly metrics: Registry;
  readonly monitorMetrics: Registry;
  readonly log: Logger;
}

const REPORTS = 200;
const TRAIL = 20;
const RUNS_SEARCHED = 100;
/** How long a request waits for the feature pipeline to forget an entity, ms. */
const ERASURE_WAIT_MS = 30_000;

/** What the console shows, out of broker, stores, registry and metrics; and what measures its figures. */
export function createConsoleSources(
  deps: Deps,
  config: Project,
): { readonly sources: ConsoleSources; readonly sampler: Service } {
  const { broker, online, offline, registry, versions } = deps;
  const { topics, pipeline, monitor, serving, grafana } = config;
  const { views, services } = definitionsOf(config);
  const clock = systemClock;
  const metrics = createMetricReader([deps.metrics, deps.monitorMetrics], serving.console.prometheusUrl);
  const replayGroup = replayGroupOf(config);
  const queue = new DeadLetterQueue(broker, topics.deadLetters, {
    group: replayGroup,
    fileSystems: createFileSystems(),
  });
  const letters = new Letters(queue, broker, topics.rawEvents);
  const jobs = [
    { name: 'features', job: 'pipeline', topic: topics.rawEvents, group: pipeline.group },
    { name: 'monitoring of models', job: 'monitor', topic: topics.predictions, group: monitor.group },
  ];
  const known = new Topics(
    broker,
    [
      { topic: topics.rawEvents, what: 'events as clients have sent them', group: pipeline.group },
      { topic: topics.featureEvents, what: 'rows of features as they were computed', group: undefined },
      { topic: topics.predictions, what: 'answered predictions', group: monitor.group },
      { topic: topics.deadLetters, what: 'records that could not be used', group: replayGroup },
    ],
    clock,
  );
  const ownAlerts = metrics.hasJobs ? undefined : new OwnAlerts({ read: metrics.read, clock }, ALERT_RULES);
  const alerts = async () => ownAlerts?.list() ?? (await metrics.alerts()) ?? [];
  const sampler = new FigureSampler({ metrics, store: offline.figures, alerts: ownAlerts, clock, log: deps.log });
  const counts = countedVersions(offline.predictions);
  const models = new ModelsInUse({ registry, clock }, servicesById({ views, services }));
  const catalogue = new Catalogue({
    ...{ offline, metrics, models, counts, views, services, clock },
    rawEventsTopic: topics.rawEvents,
  });
  const entities = new Entities({ online, offline, views, clock });
  const workflows = workflowSources(offline);
  const allVersions = async () => (await Promise.all((await registry.listModels()).map(versions.list))).flat();
  const changes: ConsoleSources['changes'] = (filter) => listChanges(offline.sql, filter);
  const sources: ConsoleSources = {
    links: { grafana: grafana.enabled ? grafana.url : undefined },
    ...workflows,
    why: { explain: deps.explain, views },
    explainPrediction: deps.explainPrediction,
    overview: overviewOf({
      ...{
        parts: () => deps.health,
        alerts,
        figures: () => sampler.newest,
        models: deps.models,
        counts,
        changes,
        offline,
        clock,
      },
      letters: () => unreadSince(broker, replayGroup, topics.deadLetters, clock.now() - DAY_MS),
    }),
    figures: (range) => offline.figures.read(range),
    pipelines: () => Promise.all(jobs.map((job) => statusOf(broker, metrics, job))),
    features: (filter) => catalogue.listFeatures(filter),
    feature: (view, feature) => catalogue.feature(view, feature),
    views: (filter) => catalogue.listViews(filter),
    view: (id) => catalogue.view(id),
    services: () => catalogue.listServices(),
    service: (id) => catalogue.service(id),
    sourcesOfViews: () => catalogue.sources(),
    lineage: () => catalogue.lineage(),
    entities: {
      names: entities.names,
      details: (entity, id, mayRead) => entities.details(entity, id, mayRead),
      history: (entity, id, of) => entities.history(entity, id, of),
      erase: (entity, id) =>
        withEntityData(config, (data) =>
          eraseSubject(config, data, dataSubject(entities.keyOf(entity, id), config.catalog.views), {
            waitMs: ERASURE_WAIT_MS,
          }),
        ),
    },
    async predictions({ model, untilMs, limit }) {
      const rows = await offline.predictions.list({
        limit,
        ...(model === undefined ? {} : { modelName: model }),
        ...(untilMs === undefined ? {} : { untilMs }),
      });
      return rows.map(predictionSummary);
    },
    topics: () => known.list(),
    messages: (topic, partition, limit) => known.newest(topic, partition, limit),
    changes,
    search: searchOver({
      ...{
        views,
        services,
        entities: entities.names,
        topics: Object.values(topics).filter((name) => typeof name === 'string'),
      },
      versions: allVersions,
      workflows: async () => (await workflows.workflows()).map(({ name }) => name),
      runs: () => offline.workflows.list({ limit: RUNS_SEARCHED }),
    }),
    async version(model, version) {
      const counted = await counts(clock.now() - DAY_MS);
      return versionDetails(
        registry,
        { model, version },
        {
          predictions: counted.get(`${model} ${version}`) ?? 0,
          isView: (id) => views.some((view) => viewId(view) === id),
        },
      );
    },
    letter: (where) => letters.letter(where),
    resend: (where, payload) => letters.resend(where, payload),
    versions: allVersions,
    move: versions.move,
    trail: (model) => offline.modelAudit.list(model, TRAIL),
    drift: () => offline.drift.list({ limit: REPORTS }),
    alerts,
    async deadLetters(filter, limit) {
      const { newest, ...summary } = await queue.summarise(filter, limit);
      return { ...summary, newest: [...newest].reverse().map(letterStatus) };
    },
    async replay(filter) {
      const sinks = replaySinks({
        ...{ online: undefined, offline: async () => offline, broker, featureEventsTopic: topics.featureEvents },
        predictions: { topic: topics.predictions, format: serving.predictionFormat },
      });
      const { replayed, unusable } = await queue.replay(topics.rawEvents, { filter, sinks });
      return { replayed, unusable };
    },
  };
  return { sources, sampler };
}

async function statusOf(
  broker: Broker,
  metrics: MetricReader,
  { name, job, topic, group }: { name: string; job: string; topic: string; group: string },
): Promise<PipelineStatus> {
  const [partitions, lags] = await Promise.all([
    lagOf(broker, group, topic),
    metrics.read('pipeline_watermark_lag_seconds', job),
  ]);
  const known = lags.map(({ value }) => value).filter((value) => Number.isFinite(value));
  return {
    ...{ name, topic, group },
    partitions: partitions.map(({ partition, lag }) => ({ partition, lag })),
    lag: partitions.reduce((sum, { lag }) => sum + lag, 0),
    watermarkLagSeconds: known.length === 0 ? undefined : Math.max(...known),
  };
}
