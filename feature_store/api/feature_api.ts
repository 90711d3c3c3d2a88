import type { FastifyReply } from 'fastify';
import { controlAccess } from '#connectors/http/access';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { lineageOf } from '#feature_store/definitions/sets/lineage';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { ExplainValue } from '#feature_store/explanation/value_explanation';
import type { EmbeddingSearch } from '#feature_store/offline/embedding_search';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import type { StatisticsStore } from '#feature_store/statistics/statistics_store';
import type { Clock } from '#kernel/time';
import type { Health } from '#monitoring/health';
import { acceptCompressedBodies } from '#monitoring/http/compressed_body';
import { registerApiDocs } from '#monitoring/http/docs/api_docs';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { registerPlugins } from '#monitoring/http/role_plugin';
import { needsSome } from '#monitoring/http/routes/route_access';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { FeatureApiConfig } from '../config.ts';
import { UnknownViewError } from '../errors.ts';
import type { PushRows } from '../push/push_rows.ts';
import { registerCounterRoutes } from './counter_routes.ts';
import { EntityLookup, type Known, viewsOf } from './entity_lookup.ts';
import { UnknownEntityError, UnknownFeatureError } from './errors.ts';
import { registerHistoricalRoutes } from './historical_routes.ts';
import { type FeaturesPlugin, featuresForPlugins } from './plugin.ts';
import { registerPushRoutes } from './push_routes.ts';
import { type ReadableViews, readableViews } from './readable_views.ts';
import { answers, paramsOf } from './schemas.ts';
import { registerSearchRoutes } from './search_routes.ts';
import { columnsJson, featuresJson, oneFeature } from './served_features.ts';
import { registerStatisticsRoutes } from './statistics_routes.ts';
import { registerVectorRoutes } from './vector_routes.ts';
import { registerWhyRoutes } from './why_routes.ts';

export interface FeatureApiDeps {
  readonly store: OnlineStore;
  /** Vectors of feature services. */
  readonly features: FeatureReader;
  readonly statistics: Pick<StatisticsStore, 'list'>;
  readonly embeddings: EmbeddingSearch;
  /** Values of past times. */
  readonly history: Pick<OfflineStore, 'pointInTimeJoin'>;
  readonly views: readonly FeatureView[];
  /** Undefined: values are not explained. */
  readonly explain?: ExplainValue;
  /** What takes rows of views that are pushed, by view id. */
  readonly pushes?: ReadonlyMap<string, PushRows>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly health?: Health;
  /** Of the project. */
  readonly plugins?: readonly FeaturesPlugin[];
}

interface Options {
  readonly view?: string;
  readonly version?: string;
  readonly entity?: string;
  readonly freshness?: boolean;
}

interface BatchOptions extends Options {
  readonly format?: 'rows' | 'columns';
}

const LARGEST_BATCH = 1_000;

const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    view: { type: 'string', description: 'Only this view, as name@version' },
    version: {
      type: 'string',
      description: 'Of each view the newest version up to this one, such as v1; the newest there is otherwise',
    },
    entity: {
      type: 'string',
      description: 'Whose id it is, such as user; needed where several entities have rows of the id',
    },
    freshness: { type: 'boolean', description: 'Adds the age of each value' },
  },
} as const;

const batchOptions = {
  ...options,
  properties: {
    ...options.properties,
    format: {
      type: 'string',
      enum: ['rows', 'columns'],
      description: 'columns: names once a view, then the values of each entity in their order; an eighth of the size',
    },
  },
} as const;

/** GET /features/… on port 8083: what the online store holds, by entity. */
export async function createFeatureApi(deps: FeatureApiDeps, config: FeatureApiConfig): Promise<HttpService> {
  const { store, views, clock } = deps;
  const app = createHttpApp(config.tls, { bodyLimit: 1024 * 1024 });
  await acceptCompressedBodies(app);
  // Answers are described, not cut to what the description knows.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  const service = new HttpService(deps, { ...config, name: 'features', portSetting: 'FEATURE_API_PORT' }, app);
  await controlAccess(app, config, deps.log);
  await registerApiDocs(app, { title: 'headwater features', description: 'Features of entities, as of now' });
  const readable = readableViews(views);
  const ofFeatures = { access: needsSome('features') };
  const lookup = new EntityLookup(store);

  /** The newest version of each view, not newer than the requested one. @throws {@link UnknownViewError}, {@link UnknownEntityTypeError} */
  const selected = ({ view, version, entity }: Options, { views }: ReadableViews): readonly FeatureView[] => {
    const wanted = version === undefined ? Number.POSITIVE_INFINITY : Number(version.replace(/^v/, ''));
    const ofEntity = viewsOf(views, entity);
    if (version !== undefined && !ofEntity.some((candidate) => candidate.version === wanted)) {
      throw new UnknownViewError(`version ${version}`, views.map(viewId));
    }
    if (view !== undefined) {
      const named = ofEntity.filter((candidate) => viewId(candidate) === view);
      if (named.length === 0) throw new UnknownViewError(view, views.map(viewId));
      return named;
    }
    const newest = new Map<string, FeatureView>();
    for (const candidate of ofEntity) {
      if (candidate.version > wanted) continue;
      const held = newest.get(candidate.view);
      if (held === undefined || held.version < candidate.version) newest.set(candidate.view, candidate);
    }
    if (newest.size === 0) throw new UnknownViewError(`of ${entity}`, views.map(viewId));
    return [...newest.values()];
  };

  const asJson = (reply: FastifyReply, text: string): FastifyReply =>
    reply.type('application/json; charset=utf-8').send(text);

  app.get<{ Params: { entity: string }; Querystring: Options }>(
    '/features/:entity',
    {
      config: ofFeatures,
      schema: {
        ...answers.entity,
        params: paramsOf('entity'),
        querystring: options,
        summary: 'All features of an entity',
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const [known] = await lookup.read([params.entity], selected(query, readable(request, query.view)));
      if (known === undefined || known.found.length === 0) throw new UnknownEntityError(params.entity);
      const { entity, found } = known;
      const features = featuresJson(found, { freshness: query.freshness ?? false, nowMs: clock.now() });
      return asJson(reply, `{"user_id":${JSON.stringify(params.entity)},"entity":"${entity}","features":${features}}`);
    },
  );

  app.get<{ Params: { entity: string; feature: string }; Querystring: Options }>(
    '/features/:entity/:feature',
    {
      config: ofFeatures,
      schema: {
        ...answers.feature,
        params: paramsOf('entity', 'feature'),
        querystring: options,
        summary: 'One feature of an entity',
      },
    },
    async (request) => {
      const { params, query } = request;
      const own = readable(request, query.view);
      if (!own.features.has(params.feature)) throw new UnknownFeatureError(params.feature, [...own.features]);
      const holders = selected(query, own).filter(({ features }) => features[params.feature] !== undefined);
      const [of] = await lookup.read([params.entity], holders);
      const serving = { freshness: query.freshness ?? false, nowMs: clock.now() };
      const feature = oneFeature(of?.found ?? [], params.feature, serving);
      if (feature === undefined) throw new UnknownEntityError(params.entity);
      return { user_id: params.entity, entity: of?.entity, feature: params.feature, ...feature };
    },
  );

  app.post<{ Body: { entities: string[]; features?: string[] }; Querystring: BatchOptions }>(
    '/features/batch',
    {
      config: ofFeatures,
      schema: {
        ...answers.batch,
        summary: 'Features of many entities; null where an entity is unknown',
        querystring: batchOptions,
        body: {
          type: 'object',
          required: ['entities'],
          examples: [{ entities: ['u1', 'u2'] }],
          additionalProperties: false,
          properties: {
            entities: { type: 'array', minItems: 1, maxItems: LARGEST_BATCH, items: { type: 'string', minLength: 1 } },
            features: { type: 'array', items: { type: 'string' } },
          },
        },
      },
    },
    async (request, reply) => {
      const { body, query } = request;
      const own = readable(request, query.view);
      const unknown = body.features?.find((name) => !own.features.has(name));
      if (unknown !== undefined) throw new UnknownFeatureError(unknown, [...own.features]);
      const wanted = body.features === undefined ? undefined : new Set(body.features);
      const holders = selected(query, own).filter(
        ({ features }) => wanted === undefined || body.features?.some((name) => features[name] !== undefined),
      );
      const found = await lookup.read(body.entities, holders);
      const serving = { wanted, freshness: query.freshness ?? false, nowMs: clock.now() };
      if (query.format === 'columns') {
        const rows = found.map(({ found: of }) => of);
        return asJson(reply, columnsJson(body.entities, rows, holders, serving));
      }
      const results = body.entities.map((id, index) => {
        const { entity, found: rows } = found[index] as Known;
        const features = rows.length === 0 ? 'null' : featuresJson(rows, serving);
        const of = entity === undefined ? 'null' : `"${entity}"`;
        return `{"user_id":${JSON.stringify(id)},"entity":${of},"features":${features}}`;
      });
      return asJson(reply, `{"results":[${results.join(',')}]}`);
    },
  );

  app.get<{ Params: { feature: string } }>(
    '/lineage/:feature',
    {
      config: ofFeatures,
      schema: {
        ...answers.lineageOfOne,
        params: paramsOf('feature'),
        summary: 'Where a feature comes from: fields, features, source, in every view that has it',
      },
    },
    async (request) => {
      const { params } = request;
      const own = readable(request);
      const lineage = own.views.map((view) => lineageOf(view, params.feature)).filter((found) => found !== undefined);
      if (lineage.length === 0) throw new UnknownFeatureError(params.feature, [...own.features]);
      return { feature: params.feature, lineage };
    },
  );

  app.get(
    '/lineage',
    { config: ofFeatures, schema: { ...answers.lineage, summary: 'The same of every feature' } },
    async (request) => ({
      lineage: readable(request).views.flatMap((view) =>
        Object.keys(view.features).map((feature) => lineageOf(view, feature)),
      ),
    }),
  );

  const listed = {
    config: ofFeatures,
    schema: { ...answers.features, summary: 'Every feature there is: view, type, owner, tags, window, quality rules' },
  };
  app.get('/features', listed, async (request) => ({
    features: readable(request).views.flatMap((view) => {
      const { owner, tags, entity, ttlMs, rules, features } = describeView(view);
      return features.map((feature) => ({
        ...{ ...feature, view: viewId(view), entity, owner, tags, ttl_ms: ttlMs },
        rules: rulesOf(rules, view, feature.name),
      }));
    }),
  }));

  const described = {
    config: ofFeatures,
    schema: { ...answers.views, summary: 'The feature views, their features and what they mean' },
  };
  app.get('/views', described, async (request) => ({
    views: readable(request).views.map((view) => ({ id: viewId(view), ...describeView(view) })),
  }));

  registerCounterRoutes(app, store, lookup, views);
  registerPushRoutes(app, deps.pushes ?? new Map());
  registerVectorRoutes(app, deps.features);
  registerHistoricalRoutes(app, deps.features, deps.history);
  registerSearchRoutes(app, { embeddings: deps.embeddings, store, views, clock });
  registerStatisticsRoutes(app, deps.statistics, readable);
  if (deps.explain !== undefined) registerWhyRoutes(app, deps.explain, readable);
  const { log, metrics, plugins = [] } = deps;
  await registerPlugins(app, plugins, { log, metrics, ...featuresForPlugins(store, deps.embeddings, clock) });
  return service;
}

/** The names of a view's rules that look at a feature. */
const rulesOf = (
  rules: ReturnType<typeof describeView>['rules'],
  view: FeatureView,
  feature: string,
): readonly string[] =>
  (rules ?? []).map(({ name }) => name).filter((name) => view.rules[name]?.features.includes(feature));
