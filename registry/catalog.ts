import { z } from 'zod';
import { LocalRegistry, localRegistryConfigSchema } from './local/local_registry.ts';
import type { ArtifactFiles } from './mlflow/artifacts.ts';
import { mlflowConfigSchema } from './mlflow/client.ts';
import { MlflowRegistry } from './mlflow/mlflow_registry.ts';
import type { ModelRegistry } from './model_registry.ts';

/** Every kind of registry there is: `registry.kind` in configs/*.yaml picks one. */
export const registryConfigSchema = z.discriminatedUnion('kind', [localRegistryConfigSchema, mlflowConfigSchema]);
export type RegistryConfig = z.infer<typeof registryConfigSchema>;

/** @param files - for MLflow's artifacts, where its server does not hand them out itself */
export function createRegistry(config: RegistryConfig, files?: ArtifactFiles): ModelRegistry {
  return config.kind === 'local' ? new LocalRegistry(config) : new MlflowRegistry(config, files);
}
