/** `headwater`: what a project declares in headwater.config.ts and models/. */

export { defineConfig, type ProjectSpec } from '#cli/project/define_config';
export { defineModel, type ModelDefinition, type ModelSpec, type ModelTraining } from '#cli/project/define_model';
export type { ExtensionSpec, RolePlugins } from '#cli/project/extensions';
