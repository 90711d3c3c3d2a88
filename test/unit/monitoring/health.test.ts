import { createServer } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { controlAccess } from '#connectors/http/access';
import { accessSettings } from '#connectors/http/config';
import { type ProcessingTime, processingTime } from '#kernel/time';
import {
  DependencyProbe,
  HEALTH_STATUSES,
  HealthReporter,
  type HealthSource,
  type HealthStatus,
  reportHealthMetrics,
  whenAllAreDown,
  whenAnyIsDown,
} from '#monitoring/health';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { until } from '../../support/turns.ts';

const probes: DependencyProbe[] = [];
afterEach(async () => {
  for (const probe of probes.splice(0)) await probe.stop();
});

const source = (name: string, status: HealthStatus, kind: HealthSource['kind'] = 'dependency'): HealthSource => ({
  ...{ name, kind },
  state: () => (status === 'up' ? { status } : { status, reason: `${name} is broken` }),
});

const statuses = fc.constantFrom(...HEALTH_STATUSES);

test('a role is ready exactly when nothing that it needs is down or starting, whatever else is', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ status: statuses, isNeeded: fc.boolean() }), { maxLength: 6 }), (parts) => {
      const sources = parts.map(({ status }, index) => source(`s${index}`, status));
      const needed = sources.flatMap(({ name }, index) => (parts[index]?.isNeeded ? [name] : []));
      const bad = parts.filter(({ status, isNeeded }) => isNeeded && (status === 'down' || status === 'starting'));
      const clock = { now: () => processingTime(0) };
      const any = new HealthReporter({ sources, notReady: whenAnyIsDown(needed) }, clock).report();
      expect(any.status === 'not ready').toBe(bad.length > 0);
      for (const { status, isNeeded } of parts) {
        const index = parts.findIndex((part) => part.status === status && part.isNeeded === isNeeded);
        if (isNeeded && status === 'down') expect(any.reason).toContain(`s${index} is down: s${index} is broken`);
      }
      if (needed.length > 0) {
        const all = new HealthReporter({ sources, notReady: whenAllAreDown(needed) }, clock).report();
        expect(all.status === 'not ready').toBe(bad.length === needed.length);
      }
      // Everything is named, whether it is needed or not.
      expect(Object.keys(any.dependencies)).toEqual(sources.map(({ name }) => name));
      if (any.status !== 'not ready')
        expect(any.status).toBe(parts.every(({ status }) => status === 'up') ? 'ready' : 'degraded');
    }),
  );
});

test('since when a state holds survives other reasons, not other states; a source that throws is down', () => {
  let now = 1_000;
  let answer: () => ReturnType<HealthSource['state']> = () => ({ status: 'down', reason: 'one' });
  const moving: HealthSource = { name: 'job', kind: 'job', state: () => answer() };
  const reporter = new HealthReporter(
    { sources: [moving], notReady: () => undefined },
    { now: (): ProcessingTime => processingTime(now) },
  );
  const since = () => Date.parse(reporter.report().jobs.job?.since ?? '');
  expect(since()).toBe(1_000);
  now = 2_000;
  answer = () => ({ status: 'down', reason: 'two' });
  expect(since()).toBe(1_000);
  answer = () => ({ status: 'up' });
  expect(since()).toBe(2_000);
  now = 3_000;
  answer = () => {
    throw new Error('broken');
  };
  expect(reporter.report().jobs.job).toMatchObject({ status: 'down', reason: expect.stringContaining('broken') });
});

test('a listener answers live while it turns, ready by what the role needs, and health by everything', async () => {
  let status: HealthStatus = 'up';
  const metrics = createMetricsRegistry({ process: false });
  const sources: HealthSource[] = [
    { name: 'needed', kind: 'dependency', state: () => ({ status, reason: 'disk full' }) },
    source('other job', 'down', 'job'),
  ];
  reportHealthMetrics(metrics, sources);
  const health = { sources, notReady: whenAnyIsDown(['needed']) };
  const app = createHttpApp(undefined);
  await controlAccess(app, z.strictObject(accessSettings).parse({}), silentLogger);
  const service = new HttpService(
    { log: silentLogger, metrics, health },
    { name: 'role', host: '127.0.0.1', port: 0, portSetting: 'PORT' },
    app,
  );
  const get = async (path: string) => {
    const { statusCode, json } = await service.app.inject(path);
    return [statusCode, json()];
  };
  // What the role can do without does not take it out of rotation; /health with everything names it.
  expect(await get('/health/ready')).toMatchObject([
    200,
    { status: 'degraded', dependencies: { needed: { status: 'up' } }, jobs: { 'other job': { status: 'down' } } },
  ]);
  expect((await get('/health'))[0]).toBe(503);
  status = 'down';
  expect(await get('/health/ready')).toMatchObject([
    503,
    { status: 'not ready', reason: 'needed is down: disk full', dependencies: { needed: { reason: 'disk full' } } },
  ]);
  expect(await get('/health/live')).toEqual([200, { status: 'live' }]);
  const text = await metrics.metrics();
  expect(text).toContain('health_state{kind="dependency",name="needed",state="down"} 1');
  expect(text).toContain('health_state{kind="dependency",name="needed",state="up"} 0');
  expect(text).toContain('health_state{kind="job",name="other job",state="down"} 1');
  await service.stop();
});

test('a probe: one lost answer degrades, two are down, a refusal is down at once, an answer is up; it never hangs', async () => {
  const metrics = createMetricsRegistry({ process: false });
  let mode: 'ok' | 'away' | 'refuses' | 'hangs' = 'ok';
  const probe = new DependencyProbe(
    { metrics },
    {
      name: 'store',
      timeoutMs: 30,
      everyMs: 10_000,
      problemOf: (error) => (String(error).includes('READONLY') ? 'read_only' : 'unreachable'),
      async check() {
        if (mode === 'hangs') await new Promise(() => {});
        if (mode === 'away') throw new Error('connection refused');
        if (mode === 'refuses') throw new Error('READONLY');
      },
    },
  );
  probes.push(probe);
  expect(probe.state().status).toBe('starting');
  await probe.start();
  expect(probe.state()).toEqual({ status: 'up' });
  mode = 'away';
  await probe.checkNow();
  expect(probe.state()).toEqual({ status: 'degraded', reason: 'connection refused' });
  await probe.checkNow();
  expect(probe.state().status).toBe('down');
  expect(await metrics.metrics()).toContain('dependency_problem{dependency="store",problem="unreachable"} 1');
  mode = 'refuses';
  await probe.checkNow();
  expect(probe.state()).toEqual({ status: 'down', reason: 'READONLY' });
  const text = await metrics.metrics();
  expect(text).toContain('dependency_problem{dependency="store",problem="unreachable"} 0');
  expect(text).toContain('dependency_problem{dependency="store",problem="read_only"} 1');
  mode = 'ok';
  await probe.checkNow();
  expect(probe.state()).toEqual({ status: 'up' });
  expect(await metrics.metrics()).toContain('dependency_problem{dependency="store",problem="read_only"} 0');
  mode = 'hangs';
  await probe.checkNow();
  expect(probe.state()).toEqual({ status: 'degraded', reason: 'no answer within 30 ms' });
});

test('a probe finds by itself that a server has gone and come back', async () => {
  const server = createServer((_, response) => response.end('ok'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const probe = new DependencyProbe(
    { metrics: createMetricsRegistry({ process: false }) },
    {
      name: 'server',
      everyMs: 20,
      check: async (signal) => void (await fetch(`http://127.0.0.1:${port}`, { signal })),
    },
  );
  probes.push(probe);
  await probe.start();
  const becomes = (status: HealthStatus): Promise<void> => until(() => probe.state().status === status);
  expect(probe.state().status).toBe('up');
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await becomes('down');
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await becomes('up');
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
