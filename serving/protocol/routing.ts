import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { needs } from '#monitoring/http/routes/route_access';
import { InvalidRequestError } from '../errors.ts';
import type { ModelServer } from '../inference/model_server.ts';
import type { Routing } from '../routing/routing.ts';
import { routingSchema } from '../routing/routing.ts';
import { parsedBody } from './requests.ts';
import * as schemas from './schemas.ts';

const changeSchema = z.strictObject({
  /** null: as the configuration says. */
  routing: routingSchema.nullable(),
  reason: z.string().min(1),
  /** The revision that the author has seen; absent: whatever it is. */
  revision: z.int().nonnegative().optional(),
});

const MOST_LISTED = 1_000;

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
  app.put<{ Params: { name: string } }>('/models/:name/routing', put, async (request) => {
    const { params, body, caller } = request;
    const { routing, reason, revision } = parsedBody(changeSchema, body);
    await models.ensure(params.name);
    return models.setRouting(params.name, routing as Routing | null, { by: caller, reason }, revision);
  });
  app.get<{ Params: { name: string }; Querystring: { limit?: string } }>(
    '/models/:name/routing/history',
    { schema: schemas.routingHistory, config: shown },
    async ({ params, query }) => {
      const limit = Number(query.limit ?? 100);
      if (!Number.isInteger(limit) || limit < 1 || limit > MOST_LISTED) {
        throw new InvalidRequestError(`limit must be an integer, 1 to ${MOST_LISTED}`);
      }
      await models.ensure(params.name);
      return { changes: await models.routingHistory(params.name, limit) };
    },
  );
}
