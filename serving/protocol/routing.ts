import type { FastifyInstance } from 'fastify';
import { needs } from '#monitoring/http/routes/route_access';
import type { ModelServer } from '../inference/model_server.ts';
import type { Routing } from '../routing/routing.ts';
import { routingSchema } from '../routing/routing.ts';
import { documentIn } from './requests.ts';
import * as schemas from './schemas.ts';

interface Change {
  /** null: as the configuration says. */
  readonly routing: unknown;
  readonly reason: string;
  /** The revision that the author has seen; absent: whatever it is. */
  readonly revision?: number;
}

/** How requests for a model are assigned: read and changed at run time, and who changed it. */
export function registerRoutingRoutes(app: FastifyInstance, models: ModelServer): void {
  const shown = { access: needs(({ name }) => [`routing:${name}`, 'console:read']) };
  const changed = { access: needs(({ name }) => `routing:${name}`), ownOriginOnly: true };
  app.get<{ Params: { name: string } }>(
    '/models/:name/routing',
    { schema: schemas.getRouting, config: shown },
    async ({ params }) => {
      await models.ensure(params.name);
      return models.routingOf(params.name);
    },
  );
  const put = { schema: schemas.putRouting, config: changed };
  app.put<{ Params: { name: string }; Body: Change }>('/models/:name/routing', put, async (request) => {
    const { params, body, caller } = request;
    const { reason, revision } = body;
    const routing = documentIn(routingSchema.nullable(), 'routing', body.routing);
    await models.ensure(params.name);
    return models.setRouting(params.name, routing as Routing | null, { by: caller, reason }, revision);
  });
  app.get<{ Params: { name: string }; Querystring: { limit: number } }>(
    '/models/:name/routing/history',
    { schema: schemas.routingHistory, config: shown },
    async ({ params, query }) => {
      await models.ensure(params.name);
      return { changes: await models.routingHistory(params.name, query.limit) };
    },
  );
}
