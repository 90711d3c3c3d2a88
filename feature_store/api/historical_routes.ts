import type { FastifyInstance } from 'fastify';
import { EntityKeyError } from '#feature_store/definitions/errors';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import { entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { jsonOfValue } from '#feature_store/definitions/values/value_codec';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { historicalVectors, type RequestedMoment } from '#feature_store/retrieval/historical_vectors';
import { eventTime } from '#kernel/time';
import { parseUtcTime } from '#kernel/times/utc_time';
import { needsSome } from '#monitoring/http/routes/route_access';
import { RequestFieldsError } from '../errors.ts';
import { answers } from './schemas.ts';
import { requestedRows, requireService } from './vector_routes.ts';

interface HistoricalRow {
  readonly entity: string;
  readonly timestamp: string;
  readonly request?: Readonly<Record<string, unknown>>;
}

interface HistoricalBody {
  readonly service: string;
  readonly rows: readonly HistoricalRow[];
  readonly known_at_timestamp?: boolean;
}

/** What one statement of the point-in-time join reads; clients send larger sets in parts. */
const MOST_ROWS = 5_000;
/** 5,000 rows with requests of 1.6 kB each. */
const LARGEST_BODY_BYTES = 8 * 1024 * 1024;

const body = {
  type: 'object',
  required: ['service', 'rows'],
  additionalProperties: false,
  examples: [{ service: 'fraud@1', rows: [{ entity: 'u-1', timestamp: '2026-11-28T12:00:00Z' }] }],
  properties: {
    service: { type: 'string', description: 'As name@version; a view is a service too' },
    rows: {
      type: 'array',
      minItems: 1,
      maxItems: MOST_ROWS,
      items: {
        type: 'object',
        required: ['entity', 'timestamp'],
        additionalProperties: false,
        properties: {
          entity: { type: 'string', minLength: 1, description: "An id of the service's entity" },
          timestamp: { type: 'string', format: 'date-time', description: 'Values are those of this time' },
          request: { type: 'object', description: 'What features computed on demand need' },
        },
      },
    },
    known_at_timestamp: {
      type: 'boolean',
      default: false,
      description: 'Only values count that had been computed by the timestamp, as serving would have read them',
    },
  },
} as const;

/** POST /features/historical: what models would have seen of entities at past times. */
export function registerHistoricalRoutes(
  app: FastifyInstance,
  features: FeatureReader,
  history: Pick<OfflineStore, 'pointInTimeJoin'>,
): void {
  app.post<{ Body: HistoricalBody }>(
    '/features/historical',
    {
      bodyLimit: LARGEST_BODY_BYTES,
      config: { access: needsSome('features') },
      schema: {
        ...answers.historical,
        body,
        summary: 'Values of a feature service at past times, column by column; null where nothing was known then',
      },
    },
    async (request) => {
      const { service: id, rows, known_at_timestamp: knownAtMoment = false } = request.body;
      requireService(request, id, features.find(id));
      const service = features.get(id);
      const vectors = await historicalVectors(history, service, momentsOf(service, rows), {
        knownAtMoment,
        nameOf: (index) => `rows.${index} (${rows[index]?.entity})`,
      });
      return {
        ...{ service: id, entity: service.entity.name, fingerprint: service.signature.fingerprint },
        columns: service.columns.map(({ name, type }) => ({
          ...{ name, type },
          values: vectors.map((values) => jsonOfValue(values[name] ?? null)),
        })),
      };
    },
  );
}

/** @throws {@link RequestFieldsError} naming the rows whose fields, entities or times are refused */
function momentsOf(service: FeatureService, rows: readonly HistoricalRow[]): readonly RequestedMoment[] {
  const problems: RequestFieldsError['fields'][number][] = [];
  const moments = requestedRows(service, rows).flatMap(({ entity, timestamp, request }, index) => {
    const timeMs = parseUtcTime(timestamp);
    if (timeMs === undefined) {
      problems.push({ field: `rows.${index}.timestamp`, problem: 'must be a time such as 2026-11-28T12:00:00Z' });
      return [];
    }
    try {
      return [{ entityKey: entityKeyFromId(service, entity), eventTime: eventTime(timeMs), request }];
    } catch (error) {
      if (!(error instanceof EntityKeyError)) throw error;
      problems.push({ field: `rows.${index}.entity`, problem: error.message });
      return [];
    }
  });
  if (problems.length > 0) throw new RequestFieldsError(problems);
  return moments;
}
