import { z } from 'zod';
import type { Broker } from '#connectors/connector';
import type { SinkReplay } from '#connectors/dead_letters/dead_letters';
import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import { rowJson } from '#feature_store/definitions/values/encode_row';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { type Service, startAll } from '#kernel/lifecycle';
import type { DriftReport } from '#monitoring/drift/drift_report';
import { createLogger } from '#monitoring/log';
import type { FeedbackRow } from '#serving/prediction_store/feedback_store';
import { type PredictionFormat, sendPredictions } from '#serving/prediction_store/prediction_records';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import type { Project } from '../project/project.ts';
import type { OfflineDatabase } from './offline_database.ts';
import { openOffline, openOnline } from './open_parts.ts';
import { UnusableRowError } from './unusable_row_error.ts';

const rowSchema = z.object({
  view: z.string(),
  version: z.int(),
  entityKey: z.string(),
  eventTime: z.number(),
  computedAt: z.number(),
  values: z.record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.null()])),
});

const predictionSchema = z.looseObject({
  predictionId: z.string(),
  requestId: z.string(),
  rowIndex: z.int(),
  modelName: z.string(),
  modelVersion: z.int(),
  prediction: z.string(),
  predictedAtMs: z.number(),
  features: z.record(z.string(), z.unknown()),
});
const feedbackSchema = z.strictObject({
  predictionId: z.string(),
  rowIndex: z.int(),
  label: z.string().optional(),
  value: z.number().optional(),
  receivedAtMs: z.number(),
});
const driftSchema = z.looseObject({
  model: z.string(),
  version: z.int(),
  windowStartMs: z.number(),
  windowMs: z.number(),
  rows: z.int(),
  columns: z.array(z.looseObject({ column: z.string() })),
  reportedAtMs: z.number(),
});
const statisticsSchema = z.looseObject({ view: z.string(), version: z.int(), feature: z.string() });

export interface ReplayTargets {
  /** Opens a store when a letter needs it. Undefined: its letters cannot be replayed here. */
  readonly online: (() => Promise<OnlineStore>) | undefined;
  readonly offline: () => Promise<OfflineDatabase>;
  readonly broker: Pick<Broker, 'producer' | 'hasHeaders'>;
  readonly featureEventsTopic: string;
  readonly predictions: { readonly topic: string; readonly format: PredictionFormat };
}

/** The platform's own sinks, which take the rows that they have refused: writing a row again changes nothing else. */
export function replaySinks({
  online,
  offline,
  broker,
  featureEventsTopic,
  predictions,
}: ReplayTargets): ReadonlyMap<string, SinkReplay> {
  const sinks = new Map<string, SinkReplay>([
    ['sink.offline_store', async (payload) => void (await (await offline()).features.write([rowOf(payload)]))],
    [
      'sink.feature_events',
      async (payload) => {
        const row = rowOf(payload);
        await broker.producer.send(featureEventsTopic, [{ key: row.entityKey, value: rowJson(row) }]);
      },
    ],
    [
      'sink.feature_statistics',
      async (payload) => {
        await (await offline()).statistics.write([parse<WindowStatistics>(statisticsSchema, payload)]);
      },
    ],
    [
      'sink.drift_reports',
      async (payload) => void (await (await offline()).drift.write([parse<DriftReport>(driftSchema, payload)])),
    ],
    [
      'prediction_log.prediction_store',
      async (payload) => {
        await (await offline()).predictions.write([parse<NewPrediction>(predictionSchema, payload)]);
      },
    ],
    [
      'prediction_log.prediction_topic',
      async (payload) => {
        await sendPredictions(broker, predictions, [parse<NewPrediction>(predictionSchema, payload)]);
      },
    ],
    [
      'serving.feedback',
      async (payload) => void (await (await offline()).feedback.write([parse<FeedbackRow>(feedbackSchema, payload)])),
    ],
  ]);
  if (online !== undefined) {
    sinks.set('sink.online_store', async (payload) => void (await (await online()).write([rowOf(payload)])));
  }
  return sinks;
}

/** The stores of a configuration, or those of the platform that runs and has their folders; each is opened when it is first needed. */
export class LazyStores {
  readonly #config: Project;
  readonly #log = createLogger({ level: 'error' });
  readonly #open: AsyncDisposable[] = [];
  #online: Promise<OnlineStore> | undefined;
  #offline: Promise<OfflineDatabase> | undefined;

  constructor(config: Project) {
    this.#config = config;
  }

  readonly online = (): Promise<OnlineStore> => {
    this.#online ??= openOnline(this.#config, this.#log, this.#config.catalog.views).then((store) =>
      this.#started(store),
    );
    return this.#online;
  };

  readonly offline = (): Promise<OfflineDatabase> => {
    this.#offline ??= openOffline(this.#config, this.#log).then((store) => this.#started(store));
    return this.#offline;
  };

  async #started<T extends Service>(store: T): Promise<T> {
    this.#open.push(await startAll([store], new AbortController().signal));
    return store;
  }

  async close(): Promise<void> {
    for (const one of this.#open.splice(0)) await one[Symbol.asyncDispose]();
  }
}

const rowOf = (payload: string): FeatureRow => parse<FeatureRow>(rowSchema, payload);

/** @throws {@link UnusableRowError} */
function parse<Row>(schema: z.ZodType, payload: string): Row {
  let body: unknown;
  try {
    body = JSON.parse(payload);
  } catch (error) {
    throw new UnusableRowError('it is not JSON', error);
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new UnusableRowError(z.prettifyError(parsed.error));
  return parsed.data as Row;
}
