import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasScope, requireScope } from '#connectors/http/access';
import { ForbiddenError } from '#connectors/http/errors';
import type { JsonObject } from '#kernel/json';
import { needsSome } from '#monitoring/http/routes/route_access';
import { PredictionNotLoggedError } from '../errors.ts';
import type { ExplainPrediction } from '../explain/prediction_explanation.ts';
import { predictionJson } from '../explain/prediction_json.ts';
import * as schemas from './schemas.ts';

/** GET /why/predictions/ID: why a logged prediction is what it is. */
export function registerWhyRoute(app: FastifyInstance, explain: ExplainPrediction): void {
  app.get<{ Params: { id: string }; Querystring: { row?: number } }>(
    '/why/predictions/:id',
    { schema: schemas.whyPrediction, config: { access: needsSome('explain') } },
    (request) => answerWhyPrediction(request, explain, { id: request.params.id, row: request.query.row ?? 0 }),
  );
}

/**
 * Returns an explanation with the values that the caller may see: those of views for which it has `features:VIEW`.
 *
 * @throws {@link PredictionNotLoggedError} where there is no such row, and without `explain:MODEL`: an id names no model, and whether another one has answered it is not revealed
 */
export async function answerWhyPrediction(
  request: FastifyRequest,
  explain: ExplainPrediction,
  { id, row }: { readonly id: string; readonly row: number },
): Promise<JsonObject> {
  const allow = (model: string): void => requireScope(request, 'explain', model);
  const explanation = await explain({ id, row, allow }).catch((error: unknown) => {
    if (error instanceof ForbiddenError) return undefined;
    throw error;
  });
  if (explanation === undefined) throw new PredictionNotLoggedError(id, row);
  return predictionJson(explanation, (view) => hasScope(request, 'features', view));
}
