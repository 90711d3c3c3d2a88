import compress from '@fastify/compress';
import type { FastifyInstance } from 'fastify';

/** Names that stand for another (RFC 9110, section 8.4.1). */
const ALIASES = new Map([['x-gzip', 'gzip']]);

/**
 * Lets an application read bodies in gzip, deflate and br; others are answered 415. The limit of a body is that of its decoded bytes, and access is decided
 * before any of them. Call it before the routes are added.
 */
export async function acceptCompressedBodies(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', (request, _, done) => {
    const header = request.headers['content-encoding'];
    if (header !== undefined) {
      // Codings are written in any case; the plugin compares them to the letter.
      const coding = header.trim().toLowerCase();
      if (coding === '') delete request.headers['content-encoding'];
      else request.headers['content-encoding'] = ALIASES.get(coding) ?? coding;
    }
    done();
  });
  // Of requests only: answers are small.
  await app.register(compress, { globalCompression: false, globalDecompression: true });
}
