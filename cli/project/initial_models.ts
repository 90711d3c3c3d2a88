import { readModelFolder } from '#registry/model_folder';
import type { ModelRegistry, NewModelVersion } from '#registry/model_registry';
import type { Role } from '../terminal/choices.ts';
import type { ModelDefinition } from './config/define_model.ts';
import type { Project } from './project.ts';

/** A version that a project brings along. */
export interface InitialModel {
  readonly name: string;
  readonly load: () => Promise<NewModelVersion>;
}

/** Returns the models that bring a first version along. */
export const initialModels = (models: readonly ModelDefinition[]): readonly InitialModel[] =>
  models.flatMap(({ name, initial }) =>
    initial === undefined
      ? []
      : [
          {
            name,
            load: async () => ({
              name,
              description: `the first version, of ${initial}`,
              ...(await readModelFolder(initial)),
            }),
          },
        ],
  );

/** Returns what `startPlatform` does first, where a local registry is to serve: puts the first version of each model into production that has none, so that a first start can answer. */
export const ensureInitialModels =
  ({ models }: Pick<Project, 'models'>, roles: readonly Role[]) =>
  async ({ registry }: { readonly registry: ModelRegistry }): Promise<void> => {
    if (!roles.includes('serving') || registry.kind !== 'local') return;
    for (const { name, load } of initialModels(models)) {
      if ((await registry.listVersions(name)).length > 0) continue;
      const { version } = await registry.register(await load());
      await registry.transition(name, version, 'Production', { by: 'headwater start', reason: 'first start' });
    }
  };
