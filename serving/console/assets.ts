import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { assetPath } from '#kernel/project_root';
import { open } from '#monitoring/http/routes/route_access';

const FOLDER = 'dist/serving/console/app';
const INDEX = 'index.html';
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
};
/** The page loads nothing from elsewhere, and no other page frames it. */
const CONTENT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** Files whose names hold a hash of what is in them. */
const HASHED = /-[A-Z0-9]{8}\.(js|css)$/;
const FOREVER = 'public, max-age=31536000, immutable';

interface Asset {
  readonly content: Buffer;
  readonly zipped: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** GET /console, and the files of its page: open, as what they show is not in them. */
export function registerAssets(app: FastifyInstance): void {
  const route = { schema: { hide: true }, config: { access: open() } };
  for (const name of readdirSync(assetPath(FOLDER))) {
    const asset = readAsset(name);
    const urls = name === INDEX ? ['/console', '/console/'] : [`/console/${name}`];
    for (const url of urls) app.get(url, route, async (request, reply) => sendAsset(request, reply, asset));
  }
}

function readAsset(name: string): Asset {
  const content = readFileSync(assetPath(`${FOLDER}/${name}`));
  return {
    content,
    zipped: gzipSync(content),
    headers: {
      'content-security-policy': CONTENT_POLICY,
      'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
      'cache-control': HASHED.test(name) ? FOREVER : 'no-cache',
      etag: `"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`,
      vary: 'accept-encoding',
    },
  };
}

async function sendAsset(request: FastifyRequest, reply: FastifyReply, { content, zipped, headers }: Asset) {
  reply.headers(headers);
  if (request.headers['if-none-match'] === headers.etag) return reply.code(304).send();
  if (!/\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) return reply.send(content);
  return reply.header('content-encoding', 'gzip').send(zipped);
}
