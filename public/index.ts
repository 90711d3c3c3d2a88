/** `headwater`: what a project declares in headwater.config.ts and models/. */

export {
  defineModel,
  type ModelDefinition,
  type ModelSpec,
  type ModelTraining,
} from '#cli/project/config/define_model';
export { defineConfig, type ProjectSpec } from '#cli/project/define_config';
export type { ExtensionSpec, RolePlugins } from '#cli/project/extensions';
