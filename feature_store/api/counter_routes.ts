import type { FastifyInstance } from 'fastify';
import { entityOf } from '#feature_store/definitions/entity_key';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { EntityLookup } from './entity_lookup.ts';

interface CounterPath {
  readonly entity: string;
  readonly counter: string;
}

interface CounterQuery {
  readonly entity?: string;
}

const params = {
  type: 'object',
  properties: {
    entity: { type: 'string', minLength: 1 },
    counter: { type: 'string', pattern: '^[a-z][a-z0-9_]*$' },
  },
} as const;

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
): void {
  const count = async ({ entity: id, counter }: CounterPath, { entity }: CounterQuery, by: number) => {
    const key = await lookup.keyOf(id, entity);
    return { user_id: id, entity: entityOf(key), counter, value: await store.increment(key, counter, by) };
  };
  app.get<{ Params: CounterPath; Querystring: CounterQuery }>(
    '/counters/:entity/:counter',
    { schema: { summary: 'What a counter of an entity is; 0 before it was counted', params, querystring } },
    ({ params: of, query }) => count(of, query, 0),
  );
  app.post<{ Params: CounterPath; Querystring: CounterQuery; Body: { readonly by?: number } | undefined }>(
    '/counters/:entity/:counter',
    {
      schema: {
        summary: 'Adds to a counter, 1 unless the body says otherwise; a repeated request counts again',
        params,
        querystring,
        body: {
          type: ['object', 'null'],
          additionalProperties: false,
          properties: { by: { type: 'integer', minimum: -1_000_000_000, maximum: 1_000_000_000 } },
        },
      },
    },
    ({ params: of, query, body }) => count(of, query, body?.by ?? 1),
  );
}
