import { fastify } from 'fastify';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/feature_row';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { lineageOf } from '#feature_store/definitions/lineage';
import type { OnlineStore } from '#feature_store/online/online_store';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import type { Clock } from '#kernel/time';
import { registerApiDocs } from '#monitoring/api_docs';
import { HttpService } from '#monitoring/http_service';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { UnknownViewError } from '../errors.ts';
import { UnknownEntityError, UnknownFeatureError } from './errors.ts';

interface ServedFeature {
  readonly value: FeatureValue;
  /** ISO 8601. */
  readonly computed_at: string;
  /** Only when asked for: now minus the event time, ms. */
  readonly age_ms?: number;
}

type ServedFeatures = Record<string, ServedFeature>;

interface Found {
  readonly view: FeatureView;
  readonly row: FeatureRow;
}

interface Options {
  readonly view?: string;
  readonly version?: string;
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
      description: 'Only views of this version, such as v1; the newest of each view otherwise',
    },
    freshness: { type: 'boolean', description: 'Adds the age of each value' },
  },
} as const;

/** GET /features/… on port 8083: what the online store holds, by entity. */
export async function createFeatureApi(
  deps: { store: OnlineStore; views: readonly FeatureView[]; clock: Clock; log: Logger; metrics: Registry },
  settings: { host: string; port: number },
): Promise<HttpService> {
  const { store, views, clock } = deps;
  const app = fastify({ logger: false, bodyLimit: 1024 * 1024 });
  await registerApiDocs(app, { title: 'headwater features', description: 'Features of entities, as of now' });
  const service = new HttpService(deps, { ...settings, name: 'feature API', portSetting: 'FEATURE_API_PORT' }, app);
  const known = [...new Set(views.flatMap((view) => Object.keys(view.features)))];

  /** Newest version of each view, or the one asked for. */
  const selected = ({ view, version }: Options): readonly FeatureView[] => {
    if (view !== undefined) {
      const found = views.find((candidate) => viewId(candidate) === view);
      if (found === undefined) throw new UnknownViewError(view, views.map(viewId));
      return [found];
    }
    if (version !== undefined) return ofVersion(version);
    const newest = new Map<string, FeatureView>();
    for (const candidate of views) {
      const held = newest.get(candidate.view);
      if (held === undefined || held.version < candidate.version) newest.set(candidate.view, candidate);
    }
    return [...newest.values()];
  };

  /** `v1` or `1`. @throws {@link UnknownViewError} */
  const ofVersion = (version: string): readonly FeatureView[] => {
    const found = views.filter((view) => `v${view.version}` === version || String(view.version) === version);
    if (found.length === 0) throw new UnknownViewError(`version ${version}`, views.map(viewId));
    return found;
  };

  const serve = (found: readonly Found[], freshness: boolean): ServedFeatures => {
    const features: ServedFeatures = {};
    for (const { view, row } of found) {
      const computedAt = new Date(row.computedAt).toISOString();
      const nowMs = clock.now();
      const age = freshness ? { age_ms: nowMs - row.eventTime } : {};
      for (const [name, value] of Object.entries(valuesAsOf(view, row.values, nowMs)))
        features[name] = { value, computed_at: computedAt, ...age };
    }
    return features;
  };

  const read = async (entities: readonly string[], options: Options) => {
    const found: Found[][] = entities.map(() => []);
    const chosen = selected(options);
    const answers = await Promise.all(chosen.map((view) => store.read(view, entities)));
    for (const [at, view] of chosen.entries()) {
      for (const [index, row] of (answers[at] ?? []).entries())
        if (row !== undefined) found[index]?.push({ view, row });
    }
    return found.map((rows) => (rows.length === 0 ? undefined : serve(rows, options.freshness ?? false)));
  };

  app.get<{ Params: { entity: string }; Querystring: Options }>(
    '/features/:entity',
    { schema: { querystring: options, summary: 'All features of an entity' } },
    async ({ params, query }) => {
      const [features] = await read([params.entity], query);
      if (features === undefined) throw new UnknownEntityError(params.entity);
      return { user_id: params.entity, features };
    },
  );

  app.get<{ Params: { entity: string; feature: string }; Querystring: Options }>(
    '/features/:entity/:feature',
    { schema: { querystring: options, summary: 'One feature of an entity' } },
    async ({ params, query }) => {
      if (!known.includes(params.feature)) throw new UnknownFeatureError(params.feature, known);
      const [features] = await read([params.entity], query);
      const feature = features?.[params.feature];
      if (feature === undefined) throw new UnknownEntityError(params.entity);
      return { user_id: params.entity, feature: params.feature, ...feature };
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
    async ({ body, query }) => {
      const unknown = body.features?.find((name) => !known.includes(name));
      if (unknown !== undefined) throw new UnknownFeatureError(unknown, known);
      const results = await read(body.entities, query);
      const pick = (features: ServedFeatures): ServedFeatures =>
        body.features === undefined
          ? features
          : Object.fromEntries(body.features.map((name) => [name, features[name] as ServedFeature]));
      return {
        results: body.entities.map((entity, index) => {
          const features = results[index];
          return { user_id: entity, features: features === undefined ? null : pick(features) };
        }),
      };
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

  app.get('/features', { schema: { summary: 'Every feature there is: view, type, owner, window' } }, async () => ({
    features: views.flatMap((view) => {
      const { owner, entity, features } = describeView(view);
      return features.map((feature) => ({ ...feature, view: viewId(view), entity, owner }));
    }),
  }));

  app.get('/views', { schema: { summary: 'The feature views, their features and what they mean' } }, async () => ({
    views: views.map((view) => ({ id: viewId(view), ...describeView(view) })),
  }));

  return service;
}
