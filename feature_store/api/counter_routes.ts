import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityOf } from '#feature_store/definitions/values/entity_key';
import type { OnlineStore } from '#feature_store/online/online_store';
import { needs } from '#monitoring/http/routes/route_access';
import type { EntityLookup } from './entity_lookup.ts';
import { mayReadView } from './readable_views.ts';
import { answers, paramsOf } from './schemas.ts';

interface CounterPath {
  readonly entity: string;
  readonly counter: string;
}

interface CounterQuery {
  readonly entity?: string;
}

const params = paramsOf('entity', 'counter');

const querystring = {
  type: 'object',
  additionalProperties: false,
  properties: {
    entity: {
      type: 'string',
      description: 'Whose id it is, such as user; needed where there are several entities, unless rows of one tell',
    },
  },
} as const;

/** Counters of entities, beside their features. */
export function registerCounterRoutes(
  app: FastifyInstance,
  store: Pick<OnlineStore, 'increment'>,
  lookup: EntityLookup,
  views: readonly FeatureView[],
): void {
  const count = async (request: FastifyRequest<{ Params: CounterPath; Querystring: CounterQuery }>, by: number) => {
    const { entity: id, counter } = request.params;
    const readable = views.filter((view) => mayReadView(request, view));
    const key = await lookup.keyOf(id, request.query.entity, { views, readable });
    return { user_id: id, entity: entityOf(key), counter, value: await store.increment(key, counter, by) };
  };
  app.get<{ Params: CounterPath; Querystring: CounterQuery }>(
    '/counters/:entity/:counter',
    {
      config: { access: needs('features:counters') },
      schema: {
        ...answers.readCounter,
        summary: 'What a counter of an entity is; 0 before it was counted',
        params,
        querystring,
      },
    },
    (request) => count(request, 0),
  );
  app.post<{ Params: CounterPath; Querystring: CounterQuery; Body: { readonly by?: number } | undefined }>(
    '/counters/:entity/:counter',
    {
      config: { access: needs(({ counter }) => `counters:${counter}`) },
      schema: {
        ...answers.addToCounter,
        summary: 'Adds to a counter, 1 unless the body says otherwise; a repeated request counts again',
        params,
        querystring,
        body: {
          type: ['object', 'null'],
          additionalProperties: false,
          properties: { by: { type: 'integer', minimum: -1_000_000_000, maximum: 1_000_000_000 } },
          examples: [{ by: 2 }],
        },
      },
    },
    (request) => count(request, request.body?.by ?? 1),
  );
}
