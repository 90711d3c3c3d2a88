import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { modelVersionsOf } from '#cli/roles/model_versions';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, type Registry } from '#monitoring/metrics';
import { Lifecycle } from '#registry/lifecycle/lifecycle';
import { LocalRegistry } from '#registry/local/local_registry';
import { servingConfigSchema } from '#serving/config';
import { Explainer } from '#serving/explain/explainer';
import { KeptVersions } from '#serving/explain/kept_versions';
import { createPredictionExplainer } from '#serving/explain/prediction_explanation';
import { ModelServer } from '#serving/inference/model_server';
import { examineModel } from '#serving/models/loaded_model';
import type { OutcomesQuery } from '#serving/prediction_store/feedback_store';
import { PredictionLog } from '#serving/prediction_store/prediction_log';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import { createServing } from '#serving/server';
import { tinyModel, tinyView } from './tiny_model.ts';

/** Features of `e0` to `e99`: amounts that count up. */
export const tinyOnline: OnlineStore = {
  kind: 'test',
  name: 'test',
  start: async () => {},
  drain: async () => {},
  stop: async () => {},
  write: async () => ({ written: 0, stale: 0 }),
  increment: async () => 0,
  readCounters: async () => ({}),
  erase: async () => 0,
  read: async (_, keys) => keys.map((key) => (/^e\d\d?$/.test(idOf(key)) ? rowOf(key) : undefined)),
};

const rowOf = (entityKey: EntityKey): FeatureRow => ({
  ...{ view: 'tiny', version: 1, entityKey },
  eventTime: eventTime(Date.UTC(2026, 0, 1)),
  computedAt: processingTime(0),
  values: { amount: Number(idOf(entityKey).slice(1)), count: 2, weekend: false, category: 'a' },
});

export interface TinyServing {
  readonly registry: LocalRegistry;
  readonly models: ModelServer;
  readonly service: HttpService;
  readonly log: PredictionLog;
  readonly logged: readonly NewPrediction[];
  readonly metrics: Registry;
  stop(): Promise<void>;
}

/**
 * Serves version 1 of "tiny", and others that are registered before it starts, in this process.
 *
 * @param offline - where routing and feedback are kept
 */
export async function serveTiny(
  config: object = {},
  prepare: (registry: LocalRegistry) => Promise<void> = async () => {},
  offline?: OfflineDatabase,
): Promise<TinyServing> {
  const directory = mkdtempSync(join(tmpdir(), 'tiny-serving-'));
  const registry = new LocalRegistry({ kind: 'local', directory });
  await registry.register({ name: 'tiny', package: tinyModel(0), metrics: {}, params: {} });
  await registry.transition('tiny', 1, 'Production');
  await prepare(registry);
  const metrics = createMetricsRegistry({ process: false });
  // On a machine with other work, requests wait longer than production would let them.
  const patient = { maxQueueMs: 60_000 };
  const settings = servingConfigSchema.parse({ port: 0, models: [{ name: 'tiny' }], ...patient, ...config });
  const logged: NewPrediction[] = [];
  const base = { log: silentLogger, metrics };
  const kept =
    offline === undefined
      ? {}
      : { routings: offline.routing, outcomes: (query: OutcomesQuery) => offline.feedback.experimentOutcomes(query) };
  const models = new ModelServer({ registry, ...base, ...kept }, settings);
  const versions = modelVersionsOf(
    registry,
    new Lifecycle({ registry, examine: examineModel, checkSignature: () => [] }),
  );
  const log = new PredictionLog(
    {
      sinks: [{ target: 'test', write: async (rows) => void logged.push(...rows) }],
      deadLetters: { write: async () => {} },
      ...base,
    },
    { maxPending: 100_000 },
  );
  const features = new FeatureReader({ online: tinyOnline, clock: systemClock }, { views: [tinyView], services: [] });
  const looked = new KeptVersions(registry, { most: 1 });
  const explainerOf = ({ predictions, feedback, routing, features: rows }: OfflineDatabase) =>
    createPredictionExplainer({
      ...{ predictions, feedback, routing, features: rows, registry, versions: looked, served: settings.models },
      explainer: new Explainer({ evaluations: settings.explainBudget }),
      serviceOf: (id) => features.find(id),
    });
  const service = await createServing(
    {
      ...{ models, features, predictions: log, versions, clock: systemClock, ...base },
      ...(offline === undefined ? {} : { feedback: offline, explainPrediction: explainerOf(offline) }),
    },
    settings,
  );
  await models.start();
  return {
    ...{ registry, models, service, log, logged, metrics },
    async stop() {
      await service.stop();
      await models.stop();
      await looked.close();
    },
  };
}
