import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from '@jest/globals';
import { fastify } from 'fastify';
import { HttpService } from '#monitoring/http/http_service';
import { open } from '#monitoring/http/routes/route_access';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

// A drain waits for requests under way, and for nothing else.

const HEAD = 'host: localhost\r\ncontent-type: application/json\r\n';
/** What a client may send before it goes away, and whether a request of it is under way then. */
const ABORTED: readonly (readonly [string, string])[] = [
  ['half a body', `POST /echo HTTP/1.1\r\n${HEAD}content-length: 100\r\n\r\n{"a":`],
  ['half a chunk', `POST /echo HTTP/1.1\r\n${HEAD}transfer-encoding: chunked\r\n\r\n20\r\n{"a":`],
  ['a whole request, without waiting for its answer', `GET /slow HTTP/1.1\r\n${HEAD}\r\n`],
  ['a head alone', `GET /slow HTTP/1.1\r\nhost: local`],
];

test.each(ABORTED)('a client that sent %s and went away does not hold a drain up', async (_, sent) => {
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  const service = new HttpService(deps, { name: 'test', host: '127.0.0.1', port: 0, portSetting: 'PORT' }, fastify());
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let arrived = (): void => {};
  const slow = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  service.app.post('/echo', { config: { access: open() } }, async ({ body }) => body as object);
  service.app.get('/slow', { config: { access: open() } }, async () => {
    arrived();
    await answered;
    return {};
  });
  await service.start();
  const { port } = new URL(service.url);
  const socket = connect(Number(port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write(sent);
  if (sent.startsWith('GET /slow') && sent.endsWith('\r\n\r\n')) await slow;
  else await fetch(`${service.url}/health/live`);
  socket.destroy();
  await once(socket, 'close');
  answer();
  // Long after what a drain of an idle listener takes; far before a deadline that a leak would wait for.
  const deadline = new AbortController();
  const givenUp = setTimeout(() => deadline.abort(), 20_000);
  await service.drain(deadline.signal);
  clearTimeout(givenUp);
  expect(deadline.signal.aborted).toBe(false);
  await service.stop();
});
