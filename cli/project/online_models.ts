import { ConfigError } from '#configs/errors';
import { servicesById } from '#feature_store/definitions/feature_service';
import { modelInputsOf } from '#feature_store/definitions/model_inputs';
import type { OnlineModelSettings } from '#pipelines/jobs/online_learners';
import { definitionsOf, type Project } from './project.ts';

/** Returns the models that learn from each outcome. @throws {@link ConfigError} for one whose service is not switched on here */
export function onlineModels(project: Project): readonly OnlineModelSettings[] {
  const services = servicesById(definitionsOf(project));
  return Object.entries(project.training).flatMap(([model, training]) => {
    if (training.trainer !== 'online') return [];
    const service = services.get(training.service);
    if (service === undefined) {
      throw new ConfigError(`training.${model}.service: ${training.service} is not defined or not switched on here`);
    }
    const chosen = new Set(training.columns ?? service.columns.map(({ name }) => name));
    const { params, every, keep, mostCategories } = training;
    return {
      ...{ model, service: training.service, classes: training.labels.feedback },
      ...{ ...params, every, keep, mostCategories },
      columns: modelInputsOf(service.columns.filter(({ name }) => chosen.has(name))).map(({ name, type }) => ({
        name,
        type,
      })),
    };
  });
}
