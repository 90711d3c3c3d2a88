import type { FastifyInstance } from 'fastify';
import type { OnlineStore } from '#feature_store/online/online_store';
import { needs } from '#monitoring/route_access';
import { answers } from './schemas.ts';

interface CounterPath {
  readonly entity: string;
  readonly counter: string;
}

const params = {
  type: 'object',
  properties: {
    entity: { type: 'string', minLength: 1 },
    counter: { type: 'string', pattern: '^[a-z][a-z0-9_]*$' },
  },
} as const;

/** Counters of entities, beside their features. */
export function registerCounterRoutes(app: FastifyInstance, store: Pick<OnlineStore, 'increment'>): void {
  app.get<{ Params: CounterPath }>(
    '/counters/:entity/:counter',
    {
      config: { access: needs('features:counters') },
      schema: { ...answers.readCounter, summary: 'What a counter of an entity is; 0 before it was counted', params },
    },
    async ({ params: { entity, counter } }) => ({ entity, counter, value: await store.increment(entity, counter, 0) }),
  );
  app.post<{ Params: CounterPath; Body: { readonly by?: number } | undefined }>(
    '/counters/:entity/:counter',
    {
      config: { access: needs(({ counter }) => `counters:${counter}`) },
      schema: {
        ...answers.addToCounter,
        summary: 'Adds to a counter, 1 unless the body says otherwise; a repeated request counts again',
        params,
        body: {
          type: ['object', 'null'],
          additionalProperties: false,
          properties: { by: { type: 'integer', minimum: -1_000_000_000, maximum: 1_000_000_000 } },
        },
      },
    },
    async ({ params: { entity, counter }, body }) => {
      const value = await store.increment(entity, counter, body?.by ?? 1);
      return { entity, counter, value };
    },
  );
}
