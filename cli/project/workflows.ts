import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { glob } from 'tinyglobby';
import { type Environment, environment } from '#configs/environment';
import { messageOf } from '#kernel/errors';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { defineWorkflow, isWorkflow, type WorkflowDefinition } from '#workflows/document/define_workflow';
import { isTask, type TaskDefinition } from '#workflows/tasks/task';
import type { ProjectSpec } from './define_config.ts';
import { ProjectModuleError } from './errors.ts';
import { projectFolder, requireConfigFile } from './find_project.ts';
import { useSourcesOf } from './load_module.ts';
import { load, modulesOf } from './project.ts';

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
  const workflows = [...values.filter(isWorkflow), ...documents.flat()];
  return new WorkflowCatalog(workflows, values.filter(isTask) as TaskDefinition[], spec.schedules);
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
