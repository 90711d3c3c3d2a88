import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { LocalRegistry } from '#registry/local/local_registry';
import type { ModelPackage } from '#registry/packages/model_package';
import { servingConfigSchema } from '#serving/config';
import { ModelServer } from '#serving/inference/model_server';
import { PredictionLog } from '#serving/prediction_store/prediction_log';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import { withFeatures } from '#serving/prediction_store/sql_predictions';
import { createServing } from '#serving/server';

/** Until everything that is begun at the start is done. */
export const WARM_MS = 500;

export interface BenchServing {
  readonly serving: HttpService;
  readonly models: ModelServer;
  readonly registry: LocalRegistry;
  /** Resolves when what was answered is logged. */
  flush(): Promise<void>;
  /** Returns how many predictions were answered and not logged. */
  dropped(): Promise<number>;
  stop(): Promise<void>;
}

/** The serving tier in this process, with everything on but places to send predictions to: they are written out, and dropped. */
export async function serveForBench(
  packages: Readonly<Record<string, ModelPackage>>,
  {
    online,
    views = [],
    settings = {},
    isLogging = true,
  }: {
    readonly online?: OnlineStore;
    readonly views?: readonly FeatureView[];
    readonly settings?: object;
    /** Whether predictions are written out; what is not is counted as dropped. */
    readonly isLogging?: boolean;
  } = {},
): Promise<BenchServing> {
  const registry = new LocalRegistry({ kind: 'local', directory: mkdtempSync(join(tmpdir(), 'bench-')) });
  for (const [name, model] of Object.entries(packages)) {
    const { version } = await registry.register({ name, package: model, metrics: {}, params: {} });
    await registry.transition(name, version, 'Production');
  }
  const metrics = createMetricsRegistry();
  const config = servingConfigSchema.parse({
    port: 0,
    models: Object.keys(packages).map((name) => ({ name })),
    ...settings,
  });
  const base = { log: silentLogger, clock: systemClock, metrics };
  const models = new ModelServer({ ...base, registry }, config);
  const sink = {
    target: 'bench',
    write: async (rows: readonly NewPrediction[]) =>
      void rows.map(({ features, ...row }) => withFeatures(row, features)),
  };
  const predictions = new PredictionLog(
    { ...base, sinks: [sink], deadLetters: { write: async () => {} } },
    { maxPending: isLogging ? config.maxPendingLog : 0 },
  );
  const store =
    online ??
    new MemoryOnlineStore({ ...base, ttlMs: new Map() }, { file: join(mkdtempSync(join(tmpdir(), 'bench-')), 'rows') });
  const features = new FeatureReader({ online: store, clock: systemClock }, { views, services: [] });
  await models.start();
  await predictions.start();
  const serving = await createServing({ ...base, models, features, predictions }, config);
  await serving.start();
  await sleep(WARM_MS);
  return {
    ...{ serving, models, registry },
    flush: () => predictions.flush(),
    async dropped() {
      const counted = await metrics.getSingleMetric('prediction_log_dropped_total')?.get();
      return counted?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
    },
    async stop() {
      await serving.stop();
      await predictions.stop();
      await models.stop();
    },
  };
}
