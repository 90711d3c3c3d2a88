import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseExactJsonBytes } from '#kernel/exact/exact_json';
import { UnsupportedMediaTypeError } from '../errors.ts';
import { isUtf8Label, mediaTypeOf } from './media_type.ts';

const JSON_TYPE = 'application/json';
const TAKEN = 'application/json (UTF-8)';

/** @throws {@link UnsupportedMediaTypeError} for text that is labelled as anything but UTF-8 */
export function checkCharset({ headers }: FastifyRequest): void {
  const header = headers['content-type'];
  if (header !== undefined && header !== JSON_TYPE && !isUtf8Label(mediaTypeOf(header))) {
    throw new UnsupportedMediaTypeError(header, 'text as UTF-8');
  }
}

/**
 * Parses a request's JSON exactly, or refuses it. Bodies of requests without a route stay unread.
 *
 * @throws {@link InvalidJsonError}, {@link UnsupportedMediaTypeError}
 */
export function parseJsonBody(request: FastifyRequest, body: Buffer): unknown {
  if (request.is404) return undefined;
  checkCharset(request);
  return parseExactJsonBytes(body);
}

/** Lets an application read JSON exactly, and nothing else; a body without content-type counts as JSON. */
export function acceptJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  const parse = (request: FastifyRequest, body: Buffer | string): unknown => parseJsonBody(request, body as Buffer);
  for (const type of [JSON_TYPE, /^application\/[\w.-]+\+json/]) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer | string) =>
      parse(request, body),
    );
  }
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer | string) => {
    const header = request.headers['content-type'];
    if (header !== undefined && !request.is404) throw new UnsupportedMediaTypeError(header, TAKEN);
    return body.length === 0 ? undefined : parse(request, body);
  });
}
