import { servicesById } from '#feature_store/definitions/feature_service';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { lineageOf } from '#feature_store/definitions/sets/lineage';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { type ViewState, viewState } from '#feature_store/retrieval/catalog_state';
import { openRegistry } from '../parts/open_registry.ts';
import { withOffline } from '../parts/with_offline.ts';
import { definitionsOf, loadProject, type Project } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';

export interface CatalogOptions {
  /** With what the stores hold: freshness and quality. */
  readonly stored: boolean;
}

/** `headwater features list`. */
export async function listFeatures({
  json,
  stored,
  tag,
}: CatalogOptions & { readonly json: boolean; readonly tag?: string }): Promise<void> {
  const project = await loadProject();
  const views = project.catalog.views.filter(({ tags }) => tag === undefined || tags.includes(tag));
  const states = stored ? await statesOf(project, views) : new Map<FeatureView, ViewState>();
  if (json) {
    const rows = views.flatMap((view) => {
      const { features, entity, owner, tags, ttlMs } = describeView(view);
      const state = states.get(view);
      return features.map((feature) => ({
        ...{ ...feature, view: viewId(view), entity, owner, tags, ttlMs },
        ...(state === undefined ? {} : { ...state, quality: state.quality[feature.name] ?? null }),
      }));
    });
    print(JSON.stringify(rows));
    return;
  }
  for (const view of views) {
    const { entity, source, description, owner, tags = [], features } = describeView(view);
    const state = states.get(view);
    print(`${viewId(view)} of ${entity} from ${source}: ${description}`);
    const facts = [`owner ${owner}`, ...(tags.length === 0 ? [] : [`tags ${tags.join(', ')}`])];
    if (state !== undefined) facts.push(`newest row ${state.newestRow ?? 'none'}`);
    print(`  ${facts.join('; ')}`);
    for (const { name, type, description: of } of features) {
      const quality = state?.quality[name];
      const missing = quality === undefined ? '' : ` (${Math.round(quality.nullShare * 100)} % missing)`;
      print(`  ${name.padEnd(28)} ${type.padEnd(8)} ${of}${missing}`);
    }
  }
}

/** `headwater features show fraud@1`. */
export async function showView(id: string, { stored }: CatalogOptions): Promise<void> {
  const project = await loadProject();
  const view = viewOf(project.catalog, id);
  const state = stored ? (await statesOf(project, [view])).get(view) : undefined;
  print(JSON.stringify({ ...describeView(view), ...(state === undefined ? {} : { state }) }, null, 2));
}

const statesOf = (project: Project, views: readonly FeatureView[]): Promise<ReadonlyMap<FeatureView, ViewState>> =>
  withOffline(project, async (offline) => {
    const states = new Map<FeatureView, ViewState>();
    for (const view of views) states.set(view, await viewState(offline, view, Date.now()));
    return states;
  });

/** `headwater features lineage FEATURE`: from the source to the models that use it. */
export async function showLineage(feature: string, { json }: { readonly json: boolean }): Promise<void> {
  const project = await loadProject();
  const { catalog, topics, onlineStore, offlineStore } = project;
  const found = catalog.views.map((view) => lineageOf(view, feature)).filter((lineage) => lineage !== undefined);
  if (found.length === 0) throw new CommandFailedError(`no view has a feature "${feature}": headwater features list`);
  const models = await modelsBy(project);
  const complete = found.map((lineage) => ({
    ...lineage,
    topic: topics.rawEvents,
    pipeline: `features, Compute ${lineage.view}`,
    sinks: [
      `online store (${onlineStore.kind})`,
      `offline store (${offlineStore.kind})`,
      `topic ${topics.featureEvents}`,
    ],
    models: models.filter(({ view, inputs }) => view === lineage.view && inputs.includes(feature)).map(({ id }) => id),
  }));
  if (json) {
    print(JSON.stringify(complete));
    return;
  }
  for (const {
    view,
    entity,
    source,
    eventTypes,
    fields,
    features,
    topic,
    pipeline,
    sinks,
    models: users,
  } of complete) {
    print(`${feature} of ${view} (${entity})`);
    print(`  from      ${source} (${eventTypes.join(', ')}) in topic ${topic}`);
    print(
      `  fields    ${fields.map((field) => (field === '*' ? 'the whole event' : field)).join(', ') || 'that there are events'}`,
    );
    print(`  features  ${features.join(', ') || 'none'}`);
    print(`  pipeline  ${pipeline}`);
    print(`  kept in   ${sinks.join(', ')}`);
    print(`  used by   ${users.join(', ') || 'no model'}`);
  }
}

/** `headwater features services`. */
export async function listServices({ json }: { readonly json: boolean }): Promise<void> {
  const definitions = definitionsOf(await loadProject());
  const all = [...servicesById(definitions).values()];
  if (json) {
    print(JSON.stringify(all.map(({ signature, owner, description }) => ({ ...signature, owner, description }))));
    return;
  }
  for (const { signature, description } of all) {
    const { service, entity, columns, request, fingerprint } = signature;
    print(`${service} of ${entity}, ${columns.length} columns, fingerprint ${fingerprint}: ${description}`);
    if (definitions.services.every((candidate) => candidate.signature !== signature)) continue;
    for (const { name, type, view } of columns) print(`  ${name.padEnd(28)} ${type.padEnd(8)} ${view}`);
    for (const { name, type } of request) print(`  ${name.padEnd(28)} ${type.padEnd(8)} of the request`);
  }
}

/** `headwater features validate`: definitions are checked when they are loaded; being here means that they are good. */
export async function validateFeatures(): Promise<void> {
  const project = await loadProject();
  const { catalog } = project;
  const features = catalog.views.reduce((sum, { features: all }) => sum + Object.keys(all).length, 0);
  const { views, services } = definitionsOf(project);
  print(
    `${catalog.views.length} views with ${features} features and ${catalog.services.length} feature services are well defined`,
  );
  print(`${views.length} views and ${services.length} services are switched on here`);
}

interface ModelInputs {
  readonly id: string;
  readonly view: string | undefined;
  readonly inputs: readonly string[];
}

/** Versions in use: others can be many. */
async function modelsBy(project: Project): Promise<readonly ModelInputs[]> {
  const registry = openRegistry(project);
  const found: ModelInputs[] = [];
  try {
    for (const name of await registry.listModels()) {
      for (const model of await registry.listVersions(name)) {
        if (model.stage !== 'Production' && model.stage !== 'Staging') continue;
        const { signature } = await registry.download(model);
        const inputs = signature.inputs.map((input) => input.name);
        found.push({
          id: `${name} ${model.version} (${model.stage})`,
          view: signature.featureService?.service,
          inputs,
        });
      }
    }
  } finally {
    await registry.close();
  }
  return found;
}
