import type { FastifyInstance, FastifyRequest, FastifySchema, RouteShorthandOptions } from 'fastify';
import { hasScope, requireScope } from '#connectors/http/access';
import { UnsupportedMediaTypeError } from '#connectors/http/errors';
import { readableViews } from '#feature_store/api/readable_views';
import { answerWhy } from '#feature_store/api/why_routes';
import { HOUR_MS } from '#kernel/time';
import { RUN_STATUSES, type RunStatus } from '#kernel/workflow_runs';
import { needs } from '#monitoring/http/routes/route_access';
import { ErasureNotConfirmedError } from '../errors.ts';
import { moveVersion } from '../protocol/schemas.ts';
import type { MoveBody, VersionParams } from '../protocol/versions.ts';
import { answerWhyPrediction } from '../protocol/why.ts';
import type { Caller, Change } from './answers.ts';
import { registerAssets } from './assets.ts';
import { registerLive } from './live.ts';
import type { ConsoleSources, ListFilter } from './sources.ts';

/** How often figures are measured, ms: no point is of less. */
const FIGURES_EVERY_MS = 15_000;
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
const MOST_ROWS = 500;
const offset = { type: 'integer', minimum: 0, maximum: 1_000_000, default: 0 };
const paged = { text: { type: 'string', maxLength: 200 }, offset, limit: limitOf(MOST_ROWS, 50) };
/** Of a letter: the dead-letter topic holds large ones elsewhere. */
const LARGEST_PAYLOAD = 1_000_000;
const MOST_DAYS = 90;
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
  list: { querystring: object(paged) },
  figures: {
    querystring: object({
      hours: { type: 'number', exclusiveMinimum: 0, maximum: 72, default: 1 },
      points: { type: 'integer', minimum: 2, maximum: 1_000, default: 240 },
    }),
  },
  predictions: {
    querystring: object({ model: text, until: { type: 'string', format: 'date-time' }, limit: limitOf(MOST_ROWS, 50) }),
  },
  history: {
    querystring: object(
      { view: text, feature: text, days: { type: 'number', exclusiveMinimum: 0, maximum: MOST_DAYS, default: 1 } },
      ['view', 'feature'],
    ),
  },
  messages: { querystring: object({ partition: text, limit: limitOf(200, 20) }) },
  changes: { querystring: object({ ...paged, kind: { type: 'string', enum: ['model', 'routing', 'run'] } }) },
  search: { querystring: object({ text: { ...text, maxLength: 200 } }, ['text']) },
  version: {
    params: {
      type: 'object',
      properties: { name: text, version: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 } },
    },
  },
  resend: { body: object({ payload: { type: 'string', maxLength: LARGEST_PAYLOAD } }, ['payload']) },
  erase: { body: object({ confirm: text }, ['confirm']) },
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
  const acting = (...scopes: Parameters<typeof needs>) => ({
    schema: { hide: true },
    config: { access: needs(...scopes), ownOriginOnly: true },
    onRequest: requireJson,
  });
  registerAssets(app);
  registerLive(app);
  app.get('/console/api/links', hidden, async () => sources.links);
  app.get('/console/api/pipelines', hidden, async () => ({ pipelines: await sources.pipelines() }));
  app.get(
    '/console/api/me',
    hidden,
    async ({ caller, grants }): Promise<Caller> => ({
      ...{ caller, scopes: grants?.scopes ?? [] },
    }),
  );
  registerCatalogue(app, sources, hidden);
  registerData(app, sources, { hidden, acting });
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
  app.get('/console/api/alerts', hidden, async () => ({ alerts: await sources.alerts() }));
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

interface Routes {
  readonly hidden: RouteShorthandOptions;
  readonly acting: (...scopes: Parameters<typeof needs>) => RouteShorthandOptions;
}

/** What is defined, and how it does. */
function registerCatalogue(app: FastifyInstance, sources: ConsoleSources, hidden: RouteShorthandOptions): void {
  const list = checking(hidden, requests.list);
  app.get('/console/api/overview', hidden, () => sources.overview());
  app.get<{ Querystring: { hours: number; points: number } }>(
    '/console/api/figures',
    checking(hidden, requests.figures),
    async ({ query: { hours, points } }) => {
      const untilMs = Date.now();
      const sinceMs = untilMs - hours * HOUR_MS;
      const stepMs = Math.max(FIGURES_EVERY_MS, Math.ceil((untilMs - sinceMs) / points));
      return { points: await sources.figures({ sinceMs, untilMs, stepMs }) };
    },
  );
  app.get<{ Querystring: ListFilter }>('/console/api/features', list, ({ query }) => sources.features(query));
  app.get<{ Querystring: ListFilter }>('/console/api/views', list, ({ query }) => sources.views(query));
  app.get<{ Params: { view: string } }>('/console/api/views/:view', hidden, async (request) => {
    const details = await sources.view(request.params.view);
    // Ids are of those who may read the view.
    return hasScope(request, 'features', request.params.view) ? details : { ...details, entities: [] };
  });
  app.get<{ Params: { view: string; feature: string } }>(
    '/console/api/views/:view/features/:feature',
    hidden,
    ({ params }) => sources.feature(params.view, params.feature),
  );
  app.get('/console/api/services', hidden, async () => ({ services: sources.services() }));
  app.get<{ Params: { service: string } }>('/console/api/services/:service', hidden, ({ params }) =>
    sources.service(params.service),
  );
  app.get('/console/api/sources', hidden, async () => ({ sources: sources.sourcesOfViews() }));
  app.get('/console/api/lineage', hidden, () => sources.lineage());
  app.get<{ Querystring: { text: string } }>(
    '/console/api/search',
    checking(hidden, requests.search),
    async ({ query }) => ({ hits: await sources.search(query.text) }),
  );
  app.get<{ Params: { name: string; version: number } }>(
    '/console/api/models/:name/versions/:version',
    checking(hidden, requests.version),
    ({ params }) => sources.version(params.name, params.version),
  );
  app.get<{ Querystring: ListFilter & { kind?: Change['kind'] } }>(
    '/console/api/changes',
    checking(hidden, requests.changes),
    ({ query }) => sources.changes(query),
  );
}

/** What is in stores and topics: values of entities, predictions, messages, dead letters. */
function registerData(app: FastifyInstance, sources: ConsoleSources, { hidden, acting }: Routes): void {
  interface OfEntity {
    readonly entity: string;
    readonly id: string;
  }
  app.get('/console/api/entities', hidden, async () => ({ entities: sources.entities.names }));
  app.get<{ Params: OfEntity }>('/console/api/entities/:entity/:id', hidden, async (request) => {
    const { entity, id } = request.params;
    const details = await sources.entities.details(entity, id, (view) => hasScope(request, 'features', view));
    return { ...details, predictions: details.predictions.filter(({ model }) => hasScope(request, 'explain', model)) };
  });
  app.get<{ Params: OfEntity; Querystring: { view: string; feature: string; days: number } }>(
    '/console/api/entities/:entity/:id/history',
    checking(hidden, requests.history),
    async (request) => {
      requireScope(request, 'features', request.query.view);
      return sources.entities.history(request.params.entity, request.params.id, request.query);
    },
  );
  app.post<{ Params: OfEntity; Body: { confirm: string } }>(
    '/console/api/entities/:entity/:id/erase',
    checking(acting('console:erase'), requests.erase),
    async ({ params, body }) => {
      if (body.confirm !== params.id) throw new ErasureNotConfirmedError(params.id);
      return sources.entities.erase(params.entity, params.id);
    },
  );
  app.get<{ Querystring: { model?: string; until?: string; limit: number } }>(
    '/console/api/predictions',
    checking(hidden, requests.predictions),
    async (request) => {
      const { model, until, limit } = request.query;
      const rows = await sources.predictions({
        model,
        limit,
        untilMs: until === undefined ? undefined : Date.parse(until),
      });
      return { predictions: rows.filter((row) => hasScope(request, 'explain', row.model)) };
    },
  );
  app.get('/console/api/topics', hidden, async () => ({ topics: await sources.topics() }));
  app.get<{ Params: { topic: string }; Querystring: { partition?: string; limit: number } }>(
    '/console/api/topics/:topic/messages',
    checking(hidden, requests.messages),
    async (request) => {
      // A topic holds events of every entity, and predictions of every model.
      requireScope(request, 'features', '*');
      const { partition, limit } = request.query;
      return { messages: await sources.messages(request.params.topic, partition, limit) };
    },
  );
  interface OfLetter {
    readonly partition: string;
    readonly offset: string;
  }
  const LETTER = '/console/api/dead-letters/:partition/:offset';
  app.get<{ Params: OfLetter }>(LETTER, hidden, ({ params }) => sources.letter(`${params.partition}/${params.offset}`));
  app.post<{ Params: OfLetter; Body: { payload: string } }>(
    `${LETTER}/resend`,
    checking(acting(['console:act', 'console:replay']), requests.resend),
    ({ params, body }) => sources.resend(`${params.partition}/${params.offset}`, body.payload),
  );
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
function registerWorkflows(app: FastifyInstance, sources: ConsoleSources, { hidden, acting }: Routes): void {
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
