import { z } from 'zod';
import { LocalRegistry, localRegistryConfigSchema } from './local/local_registry.ts';
import { mlflowConfigSchema } from './mlflow/client.ts';
import { MlflowRegistry } from './mlflow/mlflow_registry.ts';
import type { ModelRegistry } from './model_registry.ts';

/** Every kind of registry there is: `registry.kind` in configs/*.yaml picks one. */
export const registryConfigSchema = z.discriminatedUnion('kind', [localRegistryConfigSchema, mlflowConfigSchema]);
export type RegistryConfig = z.infer<typeof registryConfigSchema>;

export function createRegistry(config: RegistryConfig): ModelRegistry {
  return config.kind === 'local' ? new LocalRegistry(config) : new MlflowRegistry(config);
}
