import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasScope } from '#connectors/http/access';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { StatisticsStore } from '#feature_store/statistics/statistics_store';
import { parseUtcTime } from '#kernel/times/utc_time';
import { needsSome } from '#monitoring/http/routes/route_access';
import { UnknownViewError } from '../errors.ts';
import type { ReadableViews } from './readable_views.ts';
import { answers } from './schemas.ts';

interface StatisticsQuery {
  readonly view?: string;
  readonly feature?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
}

const time = { type: 'string', format: 'date-time' } as const;

const EARLIEST_MS = Date.parse('0001-01-01T00:00:00Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z');

/** Returns a bound in ms; one that lies outside the years 1 to 9999, where no window is, is their first or last moment. */
function storableTime(text: string | undefined): number | undefined {
  const time = text === undefined ? undefined : parseUtcTime(text);
  return time === undefined ? undefined : Math.min(LATEST_MS, Math.max(EARLIEST_MS, time));
}

/** Distributions of features over time. */
export function registerStatisticsRoutes(
  app: FastifyInstance,
  statistics: Pick<StatisticsStore, 'list'>,
  readable: (request: FastifyRequest, named?: string) => ReadableViews,
): void {
  app.get<{ Querystring: StatisticsQuery }>(
    '/stats',
    {
      config: { access: needsSome('features') },
      schema: {
        ...answers.statistics,
        summary: 'Distributions of features, by window of event time, the newest first',
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            view: { type: 'string', description: 'Only of this view, as name@version' },
            feature: { type: 'string', description: 'Only of this feature' },
            from: { ...time, description: 'Windows that begin then or later' },
            to: { ...time, description: 'Windows that begin before' },
            limit: { type: 'integer', minimum: 1, maximum: 10_000, default: 200 },
          },
        },
      },
    },
    async (request) => {
      const { query } = request;
      const { views } = readable(request, query.view);
      const view = query.view === undefined ? undefined : views.find((candidate) => viewId(candidate) === query.view);
      if (query.view !== undefined && view === undefined) throw new UnknownViewError(query.view, views.map(viewId));
      const filter = {
        feature: query.feature,
        fromMs: storableTime(query.from),
        toMs: storableTime(query.to),
        limit: query.limit,
      };
      // A caller of every view also reads windows of views that are no longer defined.
      const chosen = view !== undefined || hasScope(request, 'features', '*') ? [view] : views;
      const found = (await Promise.all(chosen.map((each) => statistics.list({ ...filter, view: each }))))
        .flat()
        .sort((a, b) => b.windowStartMs - a.windowStartMs)
        .slice(0, query.limit);
      return {
        statistics: found.map(({ feature, windowStartMs, windowMs, statistics, ...reference }) => ({
          view: viewId(reference),
          feature,
          window_start: new Date(windowStartMs).toISOString(),
          window_ms: windowMs,
          null_share: statistics.rows === 0 ? 0 : statistics.nulls / statistics.rows,
          ...statistics,
        })),
      };
    },
  );
}
