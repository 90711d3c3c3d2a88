import { servicesById } from '#feature_store/definitions/feature_service';
import type { ModelRegistry } from '#registry/model_registry';
import { Explainer } from '#serving/explain/explainer';
import type { KeptVersions } from '#serving/explain/kept_versions';
import { createPredictionExplainer, type ExplainPrediction } from '#serving/explain/prediction_explanation';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { definitionsOf, type Project } from '../project/project.ts';

/** Returns what explains predictions with the offline database and the registry of a project. */
export function openPredictionExplainer(
  {
    offline,
    registry,
    versions,
  }: { readonly offline: OfflineDatabase; readonly registry: ModelRegistry; readonly versions: KeptVersions },
  config: Project,
): ExplainPrediction {
  const { serving } = config;
  const services = servicesById(definitionsOf(config));
  return createPredictionExplainer({
    ...{ predictions: offline.predictions, feedback: offline.feedback, routing: offline.routing },
    ...{ features: offline.features, registry, versions, served: serving.models },
    explainer: new Explainer({ evaluations: serving.explainBudget }),
    serviceOf: (id) => services.get(id),
  });
}
