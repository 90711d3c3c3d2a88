import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
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

test('clients that hold connections under load are let go with an answer, and no request fails', async () => {
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  const service = new HttpService(deps, { name: 'test', host: '127.0.0.1', port: 0, portSetting: 'PORT' }, fastify());
  service.app.get('/work', { config: { access: open() } }, async () => ({ done: true }));
  await service.start();
  let begun = 0;
  /** Sends requests on one connection until an answer ends it, as balancers do with the connections of a pod that goes. */
  const client = async (): Promise<string> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      for (;;) {
        begun += 1;
        const [answer] = (await once(get(`${service.url}/work`, { agent }), 'response')) as [IncomingMessage];
        answer.resume();
        await once(answer, 'end');
        if (answer.statusCode !== 200) return `status ${answer.statusCode}`;
        if (answer.headers.connection === 'close') return 'let go';
      }
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code);
    } finally {
      agent.destroy();
    }
  };
  const clients = Array.from({ length: 8 }, client);
  while (begun < 200) await new Promise((resolve) => setImmediate(resolve));
  await service.drain();
  expect(await Promise.all(clients)).toEqual(Array(8).fill('let go'));
  await service.stop();
});
