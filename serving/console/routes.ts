import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import { z } from 'zod';
import { requireScope } from '#connectors/http/access';
import { UnsupportedMediaTypeError } from '#connectors/http/errors';
import { readableViews } from '#feature_store/api/readable_views';
import { answerWhy } from '#feature_store/api/why_routes';
import { assetPath } from '#kernel/project_root';
import { RUN_STATUSES } from '#kernel/workflow_runs';
import { needs, open } from '#monitoring/http/routes/route_access';
import { parsedBody } from '../protocol/requests.ts';
import { moveAsked } from '../protocol/versions.ts';
import { answerWhyPrediction } from '../protocol/why.ts';
import type { ConsoleSources } from './sources.ts';

const FOLDER = 'dist/serving/console';
const ASSETS = {
  'index.html': 'text/html; charset=utf-8',
  'app.js': 'text/javascript',
  'app.css': 'text/css',
} as const;
/** The page loads nothing from elsewhere, and no other page frames it. */
const CONTENT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const MOST_LETTERS = 500;
const MOST_EVENTS = 500;

const filterSchema = z.strictObject({
  stage: z.string().min(1).optional(),
  reason: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(MOST_LETTERS).default(100),
});
const whySchema = z.strictObject({
  view: z.string().min(1).optional(),
  at: z.iso.datetime({ offset: true }).optional(),
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(MOST_EVENTS).default(50),
});
const whyPredictionSchema = z.strictObject({ row: z.coerce.number().int().min(0).default(0) });
const runsSchema = z.strictObject({ workflow: z.string().min(1).optional(), status: z.enum(RUN_STATUSES).optional() });
const reason = z.string().min(1, 'say why: it is kept').max(10_000);
const cancelSchema = z.strictObject({ reason });
const answerSchema = z.strictObject({ reason, state: z.string().min(1) });
const nothingSchema = z.strictObject({});
const replaySchema = z.strictObject({ stage: z.string().min(1).optional(), reason: z.string().min(1).optional() });

const parsed = <T>(schema: z.ZodType<T>, value: unknown): T => parsedBody(schema, value ?? {});

/** A form of another page can send no JSON: the browser asks this listener first. */
async function requireJson({ headers }: FastifyRequest): Promise<void> {
  const type = headers['content-type'];
  if (type === undefined || !/^application\/json\s*(;|$)/i.test(type)) {
    throw new UnsupportedMediaTypeError(type, 'application/json');
  }
}

/** GET /console, and what its pages read below /console/api. */
export function registerConsole(app: FastifyInstance, sources: ConsoleSources): void {
  const hidden = { schema: { hide: true }, config: { access: needs('console:read') } };
  // The page itself is open: what it shows is not.
  const page = { schema: { hide: true }, config: { access: open() } };
  const acting = (...scopes: Parameters<typeof needs>) => ({
    schema: { hide: true },
    config: { access: needs(...scopes), ownOriginOnly: true },
    onRequest: requireJson,
  });
  for (const [name, type] of Object.entries(ASSETS)) {
    const content = readFileSync(assetPath(`${FOLDER}/${name}`));
    const etag = `"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`;
    const serve = async (request: FastifyRequest, reply: FastifyReply) => {
      reply.headers({ 'content-security-policy': CONTENT_POLICY, 'cache-control': 'no-cache', etag });
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(type).send(content);
    };
    for (const url of name === 'index.html' ? ['/console', '/console/'] : [`/console/${name}`])
      app.get(url, page, serve);
  }
  app.get('/console/api/links', hidden, async () => sources.links);
  app.get('/console/api/pipelines', hidden, async () => ({ pipelines: await sources.pipelines() }));
  app.get('/console/api/features', hidden, async () => ({ features: await sources.features() }));
  const { explain, views } = sources.why;
  const readable = readableViews(views);
  app.get<{ Params: { entity: string; feature: string } }>(
    '/console/api/why/:entity/:feature',
    hidden,
    async (request) => {
      const { entity: id, feature } = request.params;
      return answerWhy(request, explain, readable, { id, feature, ...parsed(whySchema, request.query) });
    },
  );
  app.get<{ Params: { id: string } }>('/console/api/predictions/:id/why', hidden, async (request) => {
    const { row } = parsed(whyPredictionSchema, request.query);
    return answerWhyPrediction(request, sources.explainPrediction, { id: request.params.id, row });
  });
  app.get('/console/api/versions', hidden, async () => ({ versions: await sources.versions() }));
  app.get<{ Params: { name: string } }>('/console/api/models/:name/trail', hidden, async ({ params }) => ({
    trail: await sources.trail(params.name),
  }));
  app.get('/console/api/drift', hidden, async () => ({ reports: await sources.drift() }));
  app.get('/console/api/alerts', hidden, async () => ({ alerts: (await sources.alerts()) ?? null }));
  app.get('/console/api/dead-letters', hidden, async (request) => {
    const { limit, ...filter } = parsed(filterSchema, request.query);
    return sources.deadLetters(filter, limit);
  });
  app.post('/console/api/dead-letters/replay', acting('console:act'), async (request) =>
    sources.replay(parsed(replaySchema, request.body)),
  );
  app.post<{ Params: { name: string; version: string } }>(
    '/console/api/models/:name/versions/:version/move',
    acting(({ name }) => ['console:act', `promote:${name}`]),
    async ({ params, body, caller }) => moveAsked(sources, params, body, caller),
  );
  registerWorkflows(app, sources, { hidden, acting });
}

interface OfRun {
  readonly workflow: string;
  readonly run: string;
}

/** What the pages of workflows read, and what can be done there: with the scopes of the API of workflows besides. */
function registerWorkflows(
  app: FastifyInstance,
  sources: ConsoleSources,
  {
    hidden,
    acting,
  }: {
    readonly hidden: RouteShorthandOptions;
    readonly acting: (...scopes: Parameters<typeof needs>) => RouteShorthandOptions;
  },
): void {
  app.get('/console/api/workflows', hidden, async () => ({ workflows: await sources.workflows() }));
  app.get('/console/api/schedules', hidden, async () => ({ schedules: await sources.schedules() }));
  app.get('/console/api/runs', hidden, async ({ query }) => ({ runs: await sources.runs(parsed(runsSchema, query)) }));
  app.get<{ Params: { run: string } }>('/console/api/runs/:run', hidden, async ({ params }) => sources.run(params.run));
  const RUN = '/console/api/workflows/:workflow/runs/:run';
  const mayOperate = acting(({ workflow }) => ['console:act', `operate:${workflow}`]);
  const mayApprove = acting(({ workflow }) => ['console:act', `approve:${workflow}`]);
  app.post<{ Params: OfRun }>(`${RUN}/cancel`, mayOperate, async ({ params, body, caller: by }) =>
    sources.changeRun(params.workflow, params.run, { action: 'cancel', by, ...parsed(cancelSchema, body) }),
  );
  app.post<{ Params: OfRun }>(`${RUN}/redrive`, mayOperate, async ({ params, body, caller: by }) => {
    parsed(nothingSchema, body);
    return sources.changeRun(params.workflow, params.run, { action: 'redrive', by });
  });
  for (const action of ['approve', 'reject'] as const) {
    app.post<{ Params: OfRun }>(`${RUN}/${action}`, mayApprove, async (request) => {
      const { params, body, caller: by } = request;
      const requireRole = (role: string): void => requireScope(request, 'role', role);
      return sources.changeRun(params.workflow, params.run, { action, by, requireRole, ...parsed(answerSchema, body) });
    });
  }
}
