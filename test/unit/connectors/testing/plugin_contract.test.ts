import { describe, expect, test } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { pluginContract } from '#connectors/testing/plugin_contract';
import type { PluginContext, RolePlugin } from '#monitoring/http/role_plugin';
import { needs, open } from '#monitoring/http/routes/route_access';

interface Context extends PluginContext {
  find(id: string): Promise<number | undefined>;
}

const context = (): Pick<Context, 'find'> => ({ find: async (id) => (id.length > 3 ? id.length : undefined) });
const body = { type: 'object', required: ['id'], additionalProperties: false, properties: { id: { type: 'string' } } };
const access = needs('features:*');

const good: RolePlugin<Context> = {
  name: 'good',
  async register(app, { find }) {
    app.decorateRequest('seen', false);
    app.addHook('onRequest', async (_, reply) => void reply.header('x-plugin', 'good'));
    app.get<{ Params: { id: string } }>('/found/:id', { config: { access } }, async ({ params }) => ({
      found: (await find(params.id)) ?? 0,
    }));
    app.post<{ Body: { id: string } }>('/found', { config: { access }, schema: { body } }, async (request) => ({
      found: (await find(request.body.id)) ?? 0,
    }));
    app.get('/about', { config: { access: open() } }, async () => ({ about: 'the plugin' }));
  },
};

describe('a plugin that keeps the contract', () => {
  for (const { name, timeoutMs, run } of pluginContract(good, { context })) test(name, run, timeoutMs);
});

describe('the contract finds', () => {
  const pluginOf = (register: (app: FastifyInstance, context: Context) => void): RolePlugin<Context> => ({
    name: 'bad',
    register,
  });
  const failed = async (plugin: RolePlugin<Context>): Promise<readonly string[]> => {
    const names: string[] = [];
    for (const { name, run } of pluginContract(plugin, { context, runs: 30 }))
      await run().catch(() => names.push(name));
    return names;
  };
  const ALL = pluginContract(good, { context }).map(({ name }) => name);

  test.each<[string, RolePlugin<Context>, readonly string[]]>([
    ['a route that declares no callers', pluginOf((app) => void app.get('/a', async () => ({}))), ALL],
    [
      'a route that the platform has',
      pluginOf((app) => void app.get('/health', { config: { access } }, async () => ({}))),
      ALL,
    ],
    ['no route at all', pluginOf(() => {}), ['it registers routes, also on a second listener of the process']],
    [
      'a body that is used without a schema',
      pluginOf(
        (app) =>
          void app.post<{ Body: { id: string } }>('/a', { config: { access } }, async (request) => ({
            size: request.body.id.length,
          })),
      ),
      ['whatever a caller sends, no route answers with an internal error'],
    ],
    [
      'an error in a form of its own',
      pluginOf(
        (app) =>
          void app.get('/a', { config: { access } }, async (_, reply) =>
            reply.code(418).type('text/plain').send('teapot'),
          ),
      ),
      ['whatever a caller sends, no route answers with an internal error'],
    ],
    [
      'a parser that reads what is no JSON',
      pluginOf((app) => {
        app.removeAllContentTypeParsers();
        app.addContentTypeParser('*', { parseAs: 'string' }, (_, text, done) => done(null, { text }));
        app.post('/a', { config: { access } }, async () => ({}));
      }),
      ['a body that is no JSON is refused, in the form of the platform'],
    ],
    [
      'a plugin that registers once in a process',
      (() => {
        let isRegistered = false;
        return pluginOf((app) => {
          if (isRegistered) throw new Error('registered twice');
          isRegistered = true;
          app.get('/a', { config: { access } }, async () => ({}));
        });
      })(),
      expect.arrayContaining(['whatever a caller sends, no route answers with an internal error']) as never,
    ],
  ])('%s', async (_, plugin, names) => {
    expect(await failed(plugin)).toEqual(names);
  });
});
