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
import { projectFolder, requireConfigFile } from '../project/loading/find_project.ts';
import { useSourcesOf } from '../project/loading/load_module.ts';
import { configsOf, load, loadDefinitions, modulesOf, withDefinitions } from '../project/project.ts';
import { NO_WORKFLOWS, type WorkflowParts } from '../project/workflow_parts.ts';
import { reportParts } from '../reports/report_workflow.ts';

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
  const parts = await workflowsOfSettings(root, spec, env);
  // One of the project takes the place of the built-in one of its name.
  const names = new Set(own.map(({ name }) => name));
  return new WorkflowCatalog(
    [...own, ...parts.flatMap(({ workflows }) => workflows).filter(({ name }) => !names.has(name))],
    [...(values.filter(isTask) as TaskDefinition[]), ...parts.flatMap(({ tasks }) => tasks)],
    Object.assign({}, ...parts.map(({ schedules }) => schedules), spec.schedules),
  );
}

/** The workflows of models with retraining, of backups and of reports; a project without either needs no settings for its workflows. */
async function workflowsOfSettings(
  root: string,
  spec: ProjectSpec,
  env: Environment,
): Promise<readonly WorkflowParts[]> {
  const definitions = await loadDefinitions(root);
  const isConfigured =
    definitions.models.some(({ retraining }) => retraining !== undefined) ||
    configsOf(root, spec) !== undefined ||
    [env.BACKUP_SCHEDULE, env.BACKUP_DRILL, env.REPORTS_SCHEDULE].some((cron) => cron !== undefined);
  if (!isConfigured) return [];
  const project = withDefinitions(definitions, env);
  const { schedule, drill } = project.backup;
  return Promise.all([
    // Their tasks bring along what trains and judges models, and what reads stores.
    Object.keys(project.retraining).length === 0
      ? NO_WORKFLOWS
      : import('../retraining/retraining_parts.ts').then(({ retrainingParts }) => retrainingParts(project)),
    schedule === undefined && drill === undefined
      ? NO_WORKFLOWS
      : import('../backup/backup_workflows.ts').then(({ backupParts }) => backupParts(project)),
    reportParts(project),
  ]);
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
