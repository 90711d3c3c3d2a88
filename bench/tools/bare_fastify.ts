import { fastify } from 'fastify';

// The gateway's peer, in a process of its own: a Fastify that only takes the body as text and answers. Prints its address.
const app = fastify();
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => done(null, body));
app.post('/ingest', async (_, reply) => {
  reply.code(202);
  return { event_id: '0000000000', status: 'accepted' };
});
process.stdout.write(`bare Fastify ${await app.listen({ host: '127.0.0.1', port: 0 })}\nready\n`);
