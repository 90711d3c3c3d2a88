import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse, RouteOptions } from 'fastify';
import { controlAccess } from '#connectors/http/access';
import { accessConfigSchema } from '#connectors/http/config';
import type { ContractCase } from '#kernel/contract';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { type PluginContext, type RolePlugin, registerPlugins } from '#monitoring/http/role_plugin';
import { silentLogger } from '#monitoring/log';
import { Registry } from '#monitoring/metrics';

/** What the contract of a plugin is tried with. */
export interface PluginContractOptions<Context extends PluginContext> {
  /** What the role gives beside log and metrics, such as `score` of serving; called for each listener. */
  readonly context: () => Omit<Context, keyof PluginContext>;
  /** Requests of the properties; default: 50. */
  readonly runs?: number;
}

/** A route as Fastify registered it, for one method. */
interface PluginRoute {
  readonly method: string;
  readonly url: string;
  readonly isOpen: boolean;
}

interface Listener {
  readonly app: FastifyInstance;
  readonly routes: readonly PluginRoute[];
}

const TIMEOUT_MS = 60_000;
const KEY = 'a-key-of-the-contract';
const NEIGHBOUR = '/contract/neighbour';
const PROBLEM = /^application\/(?:problem\+)?json/;
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/**
 * Returns the cases of what every plugin of a role does: it registers on a listener of its role, declares the callers of each route, answers no request with an internal
 * error, and leaves the routes of the platform as they are. The listener is the platform's own, in memory, without a port.
 *
 * ```ts
 * pluginContract(recommend, { context: () => ({ score: async () => [], vectors: async () => [] }) })
 * ```
 */
export function pluginContract<Context extends PluginContext>(
  plugin: RolePlugin<Context>,
  { context, runs = 50 }: PluginContractOptions<Context>,
): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const add = (name: string, check: (listener: Listener) => Promise<void>): void => {
    const run = async (): Promise<void> => {
      const listener = await listen([plugin], context);
      try {
        await check(listener);
      } finally {
        await listener.app.close();
      }
    };
    cases.push({ name, timeoutMs: TIMEOUT_MS, run });
  };

  add('it registers routes, also on a second listener of the process', async ({ routes }) => {
    assert.ok(plugin.name.length > 0, 'the plugin has no name');
    assert.ok(routes.length > 0, `the plugin ${plugin.name} registers no route`);
    const second = await listen([plugin], context);
    await second.app.close();
    assert.deepEqual(second.routes, routes);
  });

  add('a caller without a key is refused by each route that is not open', async ({ app, routes }) => {
    for (const route of routes.filter(({ isOpen }) => !isOpen)) {
      const answer = await app.inject(requestOf(route, 'x', {}, false));
      assert.equal(answer.statusCode, 401, `${nameOf(route)} answers ${answer.statusCode} without a key`);
    }
  });

  add('a body that is no JSON is refused, in the form of the platform', async ({ app, routes }) => {
    for (const route of routes.filter(({ method }) => WITH_BODY.has(method))) {
      for (const payload of ['{"a":', '{"a":1,"a":2}', '{"__proto__":{"a":1}}']) {
        const headers = { 'content-type': 'application/json', 'x-api-key': KEY };
        const answer = await app.inject({ ...requestOf(route, 'x', undefined, true), headers, payload });
        assert.equal(answer.statusCode, 400, `${nameOf(route)} answers ${answer.statusCode} to the body ${payload}`);
        assertProblem(route, answer);
      }
    }
  });

  add('whatever a caller sends, no route answers with an internal error', async ({ app, routes }) => {
    for (const route of routes) {
      const given = fc.tuple(fc.string({ minLength: 1, maxLength: 40 }), fc.jsonValue({ maxDepth: 3 }));
      const property = fc.asyncProperty(given, async ([text, body]) => {
        const answer = await app.inject(requestOf(route, text, body, true));
        assert.notEqual(
          answer.statusCode,
          500,
          `${nameOf(route)} answers 500 to ${JSON.stringify({ text, body })}: ${answer.body}`,
        );
        if (answer.statusCode >= 400) assertProblem(route, answer);
      });
      await fc.assert(property, { numRuns: runs });
    }
  });

  add('hooks, parsers and decorations stay with its own routes', async ({ app }) => {
    const alone = await listen<Context>([], context);
    try {
      for (const request of [
        { method: 'GET', url: NEIGHBOUR, headers: { 'x-api-key': KEY } },
        { method: 'POST', url: NEIGHBOUR, headers: { 'x-api-key': KEY, 'content-type': 'text/plain' }, payload: 'a' },
        { method: 'GET', url: '/health/live' },
      ] satisfies InjectOptions[]) {
        const [beside, without] = [await app.inject(request), await alone.app.inject(request)];
        assert.deepEqual(
          shownOf(beside),
          shownOf(without),
          `${request.method} ${request.url} answers otherwise beside ${plugin.name}`,
        );
      }
    } finally {
      await alone.app.close();
    }
  });
  return cases;
}

/** Returns a listener as a role has it, with a route of the platform beside the plugins. */
async function listen<Context extends PluginContext>(
  plugins: readonly RolePlugin<Context>[],
  context: () => Omit<Context, keyof PluginContext>,
): Promise<Listener> {
  const metrics = new Registry();
  const app = createHttpApp(undefined);
  await controlAccess(app, accessConfigSchema.parse({ apiKeys: [KEY] }), silentLogger);
  new HttpService(
    { log: silentLogger, metrics },
    { name: 'contract', host: '127.0.0.1', port: 0, portSetting: '' },
    app,
  );
  const before = app.registeredRoutes.length;
  await registerPlugins(app, plugins, { ...context(), log: silentLogger, metrics } as Context);
  const routes = app.registeredRoutes.slice(before).flatMap(routesOf);
  const access = { kind: 'open' } as const;
  app.get(NEIGHBOUR, { config: { access } }, async () => ({ neighbour: true }));
  app.post(NEIGHBOUR, { config: { access } }, async ({ body }) => ({ body }));
  await app.ready();
  return { app, routes };
}

/** HEAD follows from GET. */
const routesOf = ({ method, url, config }: RouteOptions): readonly PluginRoute[] =>
  [method]
    .flat()
    .filter((each) => each !== 'HEAD' && each !== 'OPTIONS')
    .map((each) => ({ method: each, url, isOpen: config?.access?.kind === 'open' }));

const nameOf = ({ method, url }: PluginRoute): string => `${method} ${url}`;

/** A request whose parameters of the path are a text, as a URL encodes it. */
function requestOf({ method, url }: PluginRoute, text: string, body: unknown, hasKey: boolean): InjectOptions {
  const path = url.replace(/:[^/]+|\*/g, () => encodeURIComponent(text.toWellFormed()));
  return {
    ...{ method: method as 'GET', url: path, query: { text: text.toWellFormed() } },
    ...{
      headers: {
        ...(hasKey ? { 'x-api-key': KEY } : {}),
        ...(WITH_BODY.has(method) ? { 'content-type': 'application/json' } : {}),
      },
    },
    ...(WITH_BODY.has(method) && body !== undefined ? { payload: JSON.stringify(body) } : {}),
  };
}

function assertProblem(route: PluginRoute, { headers, body }: LightMyRequestResponse): void {
  assert.match(
    String(headers['content-type']),
    PROBLEM,
    `${nameOf(route)} answers an error as ${headers['content-type']}`,
  );
  assert.equal(
    typeof (JSON.parse(body) as { code?: unknown }).code,
    'string',
    `${nameOf(route)} answers an error without a code: ${body}`,
  );
}

/** What may not differ: status, names of headers, body without the request's id. */
const shownOf = ({ statusCode, headers, body }: LightMyRequestResponse): unknown => [
  statusCode,
  Object.keys(headers).sort(),
  body.replace(/"request_id":"[^"]*"/, ''),
];
