import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { EXAMPLE_TIME } from '#kernel/times/event_time_text';
import { SECURITY_SCHEMES } from '../routes/api_schemas.ts';
import { declareAccessOf, open } from '../routes/route_access.ts';
import { errorPages } from './error_pages.ts';

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
  let page: string | undefined;
  // What `type` of an error's answer leads to.
  app.get('/docs/errors', { schema: { hide: true }, config: { access: open() } }, (_, reply) => {
    reply.type('text/html; charset=utf-8').header('cache-control', 'public, max-age=3600');
    page ??= errorsPage(errorPages());
    return page;
  });
  app.get('/openapi.json', { schema: { hide: true }, config: { access: open() } }, async () =>
    atPresent(app.swagger()),
  );
}

/** A document whose examples can be sent: their times are the present. */
const atPresent = <T>(document: T): T =>
  JSON.parse(JSON.stringify(document).replaceAll(EXAMPLE_TIME, new Date().toISOString())) as T;

/** Returns the codes as one page, where each is an anchor. @param pages - in Markdown: paragraphs, quotes and code */
function errorsPage(pages: ReadonlyMap<string, string>): string {
  const sections = [...pages].map(([code, text]) => `<h2 id="${code}">${code}</h2>${htmlOf(text)}`);
  const style = 'body{font:16px/1.5 system-ui;max-width:50em;margin:2em auto;padding:0 1em}h2:target{background:#fe8}';
  return `<!doctype html><meta charset="utf-8"><title>Error codes</title><style>${style}</style><h1>Error codes</h1>${sections.join('\n')}`;
}

const ESCAPED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '"': '&quot;' };

function htmlOf(markdown: string): string {
  return markdown
    .split(/\n\n+/)
    .map((paragraph) => {
      const isQuote = paragraph.startsWith('> ');
      const escaped = paragraph
        .replaceAll('&lt;', '<')
        .replace(/[&<"]/g, (found) => ESCAPED[found] as string)
        .replace(/`([^`]+)`/g, '<code>$1</code>');
      return isQuote ? `<blockquote>${escaped.slice(2)}</blockquote>` : `<p>${escaped}</p>`;
    })
    .join('');
}
