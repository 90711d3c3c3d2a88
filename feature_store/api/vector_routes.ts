import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasScope, requireScope } from '#connectors/http/access';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { jsonOfValues } from '#feature_store/definitions/values/value_codec';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { requestFields } from '#feature_store/retrieval/feature_vector';
import { needsSome } from '#monitoring/http/routes/route_access';
import { RequestFieldsError } from '../errors.ts';
import { mayReadView } from './readable_views.ts';
import { answers } from './schemas.ts';

interface VectorBody {
  readonly service: string;
  readonly rows: readonly { readonly entity: string; readonly request?: Readonly<Record<string, unknown>> }[];
}

const LARGEST_BATCH = 1_000;

/** What models see: the columns of a feature service, with what is computed on demand. */
export function registerVectorRoutes(app: FastifyInstance, features: FeatureReader): void {
  app.get(
    '/services',
    {
      config: { access: needsSome('features') },
      schema: { ...answers.services, summary: 'The feature services: columns, and what a request must bring' },
    },
    async (request) => ({
      services: features.services
        .filter(
          ({ stored }) => hasScope(request, 'features', '*') || stored.every(({ view }) => mayReadView(request, view)),
        )
        .map(({ owner, description, unknownEntities, signature }) => ({
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
      config: { access: needsSome('features') },
      schema: {
        ...answers.vectors,
        summary: 'Vectors of a feature service, as serving sees them; null where an entity is unknown',
        body: {
          type: 'object',
          required: ['service', 'rows'],
          examples: [{ service: 'fraud@1', rows: [{ entity: 'u-1' }] }],
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
    async (request) => {
      const { body } = request;
      requireService(request, body.service, features.find(body.service));
      const service = features.get(body.service);
      const requests = requestedRows(service, body.rows);
      const vectors = await features.read(service, requests);
      return {
        service: body.service,
        entity: service.entity.name,
        fingerprint: service.signature.fingerprint,
        vectors: vectors.map(({ entity, values, isKnown, failure }) =>
          failure === undefined
            ? { entity, features: isKnown ? jsonOfValues(values) : null }
            : { entity, features: null, error: { code: failure.code, message: failure.message } },
        ),
      };
    },
  );
}

/** A service is read by who may read all of its views; one that does not exist needs the scope that its name would have. */
export function requireService(request: FastifyRequest, id: string, service: FeatureService | undefined): void {
  if (service === undefined) requireScope(request, 'features', id);
  for (const { view } of service?.stored ?? []) requireScope(request, 'features', viewId(view));
}

/** Returns rows with the fields that on-demand features need. @throws {@link RequestFieldsError} naming the fields of all rows that are refused */
export function requestedRows<Row extends VectorBody['rows'][number]>(
  service: FeatureService,
  rows: readonly Row[],
): readonly (Omit<Row, 'request'> & { readonly request: ReturnType<typeof requestFields> })[] {
  const problems: RequestFieldsError['fields'][number][] = [];
  const requested = rows.map(({ request = {}, ...row }, index) => {
    try {
      return { ...row, request: requestFields(service, request) };
    } catch (error) {
      if (!(error instanceof RequestFieldsError)) throw error;
      for (const { field, problem } of error.fields) problems.push({ field: `rows.${index}.${field}`, problem });
      return { ...row, request: {} };
    }
  });
  if (problems.length > 0) throw new RequestFieldsError(problems);
  return requested;
}
