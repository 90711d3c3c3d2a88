import type { Broker } from '#connectors/connector';
import { createFileSystems } from '#connectors/files/file_systems';
import { servicesById } from '#feature_store/definitions/feature_service';
import type { ExplainValue, UsedBy } from '#feature_store/explanation/value_explanation';
import type { OnlineStore } from '#feature_store/online/online_store';
import { systemClock } from '#kernel/time';
import { createValueExplainer } from '#pipelines/explanation/value_explainer';
import type { ModelRegistry } from '#registry/model_registry';
import { archiveToRead } from '../parts/archive_folder.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { definitionsOf, type Project } from '../project/project.ts';
import { ModelsInUse } from './models_in_use.ts';

/** The newest predictions that are listed. */
const PREDICTIONS = 20;

/** Returns what explains values with the stores, broker and registry of a project. */
export function openExplainer(
  {
    broker,
    online,
    offline,
    registry,
  }: {
    readonly broker: Broker;
    readonly online: Pick<OnlineStore, 'read'>;
    readonly offline: OfflineDatabase;
    readonly registry: ModelRegistry;
  },
  config: Project,
): ExplainValue {
  const { topics, pipeline, catalog } = config;
  const models = new ModelsInUse({ registry, clock: systemClock }, servicesById(definitionsOf(config)));
  return createValueExplainer(
    {
      ...{ broker, online, offline, clock: systemClock, views: catalog.views },
      ...{ archive: archiveToRead(config), fileSystems: createFileSystems(), outOfOrderMs: pipeline.outOfOrderMs },
      async usedBy({ view, feature, entityKey, atMs }): Promise<UsedBy> {
        const versions = await models.using(view, feature);
        const names = new Set(versions.map(({ name }) => name));
        const rows =
          names.size === 0 ? [] : await offline.predictions.list({ entityKeys: [entityKey], limit: 5 * PREDICTIONS });
        return {
          models: versions.map(({ name, version, stage }) => ({ name, version, stage })),
          predictions: rows
            .filter(({ modelName, predictedAtMs }) => names.has(modelName) && predictedAtMs <= atMs)
            .slice(0, PREDICTIONS)
            .map(({ predictionId, requestId, modelName, modelVersion, predictedAtMs }) => ({
              ...{ predictionId, requestId, model: modelName, version: modelVersion, timeMs: predictedAtMs },
            })),
        };
      },
    },
    {
      rawEventsTopic: topics.rawEvents,
      deadLetterTopic: topics.deadLetters,
      allowedLatenessMs: pipeline.allowedLatenessMs,
    },
  );
}
