import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Tracing } from '#monitoring/tracing';
import { serveTiny } from '../../support/tiny_serving.ts';

interface WireSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
}

const received: WireSpan[] = [];
let collector: Server;
beforeAll(async () => {
  collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: { scopeSpans: { spans: WireSpan[] }[] }[];
      };
      received.push(...body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterAll(() => {
  delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  collector.close();
});

test('a request is a span below its caller’s, with its stages below it', async () => {
  const tracing = new Tracing();
  await tracing.start();
  const tiny = await serveTiny();
  const [traceId, caller] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
  const answer = await tiny.service.app.inject({
    ...{ method: 'POST', url: '/predict', payload: { entity_id: 'e1' } },
    headers: { traceparent: `00-${traceId}-${caller}-01` },
  });
  expect(answer.statusCode).toBe(200);
  await tiny.service.app.inject({ method: 'POST', url: '/predict', payload: { entity_id: 'nobody' } });
  await tiny.stop();
  await tracing.stop();
  const request = received.find(({ parentSpanId }) => parentSpanId === caller);
  expect(request).toMatchObject({ name: 'POST /predict', traceId });
  const attributes = Object.fromEntries(
    (request?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]),
  );
  expect(attributes).toMatchObject({ 'http.route': '/predict', 'headwater.model': 'tiny' });
  expect(Number(attributes['http.response.status_code'])).toBe(200);
  const stages = received.filter(({ parentSpanId }) => parentSpanId === request?.spanId).map(({ name }) => name);
  expect(stages).toEqual(['parse', 'features', 'queue', 'inference']);
  expect(received.filter(({ name }) => name === 'POST /predict')).toHaveLength(2);
});
