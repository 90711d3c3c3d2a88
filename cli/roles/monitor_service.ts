import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Broker } from '#connectors/connector';
import { STATISTICS_FILE } from '#feature_store/retrieval/training_set';
import type { Clock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { buildMonitoringPipeline } from '#pipelines/jobs/monitoring_pipeline';
import type { ReferenceOf, TrainingReference } from '#pipelines/transforms/drift/compare_with_training';
import { ArtifactIntegrityError, InvalidModelError } from '#registry/errors';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import { DamagedFileError } from '#storage/errors';
import { parseJsonFile } from '#storage/json_file';
import { EmbeddedJob } from '../jobs/embedded_job.ts';
import { largeLetters } from '../parts/large_letters.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { onlineModels } from '../project/online_models.ts';
import type { Project } from '../project/project.ts';

interface Deps {
  readonly broker: Broker;
  readonly offline: OfflineDatabase;
  readonly registry: ModelRegistry;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
}

/** Watching models at work, as a job of this process. */
export function createMonitorJob(deps: Deps, config: Project): EmbeddedJob {
  const { monitor, topics, dataDirectory, health } = config;
  const { window, every, performance, settle, snapshotIntervalMs, ...settings } = monitor;
  const parts = {
    ...deps,
    drift: deps.offline.drift,
    online: { checkpoints: deps.offline.checkpoints, models: onlineModels(config), settleMs: durationMs(settle) },
    registry: deps.metrics,
    referenceOf: trainingReferences(deps.registry),
  };
  return new EmbeddedJob(
    deps,
    {
      name: 'monitoring of models',
      snapshotDirectory: join(dataDirectory, 'monitor'),
      snapshotIntervalMs,
      stalledAfterMs: durationMs(health.stalledAfter),
    },
    (root) =>
      buildMonitoringPipeline(root, parts, {
        ...settings,
        ...{ windowMs: durationMs(window), everyMs: durationMs(every), performanceMs: durationMs(performance) },
        predictionsTopic: topics.predictions,
        deadLetterTopic: topics.deadLetters,
        largeLetters: largeLetters(config),
      }),
  );
}

const REFERENCES = 200;
/** A version does not change; that there is none may. */
const KEPT_MS = 600_000;

const distributionSchema = z.object({
  ...{ rows: z.number(), nulls: z.number(), sampled: z.number() },
  ...{ min: z.number().nullable(), max: z.number().nullable() },
  quantiles: z.array(z.number()),
  top: z.array(z.tuple([z.string(), z.number()])),
});
const statisticsSchema = z.record(z.string(), distributionSchema);

/**
 * Reads the statistics of a version.
 *
 * @throws {@link InvalidModelError} for a file that was changed or cannot be used: reading it again would not help, and other versions continue
 */
async function columnsOf(registry: ModelRegistry, version: ModelVersion): Promise<TrainingReference['columns']> {
  const file = `${STATISTICS_FILE} of ${version.name} ${version.version}`;
  try {
    const bytes = await registry.attachment(version, STATISTICS_FILE);
    if (bytes === undefined) return {};
    const parsed = statisticsSchema.safeParse(parseJsonFile(file, bytes, 'register the model again'));
    if (parsed.success) return parsed.data;
    throw new InvalidModelError([`${file} is not as trainers write it: ${z.prettifyError(parsed.error)}`]);
  } catch (error) {
    if (error instanceof DamagedFileError || error instanceof ArtifactIntegrityError) {
      throw new InvalidModelError([error.message], error);
    }
    throw error;
  }
}

/** What versions were trained on, out of the registry. */
export function trainingReferences(registry: ModelRegistry): ReferenceOf {
  const kept = new LRUCache<string, { readonly reference: TrainingReference | undefined }>({
    ...{ max: REFERENCES, ttl: KEPT_MS },
  });
  return async (model, version) => {
    const key = `${model}|${version}`;
    const known = kept.get(key);
    if (known !== undefined) return known.reference;
    const found = await registry.resolve(model, { version });
    const reference =
      found === undefined ? undefined : { columns: await columnsOf(registry, found), metrics: found.metrics };
    kept.set(key, { reference });
    return reference;
  };
}
