import { readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { createRegistry } from '#registry/catalog';
import type { ArtifactFiles } from '#registry/mlflow/artifacts';
import type { ModelRegistry } from '#registry/model_registry';
import type { Project } from '../project/project.ts';

/** Returns the registry of the configuration; artifacts in S3 are reached with what the environment says of S3. */
export const openRegistry = ({ registry, extensions }: Pick<Project, 'registry' | 'extensions'>): ModelRegistry =>
  createRegistry(registry, artifactFiles(), extensions.registries);

export function artifactFiles(): ArtifactFiles {
  const fileSystemOf = createFileSystems();
  return {
    async read(uri) {
      const files = fileSystemOf(uri);
      if ((await files.glob(uri)).length === 0) return undefined;
      return readWhole(files, uri);
    },
    write: async (uri, content) => void (await fileSystemOf(uri).write(uri, content)),
  };
}
