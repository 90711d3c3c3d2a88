import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import type { ModelSignature } from '#registry/model_package';

/**
 * What speaks against looking up a model's features here: its service is defined otherwise than when the model was trained. A service that
 * is not defined here at all is no reason: the model then takes features from requests only.
 */
export function serviceProblems(
  features: Pick<FeatureReader, 'find'>,
  { featureService, inputs }: Pick<ModelSignature, 'featureService' | 'inputs'>,
): readonly string[] {
  const service = featureService === undefined ? undefined : features.find(featureService.service);
  if (featureService === undefined || service === undefined) return [];
  const { signature } = service;
  const { fingerprint } = featureService;
  if (fingerprint !== undefined && fingerprint !== signature.fingerprint) {
    return [
      `it was trained on ${signature.service} as ${fingerprint}, which is ${signature.fingerprint} here: train it again, or run the definitions it knows`,
    ];
  }
  const columns = new Set(signature.columns.map(({ name }) => name));
  const unknown = inputs.filter(({ name }) => !columns.has(name)).map(({ name }) => name);
  return unknown.length === 0 ? [] : [`${signature.service} has no ${unknown.join(', ')}`];
}
