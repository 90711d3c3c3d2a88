import { initialModels } from '#cli/project/initial_models';
import { type Project, withDefinitions } from '#cli/project/project';
import { projectRoot } from '#kernel/project_root';
import type { NewModelVersion } from '#registry/model_registry';
import { CATALOG, MODELS } from '../definitions/all_definitions.ts';

/** The examples of this repository, as a project with this environment. */
export const testProject = (
  env: Readonly<Record<string, string | undefined>>,
  overrides: Readonly<Record<string, unknown>> = {},
): Project => withDefinitions({ root: projectRoot, spec: {}, catalog: CATALOG, models: MODELS }, env, overrides);

/** The fraud detector of the fraud example. */
export async function fraudDetectorVersion(): Promise<NewModelVersion> {
  const [initial] = initialModels(MODELS);
  if (initial === undefined) throw new Error('the fraud example brings no model along');
  return initial.load();
}
