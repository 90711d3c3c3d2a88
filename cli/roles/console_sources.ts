import type { Broker } from '#connectors/connector';
import { DeadLetterQueue, type FiledLetter, placeOf } from '#connectors/dead_letters/dead_letters';
import { createFileSystems } from '#connectors/files/file_systems';
import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { ExplainValue } from '#feature_store/explanation/value_explanation';
import type { Registry } from '#monitoring/metrics';
import type { ModelRegistry } from '#registry/model_registry';
import type { ConsoleSources, DeadLetterStatus, FeatureStatus, PipelineStatus } from '#serving/console/sources';
import type { ExplainPrediction } from '#serving/explain/prediction_explanation';
import type { ModelVersions } from '#serving/protocol/versions';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { lagOf } from '../parts/partition_lag.ts';
import { replaySinks } from '../parts/replay_sinks.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { replayGroupOf } from '../project/namespace.ts';
import { workflowSources } from './console_workflows.ts';
import { createMetricReader, type MetricReader } from './metric_reader.ts';

interface Deps {
  readonly broker: Broker;
  readonly offline: OfflineDatabase;
  readonly registry: ModelRegistry;
  readonly versions: ModelVersions;
  readonly views: readonly FeatureView[];
  readonly explain: ExplainValue;
  readonly explainPrediction: ExplainPrediction;
  readonly metrics: Registry;
  readonly monitorMetrics: Registry;
}

const REPORTS = 200;
const TRAIL = 20;
const SHOWN_PAYLOAD = 2_000;

/** What the console shows, out of broker, stores, registry and metrics. */
export function createConsoleSources(deps: Deps, config: PlatformConfig): ConsoleSources {
  const { broker, offline, registry, versions, views } = deps;
  const { topics, pipeline, monitor, serving, grafana } = config;
  const metrics = createMetricReader([deps.metrics, deps.monitorMetrics], serving.console.prometheusUrl);
  const queue = new DeadLetterQueue(broker, topics.deadLetters, {
    group: replayGroupOf(config),
    fileSystems: createFileSystems(),
  });
  const jobs = [
    { name: 'features', job: 'pipeline', topic: topics.rawEvents, group: pipeline.group },
    { name: 'monitoring of models', job: 'monitor', topic: topics.predictions, group: monitor.group },
  ];
  return {
    links: { grafana: grafana.enabled ? grafana.url : undefined },
    ...workflowSources(offline),
    why: { explain: deps.explain, views },
    explainPrediction: deps.explainPrediction,
    pipelines: () => Promise.all(jobs.map((job) => statusOf(broker, metrics, job))),
    features: () => featureStatus(offline, views, metrics),
    async versions() {
      const names = await registry.listModels();
      return (await Promise.all(names.map(versions.list))).flat();
    },
    move: versions.move,
    trail: (model) => offline.modelAudit.list(model, TRAIL),
    drift: () => offline.drift.list({ limit: REPORTS }),
    alerts: () => metrics.alerts(),
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

async function featureStatus(
  offline: OfflineDatabase,
  views: readonly FeatureView[],
  metrics: MetricReader,
): Promise<readonly FeatureStatus[]> {
  const [windows, ages] = await Promise.all([
    newestWindows(offline, views),
    metrics.read('feature_freshness_seconds', 'pipeline'),
  ]);
  const freshness = new Map(ages.map(({ labels, value }) => [labels.view, value]));
  return views.flatMap((view) => {
    const id = viewId(view);
    return Object.entries(view.features).map(([feature, { type, description }]): FeatureStatus => {
      const found = windows.get(`${id}|${feature}`);
      return {
        ...{ view: id, feature, type, description, owner: view.owner, freshnessSeconds: freshness.get(id) },
        window:
          found === undefined
            ? undefined
            : {
                start: new Date(found.windowStartMs).toISOString(),
                rows: found.statistics.rows,
                nullShare: found.statistics.rows === 0 ? 0 : found.statistics.nulls / found.statistics.rows,
                mean: found.statistics.mean,
                quantiles: found.statistics.quantiles,
                top: found.statistics.top.slice(0, 5),
              },
      };
    });
  });
}

/** The newest window of each feature: most are among the newest of all; views that have been still for a while are read by name. */
async function newestWindows(
  offline: OfflineDatabase,
  views: readonly FeatureView[],
): Promise<ReadonlyMap<string, WindowStatistics>> {
  const newest = new Map<string, WindowStatistics>();
  const keep = (windows: readonly WindowStatistics[]): void => {
    for (const window of windows) {
      const key = `${viewId(window)}|${window.feature}`;
      if (!newest.has(key)) newest.set(key, window);
    }
  };
  const featuresOf = (view: FeatureView): readonly string[] => Object.keys(view.features);
  const all = views.reduce((sum, view) => sum + featuresOf(view).length, 0);
  keep(await offline.statistics.list({ limit: 2 * all }));
  const still = views.filter((view) => !featuresOf(view).some((feature) => newest.has(`${viewId(view)}|${feature}`)));
  const asked = still.map((view) => offline.statistics.list({ view, limit: featuresOf(view).length }));
  for (const windows of await Promise.all(asked)) keep(windows);
  return newest;
}

function letterStatus(filed: FiledLetter): DeadLetterStatus {
  const { letter, raw } = filed;
  return {
    where: placeOf(filed),
    time: letter?.timestamp ?? '',
    stage: letter?.stage ?? '',
    reason: letter?.reason ?? 'this record is no dead letter',
    attempt: letter?.attempt ?? 0,
    payload: (letter?.payload ?? raw).slice(0, SHOWN_PAYLOAD),
    canBeReplayed: letter !== undefined && letter.isCut !== true,
  };
}
