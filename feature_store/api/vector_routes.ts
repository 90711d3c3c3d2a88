import type { FastifyInstance } from 'fastify';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { requestFields } from '#feature_store/retrieval/feature_vector';
import { RequestFieldsError } from '../errors.ts';

interface VectorBody {
  readonly service: string;
  readonly rows: readonly { readonly entity: string; readonly request?: Readonly<Record<string, unknown>> }[];
}

const LARGEST_BATCH = 1_000;

/** What models see: the columns of a feature service, with what is computed on demand. */
export function registerVectorRoutes(app: FastifyInstance, features: FeatureReader): void {
  app.get(
    '/services',
    { schema: { summary: 'The feature services: columns, and what a request must bring' } },
    async () => ({
      services: features.services.map(({ owner, description, unknownEntities, signature }) => ({
        ...signature,
        owner,
        description,
        unknown_entities: unknownEntities,
      })),
    }),
  );

  app.post<{ Body: VectorBody }>(
    '/features/vector',
    {
      schema: {
        summary: 'Vectors of a feature service, as serving sees them; null where an entity is unknown',
        body: {
          type: 'object',
          required: ['service', 'rows'],
          additionalProperties: false,
          properties: {
            service: { type: 'string', description: 'As name@version; a view is a service too' },
            rows: {
              type: 'array',
              minItems: 1,
              maxItems: LARGEST_BATCH,
              items: {
                type: 'object',
                required: ['entity'],
                additionalProperties: false,
                properties: {
                  entity: { type: 'string', minLength: 1, description: "An id of the service's entity" },
                  request: { type: 'object', description: 'What features computed on demand need' },
                },
              },
            },
          },
        },
      },
    },
    async ({ body }) => {
      const service = features.get(body.service);
      const problems: RequestFieldsError['fields'][number][] = [];
      const requests = body.rows.map(({ entity, request = {} }, index) => {
        try {
          return { entity, request: requestFields(service, request) };
        } catch (error) {
          if (!(error instanceof RequestFieldsError)) throw error;
          for (const { field, problem } of error.fields) problems.push({ field: `rows.${index}.${field}`, problem });
          return { entity, request: {} };
        }
      });
      if (problems.length > 0) throw new RequestFieldsError(problems);
      const vectors = await features.read(service, requests);
      return {
        service: body.service,
        entity: service.entity.name,
        fingerprint: service.signature.fingerprint,
        vectors: vectors.map(({ entity, values, isKnown }) => ({ entity, features: isKnown ? values : null })),
      };
    },
  );
}
