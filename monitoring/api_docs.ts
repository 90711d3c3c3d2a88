import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { declareAccessOf, open } from './route_access.ts';

/** GET /docs (interactive) and GET /openapi.json for an application; register before its routes. */
export async function registerApiDocs(
  app: FastifyInstance,
  info: { title: string; description: string },
): Promise<void> {
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { ...info, version: '0.1.0' } } });
  await app.register(async (scope) => {
    declareAccessOf(scope, open());
    scope.addHook('onSend', (request, reply, _, done) => {
      // They change with a release; browsers ask by ETag after that.
      if (request.url.startsWith('/docs/static/')) reply.header('cache-control', 'public, max-age=3600');
      done();
    });
    await scope.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  });
  app.get('/openapi.json', { schema: { hide: true }, config: { access: open() } }, async () => app.swagger());
}
