import { expect, test } from '@jest/globals';
import { fastify } from 'fastify';
import { countRequests } from '#monitoring/http/http_metrics';
import { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

test('answers are counted by service, route and status, for all services of a process', async () => {
  const registry = createMetricsRegistry({ process: false });
  const [gateway, serving] = [countRequests(registry, 'gateway'), countRequests(registry, 'serving')];
  gateway('/ingest', 202);
  gateway('/ingest', 202);
  gateway(undefined, 404);
  serving('/predict', 200);
  const first = await registry.metrics();
  expect(first).toContain('http_requests_total{service="gateway",route="/ingest",status="202"} 2');
  expect(first).toContain('http_requests_total{service="gateway",route="none",status="404"} 1');
  expect(first).toContain('http_requests_total{service="serving",route="/predict",status="200"} 1');
  gateway('/ingest', 202);
  expect(await registry.metrics()).toContain('http_requests_total{service="gateway",route="/ingest",status="202"} 3');
});

test('metrics that are hidden are not there, also where they were asked for', async () => {
  const service = (hidden: boolean) => {
    const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
    const made = new HttpService(deps, { name: 'test', host: '127.0.0.1', port: 0, portSetting: 'PORT' }, fastify());
    if (hidden) made.hideMetrics();
    return made.app;
  };
  expect((await service(false).inject('/metrics')).statusCode).toBe(200);
  expect((await service(true).inject('/metrics')).statusCode).toBe(404);
  expect((await service(true).inject('/health/live')).statusCode).toBe(200);
});
