import { randomUUID } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { environment } from '#configs/environment';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { OWN_PIPELINES } from '../jobs/pipeline_modules.ts';
import { projectFolder } from '../project/loading/find_project.ts';
import { namesOfModules } from '../project/named_modules.ts';
import { loadDefinitions, withDefinitions } from '../project/project.ts';
import { loadWorkflows } from '../workflows/load_workflows.ts';
import { fingerprintOf } from './project_files.ts';
import { type CachedNames, type ProjectNames, readCachedNames } from './project_names.ts';

// The process that a completion starts: loads the names of the project and keeps them in the file that it is given.

/** Returns the names of the project in `folder`; a part that cannot be loaded, as while it is edited, is left out. */
async function loadNames(folder: string): Promise<ProjectNames> {
  const env = environment();
  const definitions = await loadDefinitions(folder).catch(() => undefined);
  const workflows = await loadWorkflows(env).catch(() => undefined);
  const pipelines = await namesOfModules('pipelines').catch(() => undefined);
  const names: { -readonly [Kind in keyof ProjectNames]: ProjectNames[Kind] } = {};
  if (workflows !== undefined) {
    names.workflows = sorted(workflows.names);
    names.schedules = sorted(workflows.schedules.map(({ name }) => name));
  }
  if (pipelines !== undefined) names.pipelines = sorted([...Object.keys(OWN_PIPELINES), ...pipelines]);
  if (definitions === undefined) return names;
  const { catalog, models } = definitions;
  const views = [...catalog.views, ...catalog.onDemand];
  names.views = sorted(views.map(viewId));
  names.features = sorted(views.flatMap(({ features }) => Object.keys(features)));
  // A view, whole, is a service too.
  names.services = sorted([...catalog.services.map(({ signature }) => signature.service), ...names.views]);
  names.sources = sorted(catalog.sources.map(({ name }) => name));
  names.models = sorted(models.map(({ name }) => name));
  try {
    const { topics, serving, training } = withDefinitions(definitions, env);
    const { partitions: _, ...byUse } = topics;
    names.topics = sorted(Object.values(byUse));
    names.models = sorted([...names.models, ...serving.models.map(({ name }) => name), ...Object.keys(training)]);
  } catch {
    // Settings that are not complete, such as a password that only the running platform has.
  }
  return names;
}

const sorted = (names: Iterable<string>): readonly string[] => [...new Set(names)].sort();

const [file = '', lock = ''] = process.argv.slice(2);
try {
  const folder = projectFolder();
  // Of before the load: what changes meanwhile makes the next completion load again.
  const fingerprint = fingerprintOf(folder, environment());
  const names = { ...readCachedNames(file)?.names, ...(await loadNames(folder)) };
  const written = `${file}.${randomUUID()}`;
  writeFileSync(written, JSON.stringify({ fingerprint, names } satisfies CachedNames));
  renameSync(written, file);
} finally {
  rmSync(lock, { force: true });
}
process.exit();
