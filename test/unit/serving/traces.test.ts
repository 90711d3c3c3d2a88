import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Tracing } from '#monitoring/tracing';
import { serveTiny } from '../../support/platforms/tiny_serving.ts';
import { startTraceCollector, type TraceCollector } from '../../support/servers/trace_collector.ts';

let collector: TraceCollector;
beforeAll(async () => {
  collector = await startTraceCollector();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
});
afterAll(async () => {
  delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  await collector.stop();
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
  const received = collector.spans;
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
