import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Counter, Histogram, Registry } from 'prom-client';
import { PlatformMetrics } from '#examples/fraud/platform_metrics';

const registry = new Registry();
const events = new Counter({ name: 'events', help: 'h', labelNames: ['view', 'outcome'], registers: [registry] });
const seconds = new Histogram({ name: 'seconds', help: 'h', buckets: [1, 2, 4], registers: [registry] });
const server = createServer(async (_, response) => response.end(await registry.metrics()));
let url: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
});

test('values are summed by their labels, quotes and backslashes in them included', async () => {
  events.inc({ view: 'a "quoted" \\ one', outcome: 'computed' }, 3);
  events.inc({ view: 'b', outcome: 'computed' }, 4);
  events.inc({ view: 'b', outcome: 'late' }, 1);
  const metrics = await PlatformMetrics.read(url);
  expect(metrics.sum('events')).toBe(8);
  expect(metrics.sum('events', { view: ['b'] })).toBe(5);
  expect(metrics.sum('events', { outcome: ['computed', 'late'], view: ['b'] })).toBe(5);
  expect(metrics.samples('events')[0]?.labels.view).toBe('a \\"quoted\\" \\\\ one');
  expect(metrics.sum('missing')).toBe(0);
});

test('a quantile is of what was counted since an earlier reading', async () => {
  for (let n = 0; n < 100; n += 1) seconds.observe(3);
  const before = await PlatformMetrics.read(url);
  expect(before.quantile('seconds', 0.5, before)).toBeNaN();
  for (let n = 0; n < 10; n += 1) seconds.observe(0.5);
  for (let n = 0; n < 10; n += 1) seconds.observe(1.5);
  const after = await PlatformMetrics.read(url);
  expect(after.quantile('seconds', 0.25, before)).toBe(0.5);
  expect(after.quantile('seconds', 0.5, before)).toBe(1);
  expect(after.quantile('seconds', 0.75, before)).toBe(1.5);
  seconds.observe(100);
  expect((await PlatformMetrics.read(url)).quantile('seconds', 1, before)).toBe(4);
});
