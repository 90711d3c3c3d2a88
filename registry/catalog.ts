import type { z } from 'zod';
import { type Extension, type MethodList, resolveExtension, withMethods } from '#configs/extension';
import { type Clock, systemClock } from '#kernel/time';
import type { RegistryConfig } from './config.ts';
import { LocalRegistry } from './local/local_registry.ts';
import type { ArtifactFiles } from './mlflow/artifacts.ts';
import { MlflowRegistry } from './mlflow/mlflow_registry.ts';
import type { ModelRegistry } from './model_registry.ts';

/** What a model registry of a project is given. */
export interface RegistryDeps {
  readonly clock: Clock;
  /** Before names on servers that others use as well; undefined: none. */
  readonly namespace?: string | undefined;
}

/** A model registry of a project's own: `registry: { kind: extension, use: <name>, settings: { … } }` selects it. */
export interface RegistryExtension<Settings = unknown> extends Extension<Settings> {
  /** Returns a registry that connects when it is first used; its `close` releases what it holds. */
  create(deps: RegistryDeps, settings: Settings): ModelRegistry;
}

/** Defines a model registry of the project's own, for `registries` of `defineConfig`. `registryContract` of `headwater/testing` tests it. */
export const defineRegistry = <Schema extends z.ZodType>(registry: {
  readonly name: string;
  readonly settings: Schema;
  create(deps: RegistryDeps, settings: z.output<Schema>): ModelRegistry;
}): RegistryExtension => Object.freeze({ ...registry }) as unknown as RegistryExtension;

const METHODS: MethodList<ModelRegistry> = {
  ...{ register: true, listModels: true, listVersions: true, resolve: true, transition: true, setAlias: true },
  ...{ setTag: true, exclusively: true, download: true, attachment: true, close: true },
};

/**
 * Returns the configured registry.
 *
 * @param files - for MLflow's artifacts, where its server does not hand them out itself
 * @param registries - of the project
 * @throws {@link ConfigError} for a registry that the project lacks, its settings, or methods that it lacks
 */
export function createRegistry(
  config: RegistryConfig,
  files?: ArtifactFiles,
  registries: readonly RegistryExtension[] = [],
): ModelRegistry {
  if (config.kind === 'local') return new LocalRegistry(config);
  if (config.kind === 'mlflow') return new MlflowRegistry(config, files);
  const { extension, settings } = resolveExtension('registry', 'registries', registries, config);
  const created = extension.create({ clock: systemClock, namespace: config.namespace }, settings);
  return withMethods(`registry "${extension.name}"`, created, METHODS);
}
