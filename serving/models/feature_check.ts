import type { FeatureService, ServiceData } from '#feature_store/definitions/feature_service';
import { inputNames } from '#feature_store/definitions/model_inputs';
import { describeDifference, serviceDifferences } from '#feature_store/definitions/sets/definition_changes';
import { previousFingerprint } from '#feature_store/definitions/sets/previous_fingerprint';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import type { FeatureServiceReference, ModelSignature } from '#registry/packages/model_package';

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
  const differences = definitionProblems(featureService, service);
  if (differences.length > 0) {
    return differences.map(
      (difference) =>
        `it was trained on ${signature.service}, and ${difference}: train it again, or run the definitions it knows`,
    );
  }
  const columns = new Set(inputNames(signature.columns));
  const unknown = inputs.filter(({ name }) => !columns.has(name)).map(({ name }) => name);
  return unknown.length === 0 ? [] : [`${signature.service} has no ${unknown.join(', ')}`];
}

/**
 * How a service is defined otherwise than when a model was trained on it, a sentence each. Models of releases before 0.2 hold a fingerprint of descriptions alone: they are
 * judged by that, as strictly as then. A model that holds no fingerprint (of MLflow, of another trainer) is judged by its columns only.
 */
export function definitionProblems(reference: FeatureServiceReference, service: FeatureService): readonly string[] {
  const { fingerprint, definitions } = reference;
  if (fingerprint === undefined) return [];
  if (definitions === undefined) {
    const now = previousFingerprint(service);
    return fingerprint === now
      ? []
      : [
          `its definitions, then ${fingerprint}, are ${now} now (it was trained before definitions were kept with models)`,
        ];
  }
  if (fingerprint === service.signature.fingerprint) return [];
  return serviceDifferences(service.signature.service, definitions as ServiceData, service.data).map(
    describeDifference,
  );
}
