import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasScope } from '#connectors/http/access';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { JsonObject } from '#kernel/json';
import { parseUtcTime } from '#kernel/times/utc_time';
import { needsSome } from '#monitoring/http/routes/route_access';
import { entityKeyFromId } from '../definitions/values/entity_key.ts';
import { UnknownViewError } from '../errors.ts';
import { explanationJson } from '../explanation/explanation_json.ts';
import type { ExplainValue, UsedBy } from '../explanation/value_explanation.ts';
import { viewOfFeature } from '../explanation/view_of_feature.ts';
import { viewsOf } from './entity_lookup.ts';
import { AmbiguousEntityError, UnknownEntityError, UnknownFeatureError } from './errors.ts';
import type { ReadableViews } from './readable_views.ts';
import { answers, paramsOf } from './schemas.ts';

interface WhyQuery {
  readonly view?: string | undefined;
  readonly entity?: string | undefined;
  readonly at?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

const LARGEST_PAGE = 1_000;

/** GET /why/…: why a feature of an entity has its value. */
export function registerWhyRoutes(
  app: FastifyInstance,
  explain: ExplainValue,
  readable: (request: FastifyRequest, named?: string) => ReadableViews,
): void {
  app.get<{ Params: { entity: string; feature: string }; Querystring: WhyQuery }>(
    '/why/:entity/:feature',
    {
      config: { access: needsSome('features') },
      schema: {
        ...answers.why,
        summary: 'Why a feature has its value: formula, window, events, and the same value computed from these events',
        params: paramsOf('entity', 'feature'),
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            view: { type: 'string', description: 'Of this view, as name@version; the newest version otherwise' },
            entity: { type: 'string', description: 'Whose id it is, such as user' },
            at: { type: 'string', format: 'date-time', description: 'As of this time; now without it' },
            offset: {
              type: 'integer',
              minimum: 0,
              default: 0,
              description: 'So many of the newest events are left out',
            },
            limit: { type: 'integer', minimum: 1, maximum: LARGEST_PAGE, default: 100, description: 'Most events' },
          },
        },
      },
    },
    (request) => {
      const { entity: id, feature } = request.params;
      const { entity: of, ...query } = request.query;
      return answerWhy(request, explain, readable, { id, feature, of, ...query });
    },
  );
}

/** Names the value that a caller requests an explanation of. */
export interface WhyQuestion extends Omit<WhyQuery, 'entity'> {
  readonly id: string;
  readonly feature: string;
  /** Whose id it is. */
  readonly of?: string | undefined;
}

/** Returns an explanation with what the caller may see. @throws {@link UnknownEntityError} where nothing is known of the entity */
export async function answerWhy(
  request: FastifyRequest,
  explain: ExplainValue,
  readable: (request: FastifyRequest, named?: string) => ReadableViews,
  { id, feature, of, view: named, at, offset, limit }: WhyQuestion,
): Promise<JsonObject> {
  const view = chosenView(readable(request, named), feature, { view: named, entity: of });
  const explanation = await explain({
    ...{ view, feature, entityKey: entityKeyFromId(view, id) },
    ...{ atMs: at === undefined ? undefined : parseUtcTime(at), page: { offset, limit } },
  });
  if (explanation === undefined) throw new UnknownEntityError(id);
  return explanationJson({ ...explanation, usedBy: shownTo(request, explanation.usedBy) });
}

/** @throws {@link UnknownFeatureError}, {@link UnknownViewError}; {@link AmbiguousEntityError} where several entities have a feature of the name */
function chosenView(
  { views, features }: ReadableViews,
  feature: string,
  { view: id, entity }: { readonly view: string | undefined; readonly entity: string | undefined },
): FeatureView {
  if (!features.has(feature)) throw new UnknownFeatureError(feature, [...features]);
  const having = viewsOf(views, entity).filter((view) => Object.hasOwn(view.features, feature));
  const view = viewOfFeature(having, feature, id);
  if (view === undefined) {
    if (id !== undefined) throw new UnknownViewError(id, having.map(viewId));
    throw new UnknownFeatureError(
      feature,
      viewsOf(views, entity).flatMap((each) => Object.keys(each.features)),
    );
  }
  const entities = new Set(having.map((each) => each.entity.name));
  if (id === undefined && entities.size > 1) throw new AmbiguousEntityError(feature, [...entities], 'several');
  return view;
}

/** Predictions and models are for callers that may use the model. */
function shownTo(request: FastifyRequest, { models, predictions }: UsedBy): UsedBy {
  const may = (model: string): boolean => hasScope(request, 'predict', model);
  return {
    models: models.filter(({ name }) => may(name)),
    predictions: predictions.filter(({ model }) => may(model)),
  };
}
