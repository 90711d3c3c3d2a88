import type { FastifyInstance } from 'fastify';
import { requireScope } from '#connectors/http/access';
import type { Feature } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityKeyFromId, idOf } from '#feature_store/definitions/values/entity_key';
import { type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { oldestReadable } from '#feature_store/definitions/values/ttl';
import { codecOf } from '#feature_store/definitions/values/value_codec';
import { WrongTypeError } from '#feature_store/definitions/values/wrong_type_error';
import { type EmbeddingSearch, METRICS, type Metric } from '#feature_store/offline/embedding_search';
import type { OnlineStore } from '#feature_store/online/online_store';
import { type Clock, eventTime, isoTime } from '#kernel/time';
import { needsSome } from '#monitoring/http/routes/route_access';
import { RequestFieldsError, UnknownViewError } from '../errors.ts';
import { UnknownEntityError, UnknownFeatureError } from './errors.ts';
import { answers } from './schemas.ts';

interface SearchBody {
  readonly view: string;
  readonly feature: string;
  readonly vector?: readonly number[];
  readonly entity?: string;
  readonly metric?: Metric;
  readonly k?: number;
}

export interface SearchDeps {
  readonly embeddings: EmbeddingSearch;
  readonly store: Pick<OnlineStore, 'read'>;
  readonly views: readonly FeatureView[];
  readonly clock: Clock;
}

const MOST_NEIGHBOURS = 1_000;
const USUAL_NEIGHBOURS = 10;

const body = {
  type: 'object',
  required: ['view', 'feature'],
  additionalProperties: false,
  examples: [{ view: 'profile@1', feature: 'taste', entity: 'u-1', k: 5 }],
  properties: {
    view: { type: 'string', description: 'As name@version' },
    feature: { type: 'string', description: 'A feature of the view whose type is embedding(n)' },
    vector: {
      type: 'array',
      minItems: 1,
      items: { type: 'number' },
      description: 'What to be near to; or name an entity',
    },
    entity: { type: 'string', minLength: 1, description: 'Near to its own embedding; it is not found itself' },
    metric: { type: 'string', enum: [...METRICS], default: 'cosine', description: 'Smaller distances are nearer' },
    k: { type: 'integer', minimum: 1, maximum: MOST_NEIGHBOURS, default: USUAL_NEIGHBOURS },
  },
} as const;

/** POST /features/search: the entities whose embeddings are nearest. */
export function registerSearchRoutes(app: FastifyInstance, { embeddings, store, views, clock }: SearchDeps): void {
  app.post<{ Body: SearchBody }>(
    '/features/search',
    {
      config: { access: needsSome('features') },
      schema: {
        ...answers.search,
        body,
        summary: 'The entities whose newest embeddings are nearest to a vector, or to that of an entity',
      },
    },
    async (request) => {
      const { view: id, feature, metric = 'cosine', k = USUAL_NEIGHBOURS, vector, entity } = request.body;
      requireScope(request, 'features', id);
      const view = views.find((candidate) => viewId(candidate) === id);
      if (view === undefined) throw new UnknownViewError(id, views.map(viewId));
      const type = embeddingType(view, feature);
      if ((vector === undefined) === (entity === undefined)) {
        throw new RequestFieldsError([{ field: 'vector', problem: 'or entity is required, and not both' }]);
      }
      const except = entity === undefined ? undefined : entityKeyFromId(view, entity);
      let near: FeatureValue | undefined;
      if (except === undefined) near = vectorOf(type, vector);
      else {
        const [row] = await store.read(view, [except]);
        if (row === undefined) throw new UnknownEntityError(entity as string);
        near = row.values[feature];
        if (!(near instanceof Float32Array)) {
          throw new RequestFieldsError([{ field: 'entity', problem: `has no ${feature}: its newest row says none` }]);
        }
      }
      const found = await embeddings.search({
        ...{ view: view.view, version: view.version, feature, metric, limit: k, except },
        vector: near as Float32Array,
        oldest: view.ttlMs === 0 ? undefined : eventTime(oldestReadable(clock.now(), view.ttlMs)),
      });
      return {
        ...{ view: id, feature, metric, entity: view.entity.name },
        results: found.map(({ entityKey, distance, eventTime: at, computedAt }) => ({
          ...{ entity: idOf(entityKey), distance },
          ...{ event_time: isoTime(at), computed_at: isoTime(computedAt) },
        })),
      };
    },
  );
}

/** @throws {@link UnknownFeatureError} for what is no embedding of the view */
function embeddingType(view: FeatureView, feature: string): Feature['type'] {
  const features = view.features as Readonly<Record<string, Feature>>;
  const isEmbedding = (name: string): boolean => features[name]?.type.startsWith('embedding(') === true;
  const known = Object.keys(features).filter(isEmbedding);
  if (known.length === 0) {
    throw new RequestFieldsError([
      { field: 'view', problem: `is ${viewId(view)}, which has no feature of type embedding(n)` },
    ]);
  }
  if (!Object.hasOwn(features, feature) || !isEmbedding(feature)) throw new UnknownFeatureError(feature, known);
  return (features[feature] as Feature).type;
}

function vectorOf(type: Feature['type'], given: unknown): FeatureValue {
  try {
    return codecOf(type).take(given);
  } catch (error) {
    if (!(error instanceof WrongTypeError)) throw error;
    throw new RequestFieldsError([{ field: 'vector', problem: `must be ${type}: ${error.message}` }]);
  }
}
