import { existsSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { glob } from 'tinyglobby';
import { type Environment, environment } from '#configs/environment';
import { type Catalog, createCatalog } from '#feature_store/definitions/catalog';
import { definitionKind } from '#feature_store/definitions/definition_kind';
import { DefinitionError } from '#feature_store/definitions/errors';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { selectDefinitions } from '#feature_store/definitions/sets/selection';
import { messageOf } from '#kernel/errors';
import type { ModelDefinition } from './config/define_model.ts';
import { loadPlatformConfig, type PlatformConfig } from './config/platform_config.ts';
import type { ProjectSpec } from './define_config.ts';
import { ProjectModuleError } from './errors.ts';
import { type ExtensionSpec, extensionsOf, NO_EXTENSIONS, type ProjectExtensions } from './extensions.ts';
import { configFileOf, projectFolder, requireConfigFile } from './loading/find_project.ts';
import { loadModule, useSourcesOf } from './loading/load_module.ts';

/** What a project defines, in code. */
export interface ProjectDefinitions {
  /** Its folder. */
  readonly root: string;
  readonly spec: ProjectSpec;
  readonly catalog: Catalog;
  readonly models: readonly ModelDefinition[];
}

/** A project as a process runs it: its configuration here, and its definitions. */
export interface Project extends PlatformConfig {
  readonly catalog: Catalog;
  readonly models: readonly ModelDefinition[];
  readonly extensions: ProjectExtensions;
}

/** The views and services that are switched on here. @throws {@link DefinitionError} for names of the configuration that are not defined */
export const definitionsOf = ({
  catalog,
  features,
}: Pick<Project, 'catalog' | 'features'>): {
  readonly views: readonly FeatureView[];
  readonly services: readonly FeatureService[];
} => selectDefinitions(catalog, features);

/**
 * Loads the project of this process: its definitions and its configuration.
 *
 * @throws {@link ProjectNotFoundError}; {@link ProjectModuleError} for a module that cannot be loaded; ConfigError with every problem of the settings
 */
export async function loadProject(
  env: Environment = environment(),
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<Project> {
  const folder = projectFolder(env);
  const definitions = await loadDefinitions(folder);
  return withDefinitions(definitions, env, overrides);
}

/** Returns the configuration with the definitions of a project. */
export function withDefinitions(
  { catalog, models, root, spec }: ProjectDefinitions,
  env: Environment,
  overrides: Readonly<Record<string, unknown>> = {},
): Project {
  const config = loadPlatformConfig(env, overrides, { models, configs: configsOf(root, spec) });
  return Object.freeze({ ...config, catalog, models, extensions: extensionsOf('headwater.config', spec) });
}

/**
 * Loads the modules of a project.
 *
 * @param packages - whose node_modules the project uses where its own lack a package; default: this package's
 * @throws {@link ProjectNotFoundError}, {@link ProjectModuleError}
 */
export async function loadDefinitions(folder: string, packages?: string): Promise<ProjectDefinitions> {
  const spec = await loadSpec(folder, packages);
  const exported: unknown[] = [];
  for (const path of [
    ...(await modulesOf(folder, spec.features ?? 'features', spec.features !== undefined)),
    ...(await modulesOf(folder, spec.models ?? 'models', spec.models !== undefined)),
  ]) {
    exported.push(...Object.values(await load(path, folder)));
  }
  const models = [...new Set(exported.filter((value) => definitionKind(value) === 'model'))] as ModelDefinition[];
  return { root: folder, spec, catalog: createCatalog(exported), models: uniqueModels(models) };
}

/** Loads headwater.config of a project. @throws {@link ProjectNotFoundError}, {@link ProjectModuleError} */
export async function loadSpec(folder: string, packages?: string): Promise<ProjectSpec> {
  const file = requireConfigFile(folder);
  useSourcesOf(folder, packages);
  const spec = (await load(file, folder)).default as ProjectSpec | undefined;
  if (typeof spec === 'object' && spec !== null) return spec;
  throw new ProjectModuleError(file, 'its default export must be defineConfig({ … })');
}

/**
 * Returns the extensions of the project of this process. For settings that use none, as those of commands without definitions, nothing is loaded.
 *
 * @throws {@link ProjectNotFoundError}, {@link ProjectModuleError}
 */
export async function extensionsFor(config: PlatformConfig | Project): Promise<ProjectExtensions> {
  if ('extensions' in config) return config.extensions;
  const { broker, onlineStore, offlineStore, registry } = config;
  const usesOne = [broker, onlineStore, offlineStore.features, registry].some((part) => part?.kind === 'extension');
  return usesOne ? extensionsOf('headwater.config', (await loadSpec(projectFolder())) as ExtensionSpec) : NO_EXTENSIONS;
}

/** The modules of folders, and single files; sorted by name, tests and declarations left out. */
export async function modulesOf(
  root: string,
  places: string | readonly string[],
  isDeclared: boolean,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const place of [places].flat()) {
    const path = resolve(root, place);
    if (!existsSync(path)) {
      if (isDeclared)
        throw new ProjectModuleError(relative(root, path), 'headwater.config names it, and it does not exist');
      continue;
    }
    if (!statSync(path).isDirectory()) {
      found.push(path);
      continue;
    }
    const files = await glob(['**/*.{ts,mts,js,mjs}'], {
      ...{ cwd: path, absolute: true, ignore: ['**/*.d.ts', '**/*.test.*', '**/*.spec.*', '**/node_modules/**'] },
    });
    found.push(...files.sort());
  }
  return found;
}

export async function load(file: string, root: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await loadModule(file);
  } catch (error) {
    throw new ProjectModuleError(relative(root, file), messageOf(error), error);
  }
}

function uniqueModels(models: readonly ModelDefinition[]): readonly ModelDefinition[] {
  const seen = new Set<string>();
  for (const { name } of models) {
    if (seen.has(name)) throw new DefinitionError([`two models are called "${name}": give one another name`]);
    seen.add(name);
  }
  return models;
}

/** The folder of a project's own settings; undefined where it has none. */
export function configsOf(root: string, { configs }: Pick<ProjectSpec, 'configs'> = {}): string | undefined {
  const folder = join(root, configs ?? 'configs');
  return existsSync(folder) ? folder : undefined;
}

/** The settings of a process that needs no definitions, such as `headwater pipelines lag`. */
export function loadSettings(
  env: Environment = environment(),
  overrides: Readonly<Record<string, unknown>> = {},
): PlatformConfig {
  const folder = projectFolder(env);
  const isProject = configFileOf(folder) !== undefined;
  return loadPlatformConfig(env, overrides, isProject ? { configs: configsOf(folder) } : {});
}
