import type { RegistryConfig } from './config.ts';
import { LocalRegistry } from './local/local_registry.ts';
import type { ArtifactFiles } from './mlflow/artifacts.ts';
import { MlflowRegistry } from './mlflow/mlflow_registry.ts';
import type { ModelRegistry } from './model_registry.ts';

/** @param files - for MLflow's artifacts, where its server does not hand them out itself */
export function createRegistry(config: RegistryConfig, files?: ArtifactFiles): ModelRegistry {
  return config.kind === 'local' ? new LocalRegistry(config) : new MlflowRegistry(config, files);
}
