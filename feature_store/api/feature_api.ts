import type { FastifyReply } from 'fastify';
import { controlAccess } from '#connectors/http/access';
import { viewId } from '#feature_store/definitions/feature_row';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { lineageOf } from '#feature_store/definitions/lineage';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import type { Clock } from '#kernel/time';
import { registerApiDocs } from '#monitoring/api_docs';
import { createHttpApp } from '#monitoring/http_app';
import { HttpService } from '#monitoring/http_service';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import type { FeatureApiConfig } from '../config.ts';
import { UnknownViewError } from '../errors.ts';
import { registerCounterRoutes } from './counter_routes.ts';
import { EntityLookup, type Known } from './entity_lookup.ts';
import { UnknownEntityError, UnknownFeatureError } from './errors.ts';
import { featuresJson, oneFeature } from './served_features.ts';
import { registerStatisticsRoutes } from './statistics_routes.ts';
import { registerVectorRoutes } from './vector_routes.ts';

export interface FeatureApiDeps {
  readonly store: OnlineStore;
  /** Vectors of feature services. */
  readonly features: FeatureReader;
  readonly offline: Pick<OfflineStore, 'listStatistics'>;
  readonly views: readonly FeatureView[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

interface Options {
  readonly view?: string;
  readonly version?: string;
  readonly entity?: string;
  readonly freshness?: boolean;
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

/** GET /features/… on port 8083: what the online store holds, by entity. */
export async function createFeatureApi(deps: FeatureApiDeps, config: FeatureApiConfig): Promise<HttpService> {
  const { store, views, clock } = deps;
  const app = createHttpApp(config.tls, { bodyLimit: 1024 * 1024 });
  await registerApiDocs(app, { title: 'headwater features', description: 'Features of entities, as of now' });
  const service = new HttpService(deps, { ...config, name: 'features', portSetting: 'FEATURE_API_PORT' }, app);
  await controlAccess(app, config);
  const known = [...new Set(views.flatMap((view) => Object.keys(view.features)))];
  const isKnown = new Set(known);
  const lookup = new EntityLookup(store, views);

  /** The newest version of each view, not newer than the one that is asked for. @throws {@link UnknownViewError}, {@link UnknownEntityTypeError} */
  const selected = ({ view, version, entity }: Options): readonly FeatureView[] => {
    const wanted = version === undefined ? Number.POSITIVE_INFINITY : Number(version.replace(/^v/, ''));
    const ofEntity = lookup.viewsOf(entity);
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
    { schema: { querystring: options, summary: 'All features of an entity' } },
    async ({ params, query }, reply) => {
      const [known] = await lookup.read([params.entity], selected(query));
      if (known === undefined || known.found.length === 0) throw new UnknownEntityError(params.entity);
      const { entity, found } = known;
      const features = featuresJson(found, { freshness: query.freshness ?? false, nowMs: clock.now() });
      return asJson(reply, `{"user_id":${JSON.stringify(params.entity)},"entity":"${entity}","features":${features}}`);
    },
  );

  app.get<{ Params: { entity: string; feature: string }; Querystring: Options }>(
    '/features/:entity/:feature',
    { schema: { querystring: options, summary: 'One feature of an entity' } },
    async ({ params, query }) => {
      if (!isKnown.has(params.feature)) throw new UnknownFeatureError(params.feature, known);
      const holders = selected(query).filter(({ features }) => features[params.feature] !== undefined);
      const [of] = await lookup.read([params.entity], holders);
      const serving = { freshness: query.freshness ?? false, nowMs: clock.now() };
      const feature = oneFeature(of?.found ?? [], params.feature, serving);
      if (feature === undefined) throw new UnknownEntityError(params.entity);
      return { user_id: params.entity, entity: of?.entity, feature: params.feature, ...feature };
    },
  );

  app.post<{ Body: { entities: string[]; features?: string[] }; Querystring: Options }>(
    '/features/batch',
    {
      schema: {
        summary: 'Features of many entities; null where an entity is unknown',
        querystring: options,
        body: {
          type: 'object',
          required: ['entities'],
          additionalProperties: false,
          properties: {
            entities: { type: 'array', minItems: 1, maxItems: LARGEST_BATCH, items: { type: 'string', minLength: 1 } },
            features: { type: 'array', items: { type: 'string' } },
          },
        },
      },
    },
    async ({ body, query }, reply) => {
      const unknown = body.features?.find((name) => !isKnown.has(name));
      if (unknown !== undefined) throw new UnknownFeatureError(unknown, known);
      const wanted = body.features === undefined ? undefined : new Set(body.features);
      const holders = selected(query).filter(
        ({ features }) => wanted === undefined || body.features?.some((name) => features[name] !== undefined),
      );
      const found = await lookup.read(body.entities, holders);
      const serving = { wanted, freshness: query.freshness ?? false, nowMs: clock.now() };
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
    { schema: { summary: 'Where a feature comes from: fields, features, source, in every view that has it' } },
    async ({ params }) => {
      const lineage = views.map((view) => lineageOf(view, params.feature)).filter((found) => found !== undefined);
      if (lineage.length === 0) throw new UnknownFeatureError(params.feature, known);
      return { feature: params.feature, lineage };
    },
  );

  app.get('/lineage', { schema: { summary: 'The same of every feature' } }, async () => ({
    lineage: views.flatMap((view) => Object.keys(view.features).map((feature) => lineageOf(view, feature))),
  }));

  app.get('/features', { schema: { summary: 'Every feature there is: view, type, owner, window' } }, async () => ({
    features: views.flatMap((view) => {
      const { owner, entity, features } = describeView(view);
      return features.map((feature) => ({ ...feature, view: viewId(view), entity, owner }));
    }),
  }));

  app.get('/views', { schema: { summary: 'The feature views, their features and what they mean' } }, async () => ({
    views: views.map((view) => ({ id: viewId(view), ...describeView(view) })),
  }));

  registerCounterRoutes(app, store, lookup);
  registerVectorRoutes(app, deps.features);
  registerStatisticsRoutes(app, deps.offline, views);
  return service;
}
