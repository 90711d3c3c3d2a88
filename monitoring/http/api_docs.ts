import { readFile } from 'node:fs/promises';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { assetPath } from '#kernel/project_root';
import { EXAMPLE_TIME } from '#kernel/times/event_time_text';
import { SECURITY_SCHEMES } from './routes/api_schemas.ts';
import { declareAccessOf, open } from './routes/route_access.ts';

/** GET /docs (interactive) and GET /openapi.json for an application; register before its routes, and after the HttpService, whose error handler it takes over. */
export async function registerApiDocs(
  app: FastifyInstance,
  info: { title: string; description: string },
): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { ...info, version: '0.1.0' },
      components: { securitySchemes: SECURITY_SCHEMES },
      security: [{ apiKey: [] }, { bearer: [] }],
    },
    // Who may call a route is part of its definition: its description says the same.
    transform: ({ schema, url, route }) => ({
      schema: route.config?.access?.kind === 'open' ? { ...schema, security: [] } : (schema ?? {}),
      url,
    }),
  });
  await app.register(async (scope) => {
    declareAccessOf(scope, open());
    scope.addHook('onSend', (request, reply, _, done) => {
      // They change with a release; browsers ask by ETag after that.
      if (request.url.startsWith('/docs/static/')) reply.header('cache-control', 'public, max-age=3600');
      done();
    });
    await scope.register(swaggerUi, {
      ...{ routePrefix: '/docs', staticCSP: true, transformSpecificationClone: false },
      transformSpecification: (document) => atPresent(document),
    });
  });
  // What `type` of an error's answer leads to.
  app.get('/docs/errors', { schema: { hide: true }, config: { access: open() } }, async (_, reply) => {
    reply.type('text/html; charset=utf-8').header('cache-control', 'public, max-age=3600');
    return errorsPage(await readFile(assetPath('docs/errors.md'), 'utf8'));
  });
  app.get('/openapi.json', { schema: { hide: true }, config: { access: open() } }, async () =>
    atPresent(app.swagger()),
  );
}

/** A document whose examples can be sent: their times are the present. */
const atPresent = <T>(document: T): T =>
  JSON.parse(JSON.stringify(document).replaceAll(EXAMPLE_TIME, new Date().toISOString())) as T;

/** The table of error codes as a page, where each code is an anchor. @param markdown - docs/errors.md */
function errorsPage(markdown: string): string {
  const rows = [...markdown.matchAll(/^\| `(\w+)` \| (.*) \| (.*) \|$/gm)].map(
    ([, code, name, file]) => `<tr id="${code}"><td><code>${code}</code><td>${name}<td>${file}`,
  );
  return `<!doctype html><meta charset="utf-8"><title>Error codes</title><h1>Error codes</h1><table>${rows.join('\n')}</table>`;
}
