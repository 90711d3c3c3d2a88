import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteShorthandOptions } from 'fastify';
import { requireScope } from '#connectors/http/access';
import { UnsupportedMediaTypeError } from '#connectors/http/errors';
import { readableViews } from '#feature_store/api/readable_views';
import { answerWhy } from '#feature_store/api/why_routes';
import { assetPath } from '#kernel/project_root';
import { RUN_STATUSES, type RunStatus } from '#kernel/workflow_runs';
import { needs, open } from '#monitoring/http/routes/route_access';
import { moveVersion } from '../protocol/schemas.ts';
import type { MoveBody, VersionParams } from '../protocol/versions.ts';
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

const text = { type: 'string', minLength: 1 } as const;
const object = (properties: Readonly<Record<string, object>>, required: readonly string[] = []) => ({
  ...{ type: 'object', additionalProperties: false, properties, required: [...required] },
});
/** A body that may be left out. */
const optional = (properties: Readonly<Record<string, object>>) => ({
  ...object(properties),
  type: ['object', 'null'],
});
const limitOf = (most: number, usual: number) => ({ type: 'integer', minimum: 1, maximum: most, default: usual });
const reason = { ...text, maxLength: 10_000 } as const;
const letters = { stage: text, reason: text };
/** What parts of requests have to be. */
const requests = {
  letters: { querystring: object({ ...letters, limit: limitOf(MOST_LETTERS, 100) }) },
  replay: { body: optional(letters) },
  why: {
    querystring: object({
      ...{ view: text, at: { type: 'string', format: 'date-time' } },
      ...{ offset: { type: 'integer', minimum: 0, default: 0 }, limit: limitOf(MOST_EVENTS, 50) },
    }),
  },
  whyPrediction: { querystring: object({ row: { type: 'integer', minimum: 0, default: 0 } }) },
  move: { params: moveVersion.params, body: moveVersion.body },
  runs: { querystring: object({ workflow: text, status: { type: 'string', enum: RUN_STATUSES } }) },
  cancel: { body: object({ reason }, ['reason']) },
  nothing: { body: optional({}) },
  answer: { body: object({ reason, state: text }, ['reason', 'state']) },
};

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
  app.get<{ Params: { entity: string; feature: string }; Querystring: { limit: number; offset: number } }>(
    '/console/api/why/:entity/:feature',
    checking(hidden, requests.why),
    async (request) => {
      const { entity: id, feature } = request.params;
      return answerWhy(request, explain, readable, { id, feature, ...request.query });
    },
  );
  app.get<{ Params: { id: string }; Querystring: { row: number } }>(
    '/console/api/predictions/:id/why',
    checking(hidden, requests.whyPrediction),
    async (request) => {
      const { row } = request.query;
      return answerWhyPrediction(request, sources.explainPrediction, { id: request.params.id, row });
    },
  );
  app.get('/console/api/versions', hidden, async () => ({ versions: await sources.versions() }));
  app.get<{ Params: { name: string } }>('/console/api/models/:name/trail', hidden, async ({ params }) => ({
    trail: await sources.trail(params.name),
  }));
  app.get('/console/api/drift', hidden, async () => ({ reports: await sources.drift() }));
  app.get('/console/api/alerts', hidden, async () => ({ alerts: (await sources.alerts()) ?? null }));
  app.get<{ Querystring: Letters & { limit: number } }>(
    '/console/api/dead-letters',
    checking(hidden, requests.letters),
    async (request) => {
      const { limit, ...filter } = request.query;
      return sources.deadLetters(filter, limit);
    },
  );
  app.post<{ Body: Letters | null }>(
    '/console/api/dead-letters/replay',
    checking(acting(['console:act', 'console:replay']), requests.replay),
    async (request) => sources.replay(request.body ?? {}),
  );
  app.post<{ Params: VersionParams; Body: MoveBody }>(
    '/console/api/models/:name/versions/:version/move',
    checking(
      acting(({ name }) => ['console:act', `promote:${name}`]),
      requests.move,
    ),
    async ({ params, body, caller }) => sources.move(params.name, params.version, { ...body, by: caller }),
  );
  registerWorkflows(app, sources, { hidden, acting });
}

/** Which dead letters are meant; none: all. */
interface Letters {
  readonly stage?: string;
  readonly reason?: string;
}

/** A route of the console with the schemas of its request. */
const checking = (route: RouteShorthandOptions, parts: FastifySchema): RouteShorthandOptions => ({
  ...route,
  schema: { ...route.schema, ...parts },
});

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
  app.get<{ Querystring: { workflow?: string; status?: RunStatus } }>(
    '/console/api/runs',
    checking(hidden, requests.runs),
    async ({ query }) => ({ runs: await sources.runs(query) }),
  );
  app.get<{ Params: { run: string } }>('/console/api/runs/:run', hidden, async ({ params }) => sources.run(params.run));
  const RUN = '/console/api/workflows/:workflow/runs/:run';
  const mayOperate = acting(({ workflow }) => ['console:act', `operate:${workflow}`]);
  const mayApprove = acting(({ workflow }) => ['console:act', `approve:${workflow}`]);
  app.post<{ Params: OfRun; Body: { reason: string } }>(
    `${RUN}/cancel`,
    checking(mayOperate, requests.cancel),
    async ({ params, body, caller: by }) =>
      sources.changeRun(params.workflow, params.run, { action: 'cancel', by, ...body }),
  );
  app.post<{ Params: OfRun }>(
    `${RUN}/redrive`,
    checking(mayOperate, requests.nothing),
    async ({ params, caller: by }) => sources.changeRun(params.workflow, params.run, { action: 'redrive', by }),
  );
  for (const action of ['approve', 'reject'] as const) {
    app.post<{ Params: OfRun; Body: { reason: string; state: string } }>(
      `${RUN}/${action}`,
      checking(mayApprove, requests.answer),
      async (request) => {
        const { params, body, caller: by } = request;
        const requireRole = (role: string): void => requireScope(request, 'role', role);
        return sources.changeRun(params.workflow, params.run, { action, by, requireRole, ...body });
      },
    );
  }
}
