import { fileURLToPath } from 'node:url';
import { readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { createRegistry, type RegistryConfig } from '#registry/catalog';
import type { ArtifactFiles } from '#registry/mlflow/artifacts';
import type { ModelRegistry } from '#registry/model_registry';

/** The registry of the configuration; artifacts in S3 or on this machine are reached with what the environment says of S3. */
export const openRegistry = (config: RegistryConfig): ModelRegistry => createRegistry(config, artifactFiles());

export function artifactFiles(): ArtifactFiles {
  const fileSystemOf = createFileSystems();
  const pathOf = (uri: string): string => (uri.startsWith('file://') ? fileURLToPath(uri) : uri);
  return {
    async read(uri) {
      const path = pathOf(uri);
      const files = fileSystemOf(path);
      if ((await files.glob(path)).length === 0) return undefined;
      return readWhole(files, path);
    },
    write: async (uri, content) => void (await fileSystemOf(pathOf(uri)).write(pathOf(uri), content)),
  };
}
