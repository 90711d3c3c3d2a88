import type { ServiceData } from '#feature_store/definitions/feature_service';
import { columnOfInput } from '#feature_store/definitions/model_inputs';
import { describeDifference, serviceDifferences } from '#feature_store/definitions/sets/definition_changes';
import type { KnownService } from '#feature_store/definitions/sets/definition_set';
import type { ModelVersion } from '#registry/model_registry';
import type { ModelSignature } from '#registry/packages/model_package';
import { openRegistry } from '../parts/open_registry.ts';
import { initialModels } from '../project/initial_models.ts';
import type { Project } from '../project/project.ts';

/** A version that serves, or may come to serve: in Production or Staging, or with an alias. */
export interface ModelInUse {
  /** `fraud_detector 3 (Production)` */
  readonly id: string;
  readonly signature: ModelSignature;
}

/** Reads the signatures of the versions in use. A model without a version in a local registry gets its first one when the platform starts: that counts as in use. */
export async function modelsInUse(
  project: Pick<Project, 'registry' | 'extensions' | 'models'>,
): Promise<readonly ModelInUse[]> {
  const registry = openRegistry(project);
  const found: ModelInUse[] = [];
  try {
    const names = await registry.listModels();
    for (const initial of registry.kind === 'local' ? initialModels(project.models) : []) {
      if (names.includes(initial.name)) continue;
      const { package: first } = await initial.load();
      found.push({ id: `${initial.name} (initial)`, signature: first.signature });
    }
    for (const name of names) {
      for (const model of await registry.listVersions(name)) {
        if (!isInUse(model)) continue;
        const { signature } = await registry.download(model);
        const roles = [model.stage, ...model.aliases.map((alias) => `@${alias}`)].filter((role) => role !== 'None');
        found.push({ id: `${name} ${model.version} (${roles.join(', ')})`, signature });
      }
    }
  } finally {
    await registry.close();
  }
  return found;
}

const isInUse = ({ stage, aliases }: ModelVersion): boolean =>
  stage === 'Production' || stage === 'Staging' || (stage !== 'Archived' && aliases.length > 0);

export type Services = Readonly<Record<string, KnownService>>;

/**
 * Returns what definitions `next` break for a model that `before` do not, a sentence each. A model that keeps the definitions it was trained on is compared with these, one of
 * an earlier release with those of before.
 */
export function problemsOfModel(model: ModelInUse, before: Services, next: Services): readonly string[] {
  const known = new Set(problemsWith(model, before, before));
  return problemsWith(model, before, next).filter((problem) => !known.has(problem));
}

/** Returns how `services` differ from the definitions that a model was trained on. */
export function problemsWith({ signature }: ModelInUse, before: Services, services: Services): readonly string[] {
  const { featureService, inputs } = signature;
  if (featureService === undefined) return [];
  const { service, fingerprint, definitions } = featureService;
  const current = services[service];
  if (current === undefined) return [`${service} was removed`];
  const missing = inputs.filter(({ name }) => columnOfInput(current.data.columns, name) === undefined);
  // Trained by an earlier release, or elsewhere: it fits the definitions of before.
  const trained = (definitions as ServiceData | undefined) ?? before[service]?.data;
  const differences = trained === undefined ? [] : serviceDifferences(service, trained, current.data);
  const named = new Set(differences.map(({ feature }) => feature));
  const problems = [
    ...differences.map(describeDifference),
    ...missing.filter(({ name }) => !named.has(name)).map(({ name }) => `feature ${name} of ${service} was removed`),
  ];
  const isKept = definitions !== undefined || fingerprint === undefined || current.previous === undefined;
  if (problems.length > 0 || isKept || fingerprint === current.previous) return problems;
  return [
    `${service} has other features than when it was trained (fingerprint ${fingerprint}, now ${current.previous}), and it keeps no definitions to compare: train it again`,
  ];
}

/** Returns whether a model reads features of a service or view. */
export function usesAny({ signature }: ModelInUse, ids: readonly string[], services: Services): boolean {
  const { featureService } = signature;
  if (featureService === undefined) return false;
  const { service, definitions } = featureService;
  const data = (definitions as ServiceData | undefined) ?? services[service]?.data;
  return ids.some((id) => id === service || data?.views[id] !== undefined || data?.onDemand[id] !== undefined);
}
