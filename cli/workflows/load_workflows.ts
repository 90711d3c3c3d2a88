import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { glob } from 'tinyglobby';
import { type Environment, environment } from '#configs/environment';
import { messageOf } from '#kernel/errors';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { defineWorkflow, isWorkflow, type WorkflowDefinition } from '#workflows/document/define_workflow';
import { isTask, type TaskDefinition } from '#workflows/tasks/task';
import type { ProjectSpec } from '../project/define_config.ts';
import { ProjectModuleError } from '../project/errors.ts';
import { projectFolder, requireConfigFile } from '../project/find_project.ts';
import { useSourcesOf } from '../project/load_module.ts';
import { configsOf, load, loadDefinitions, modulesOf, withDefinitions } from '../project/project.ts';
import { NO_RETRAINING, type RetrainingParts } from '../project/retraining_config.ts';

const DOCUMENT = '.asl.json';

/**
 * Loads the workflows of this process's project: what its modules export, and its documents.
 *
 * @throws {@link ProjectModuleError}; {@link WorkflowDocumentError} with every problem of a document and its place
 */
export async function loadWorkflows(env: Environment = environment()): Promise<WorkflowCatalog> {
  const root = projectFolder(env);
  const config = requireConfigFile(root);
  useSourcesOf(root);
  const spec = ((await load(config, root)).default ?? {}) as ProjectSpec;
  const places = [spec.workflows ?? 'workflows'].flat();
  const exported: unknown[] = [];
  for (const path of await modulesOf(root, places, spec.workflows !== undefined)) {
    exported.push(...Object.values(await load(path, root)));
  }
  const documents = await Promise.all(places.map((place) => documentsIn(root, resolve(root, place))));
  const values = [...new Set(exported)];
  const own = [...values.filter(isWorkflow), ...documents.flat()];
  const retraining = await retrainingOf(root, spec, env);
  // One of the project takes the place of the built-in one of its name.
  const names = new Set(own.map(({ name }) => name));
  return new WorkflowCatalog(
    [...own, ...retraining.workflows.filter(({ name }) => !names.has(name))],
    [...(values.filter(isTask) as TaskDefinition[]), ...retraining.tasks],
    { ...retraining.schedules, ...spec.schedules },
  );
}

/** The workflows of models with retraining; a project without such models needs no settings for its workflows. */
async function retrainingOf(root: string, spec: ProjectSpec, env: Environment): Promise<RetrainingParts> {
  const definitions = await loadDefinitions(root);
  const isConfigured = definitions.models.some(({ retraining }) => retraining !== undefined);
  if (!isConfigured && configsOf(root, spec) === undefined) return NO_RETRAINING;
  const project = withDefinitions(definitions, env);
  if (Object.keys(project.retraining).length === 0) return NO_RETRAINING;
  // Its tasks bring along what trains and judges models.
  const { retrainingParts } = await import('../retraining/retraining_parts.ts');
  return retrainingParts(project);
}

async function documentsIn(root: string, folder: string): Promise<readonly WorkflowDefinition[]> {
  if (!existsSync(folder)) return [];
  const files = await glob([`**/*${DOCUMENT}`], { cwd: folder, absolute: true, ignore: ['**/node_modules/**'] });
  return Promise.all(
    files.sort().map(async (file) => {
      const settings = join(file, '..', `${basename(file, DOCUMENT)}.settings.json`);
      return defineWorkflow(
        basename(file, DOCUMENT),
        await readJson(root, file),
        existsSync(settings) ? await readJson(root, settings) : {},
      );
    }),
  );
}

/** @throws {@link ProjectModuleError} */
export async function readJson(root: string, file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new ProjectModuleError(relative(root, file), messageOf(error), error);
  }
}
