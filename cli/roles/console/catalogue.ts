import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import { UnknownFeatureError } from '#feature_store/api/errors';
import type { Feature } from '#feature_store/definitions/feature';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { lineageOf } from '#feature_store/definitions/sets/lineage';
import { type EventSource, filesOfHistory } from '#feature_store/definitions/sources/source';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { UnknownServiceError, UnknownViewError } from '#feature_store/errors';
import { formulaOf } from '#feature_store/explanation/formula';
import { type Clock, DAY_MS } from '#kernel/time';
import type {
  Consumer,
  FeatureDetails,
  FeatureSummary,
  FeatureWindow,
  Lineage,
  Page,
  ServiceDetails,
  SourceDetails,
  ViewDetails,
  ViewSummary,
} from '#serving/console/answers';
import type { FeatureStatus, ListFilter } from '#serving/console/sources';
import type { ModelsInUse, VersionInUse } from '../../explanation/models_in_use.ts';
import type { OfflineDatabase } from '../../parts/offline_database.ts';
import type { MetricReader } from './metric_reader.ts';
import { type CountOfVersion, keptFor } from './version_counts.ts';

interface Deps {
  readonly offline: Pick<OfflineDatabase, 'statistics' | 'drift' | 'features'>;
  readonly metrics: MetricReader;
  readonly models: ModelsInUse;
  readonly counts: CountOfVersion;
  readonly views: readonly FeatureView[];
  readonly services: readonly FeatureService[];
  readonly rawEventsTopic: string;
  readonly clock: Clock;
}

const WINDOWS = 200;
const ENTITIES = 8;
const KEPT_MS = 30_000;

/** What is defined, who uses it, and how it does: the catalogue of the console. */
export class Catalogue {
  readonly #deps: Deps;
  readonly #byId: ReadonlyMap<string, FeatureView>;
  /** Views by what a feature's reader is trained on. */
  readonly #services: ReadonlyMap<string, FeatureService>;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#byId = new Map(deps.views.map((view) => [viewId(view), view]));
    this.#services = new Map(deps.services.map((service) => [idOfService(service), service]));
  }

  async listViews({ text = '', offset, limit }: ListFilter): Promise<Page<ViewSummary>> {
    const found = this.#deps.views.filter((view) => matches(text, wordsOf(view)));
    const items = await Promise.all(found.slice(offset, offset + limit).map((view) => this.#summary(view)));
    return { total: found.length, items };
  }

  async view(id: string): Promise<ViewDetails> {
    const view = this.#require(id);
    const { offline, metrics } = this.#deps;
    const [summary, users, entities, broken] = await Promise.all([
      this.#summary(view),
      this.#consumers((version) => readsOf(version, view, this.#services).length > 0),
      offline.features.sampleEntities(view, ENTITIES),
      metrics.read('view_contract_broken', 'features'),
    ]);
    const isBroken = (term: string): boolean =>
      broken.some(({ labels, value }) => labels.view === id && value > 0 && term.startsWith(labels.term ?? '\0'));
    return {
      ...summary,
      ...{ joinKeys: view.entity.joinKeys, ttlMs: view.ttlMs, consumers: users, entities },
      versions: this.#deps.views.filter(({ name }) => name === view.name).map(viewId),
      services: this.#deps.services
        .filter((each) => each.columns.some((column) => column.view === id))
        .map(idOfService),
      rules: Object.entries(view.rules).map(([name, { description, action }]) => ({ name, description, action })),
      contract: Object.entries(view.contract ?? {}).map(([term, value]) => ({
        ...{ term, value: typeof value === 'object' ? JSON.stringify(value) : String(value), isBroken: isBroken(term) },
      })),
      items: Object.entries(view.features).map(([name, feature]) => summaryOf(name, feature)),
    };
  }

  async listFeatures({ text = '', offset, limit }: ListFilter): Promise<Page<FeatureStatus>> {
    const { offline, metrics, views } = this.#deps;
    const found = views.flatMap((view) =>
      Object.entries(view.features)
        .filter(([name, { description }]) => matches(text, [name, description, viewId(view), view.owner, ...view.tags]))
        .map(([name, feature]) => ({ view, name, feature })),
    );
    const shown = found.slice(offset, offset + limit);
    const [windows, ages] = await Promise.all([
      newestWindows(offline, [...new Set(shown.map(({ view }) => view))]),
      metrics.read('feature_freshness_seconds', 'pipeline'),
    ]);
    const freshness = new Map(ages.map(({ labels, value }) => [labels.view, value]));
    const items = shown.map(({ view, name, feature: { type, description } }): FeatureStatus => {
      const window = windows.get(`${viewId(view)}|${name}`);
      return {
        ...{ view: viewId(view), feature: name, type, description, owner: view.owner },
        freshnessSeconds: freshness.get(viewId(view)),
        window: window === undefined ? undefined : windowOf(window),
      };
    });
    return { total: found.length, items };
  }

  async feature(id: string, name: string): Promise<FeatureDetails> {
    const view = this.#require(id);
    const lineage = lineageOf(view, name);
    if (lineage === undefined) throw new UnknownFeatureError(name, Object.keys(view.features));
    const { offline } = this.#deps;
    const [windows, consumers] = await Promise.all([
      offline.statistics.list({ view, feature: name, limit: WINDOWS }),
      this.#consumers((version) => readsOf(version, view, this.#services).includes(name)),
    ]);
    const drift = await Promise.all(
      consumers.map(async ({ model, version }) => {
        const [report] = await offline.drift.list({ model, version, limit: 1 });
        const column = report?.columns.find((each) => each.kind === 'feature' && each.column === name);
        return column === undefined ? [] : [{ model, version, psi: column.psi ?? null, drifted: column.drifted }];
      }),
    );
    return {
      ...summaryOf(name, view.features[name] as Feature),
      ...{ view: id, owner: view.owner, entity: view.entity.name, source: lineage.source },
      ...{ fields: lineage.fields, inputs: lineage.features, consumers, drift: drift.flat() },
      windows: windows.map(windowOf),
      services: this.#deps.services
        .filter((each) => each.columns.some((column) => column.view === id && column.name === name))
        .map(idOfService),
    };
  }

  listServices(): readonly Pick<ServiceDetails, 'service' | 'entity' | 'owner' | 'description'>[] {
    return this.#deps.services.map((each) => ({
      ...{ service: idOfService(each), entity: each.entity.name, owner: each.owner, description: each.description },
    }));
  }

  async service(id: string): Promise<ServiceDetails> {
    const found = this.#services.get(id);
    if (found === undefined) throw new UnknownServiceError(id, [...this.#services.keys()]);
    return {
      ...{ service: id, entity: found.entity.name, owner: found.owner, description: found.description },
      columns: found.columns,
      request: found.signature.request,
      consumers: await this.#consumers(({ service }) => service === id),
    };
  }

  /** Sources of every view, also of those that are computed in batch. */
  sources(): readonly SourceDetails[] {
    const sources = new Map(this.#deps.views.flatMap((view) => view.sources).map((each) => [each.name, each]));
    return [...sources.values()].map((source) => ({
      ...{ source: source.name, eventTypes: source.eventTypes, schemaVersion: source.schemaVersion },
      fields: Object.entries(source.schema.shape).map(([name, type]) => ({ name, type: typeOf(type) })),
      history: historyOf(source),
      views: this.#deps.views.filter((view) => view.sources.includes(source)).map(viewId),
    }));
  }

  async lineage(): Promise<Lineage> {
    const { views, services, models, rawEventsTopic } = this.#deps;
    const nodes = new Map<string, Lineage['nodes'][number]>();
    const edges = new Map<string, readonly [string, string]>();
    const add = (kind: string, label: string, link: string): string => {
      const id = `${kind} ${label}`;
      nodes.set(id, { id, kind, label, link });
      return id;
    };
    const join = (from: string, to: string): void => void edges.set(`${from}>${to}`, [from, to]);
    const topic = add('topic', rawEventsTopic, `topics/${rawEventsTopic}`);
    for (const view of views) {
      const to = add('view', viewId(view), `views/${viewId(view)}`);
      for (const { name } of view.sources) {
        const from = add('source', name, `sources?source=${encodeURIComponent(name)}`);
        if (view.mode === 'streaming') join(topic, from);
        join(from, to);
      }
    }
    for (const service of services) {
      const to = add('service', idOfService(service), `services/${idOfService(service)}`);
      for (const view of new Set(service.columns.map((column) => column.view)))
        if (nodes.has(`view ${view}`)) join(`view ${view}`, to);
    }
    for (const { name, version, stage, service } of await models.all()) {
      const to = add('model', `${name} ${version} (${stage})`, `models/${name}/${version}`);
      if (service === undefined) continue;
      if (nodes.has(`service ${service}`)) join(`service ${service}`, to);
      else if (nodes.has(`view ${service}`)) join(`view ${service}`, to);
    }
    return { nodes: [...nodes.values()], edges: [...edges.values()] };
  }

  async #summary(view: FeatureView): Promise<ViewSummary> {
    const id = viewId(view);
    const [consumers, ages] = await Promise.all([
      this.#consumers((version) => readsOf(version, view, this.#services).length > 0),
      this.#ages(),
    ]);
    return {
      ...{ view: id, entity: view.entity.name, owner: view.owner, description: view.description },
      ...{ sources: view.sources.map(({ name }) => name), tags: view.tags, mode: view.mode },
      features: Object.keys(view.features).length,
      freshnessSeconds: ages.get(id),
      models: [...new Set(consumers.map(({ model }) => model))],
      reads: consumers.reduce((sum, { reads }) => sum + reads, 0),
    };
  }

  readonly #ages = keptFor(KEPT_MS / 10, async () => {
    const ages = await this.#deps.metrics.read('feature_freshness_seconds', 'pipeline');
    return new Map(ages.map(({ labels, value }) => [labels.view ?? '', value]));
  });

  async #consumers(isOne: (version: VersionInUse) => boolean): Promise<readonly Consumer[]> {
    const { models, counts, clock } = this.#deps;
    const [versions, rows] = await Promise.all([models.all(), counts(clock.now() - DAY_MS)]);
    return versions.filter(isOne).map(({ name, version, stage }) => ({
      ...{ model: name, version, stage, reads: rows.get(`${name} ${version}`) ?? 0 },
    }));
  }

  #require(id: string): FeatureView {
    const view = this.#byId.get(id);
    if (view === undefined) throw new UnknownViewError(id, [...this.#byId.keys()]);
    return view;
  }
}

/** Features of a view that a version has as inputs, through a service or as the view itself. */
function readsOf(
  { service, inputs }: VersionInUse,
  view: FeatureView,
  services: ReadonlyMap<string, FeatureService>,
): readonly string[] {
  const id = viewId(view);
  if (service === id) return inputs.filter((input) => Object.hasOwn(view.features, input));
  const columns = service === undefined ? [] : (services.get(service)?.columns ?? []);
  return columns.filter((column) => column.view === id && inputs.includes(column.name)).map(({ name }) => name);
}

const idOfService = ({ name, version }: FeatureService): string => `${name}@${version}`;

const summaryOf = (feature: string, of: Feature): FeatureSummary => ({
  ...{ feature, type: of.type, kind: of.kind, formula: formulaOf(of), description: of.description },
});

export const windowOf = ({ windowStartMs, statistics }: WindowStatistics): FeatureWindow => ({
  start: new Date(windowStartMs).toISOString(),
  rows: statistics.rows,
  nullShare: statistics.rows === 0 ? 0 : statistics.nulls / statistics.rows,
  mean: statistics.mean,
  quantiles: statistics.quantiles,
  top: statistics.top.slice(0, 10),
});

const wordsOf = (view: FeatureView): readonly string[] => [
  ...[viewId(view), view.description, view.owner, view.entity.name, ...view.tags],
  ...view.sources.map(({ name }) => name),
];

/** Whether each word of a text is part of one of these. */
export function matches(text: string, words: readonly string[]): boolean {
  const all = words.join('\n').toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

function typeOf(schema: unknown): string {
  const { def } = (
    schema as { readonly _zod: { readonly def: { readonly type: string; readonly innerType?: unknown } } }
  )._zod as never as {
    readonly def: { readonly type: string; readonly innerType?: unknown };
  };
  return def.innerType === undefined ? def.type : `${typeOf(def.innerType)}, ${def.type}`;
}

function historyOf({ history }: EventSource): string {
  if (history === undefined) return 'none but what the archive keeps';
  return filesOfHistory(history)?.join(', ') ?? 'a query';
}

/** The newest window of each feature: most are among the newest of all; views that have been still for a while are read by name. */
async function newestWindows(
  { statistics }: Pick<OfflineDatabase, 'statistics'>,
  views: readonly FeatureView[],
): Promise<ReadonlyMap<string, WindowStatistics>> {
  const newest = new Map<string, WindowStatistics>();
  const of = (view: FeatureView) => statistics.list({ view, limit: Object.keys(view.features).length });
  for (const window of (await Promise.all(views.map(of))).flat()) {
    const key = `${viewId(window)}|${window.feature}`;
    if (!newest.has(key)) newest.set(key, window);
  }
  return newest;
}
