import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { JsonMetricsSerializer } from '@opentelemetry/otlp-transformer';
import { emptyResource } from '@opentelemetry/resources';
import * as fc from 'fast-check';
import { Summary } from 'prom-client';
import { LatencyHistogram } from '#monitoring/latency_histogram';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, Histogram, Registry } from '#monitoring/metrics';
import { otlpMetrics, type RegisteredMetric } from '#monitoring/otlp_data';
import { OtlpExporter, otlpSchema } from '#monitoring/otlp_exporter';
import { type OtlpMetric, otlpSamples, prometheusSamples } from '../../support/metric_samples.ts';

const label = fc.string({ unit: 'grapheme', maxLength: 6 });
const amount = fc.oneof(fc.double({ min: 0, max: 1e15, noNaN: true }), fc.nat(1_000));
const metric = fc.oneof(
  fc.record({ type: fc.constant('counter' as const), values: fc.array(fc.tuple(label, amount), { maxLength: 5 }) }),
  fc.record({ type: fc.constant('gauge' as const), values: fc.array(fc.tuple(label, fc.double()), { maxLength: 5 }) }),
  fc.record({
    type: fc.constantFrom('histogram' as const, 'latencies' as const, 'summary' as const),
    values: fc.array(fc.tuple(label, fc.double({ min: 0, max: 20, noNaN: true })), { maxLength: 9 }),
  }),
);

function fill(registry: Registry, name: string, { type, values }: { type: string; values: [string, number][] }): void {
  const settings = { name, help: `of ${name}`, labelNames: ['own' as const], registers: [registry] };
  if (type === 'counter') {
    const counter = new Counter(settings);
    for (const [own, value] of values) counter.inc({ own }, value);
  } else if (type === 'gauge') {
    const gauge = new Gauge(settings);
    for (const [own, value] of values) gauge.set({ own }, value);
  } else if (type === 'latencies') {
    const histogram = new LatencyHistogram(settings);
    for (const [own, series] of grouped(values)) {
      const counts = histogram.countsOf({ own });
      for (const [, value] of series) counts.observeMs(value * 1_000);
    }
  } else {
    const timed = type === 'summary' ? new Summary(settings) : new Histogram({ ...settings, buckets: [0.5, 1, 10] });
    for (const [own, value] of values) timed.observe({ own }, value);
  }
}

function grouped(values: [string, number][]): ReadonlyMap<string, [string, number][]> {
  const groups = new Map<string, [string, number][]>();
  for (const pair of values) groups.set(pair[0], [...(groups.get(pair[0]) ?? []), pair]);
  return groups;
}

const DURING = { startTime: [1, 0] as [number, number], endTime: [2, 0] as [number, number] };

test('what OTLP sends equals what /metrics shows, for random metrics', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(metric, { maxLength: 8 }), async (metrics) => {
      const registry = new Registry();
      metrics.forEach((one, at) => {
        fill(registry, `metric_${at}${one.type === 'counter' ? '_total' : ''}`, one);
      });
      const told = (await registry.getMetricsAsJSON()) as unknown as RegisteredMetric[];
      const scopeMetrics = [{ scope: { name: 'headwater' }, metrics: otlpMetrics(told, DURING) }];
      const sent = JsonMetricsSerializer.serializeRequest({ resource: emptyResource(), scopeMetrics }) as Uint8Array;
      const { resourceMetrics } = JSON.parse(Buffer.from(sent).toString()) as {
        resourceMetrics: { scopeMetrics: { metrics: OtlpMetric[] }[] }[];
      };
      const sentMetrics = resourceMetrics[0]?.scopeMetrics[0]?.metrics ?? [];
      const shown = prometheusSamples(await registry.metrics());
      // JSON has no NaN nor infinity: of those, null is sent here, and the number itself in protobuf.
      const finite = [...shown].map(([key, value]) => [key, Number.isFinite(value) ? value : 0] as const);
      expect(new Map(otlpSamples(sentMetrics))).toEqual(new Map(finite));
    }),
    { numRuns: 300 },
  );
});

test('a metric without a value, and a label that is a number, are as /metrics has them', async () => {
  const registry = new Registry();
  new Counter({ name: 'never_total', help: '-', labelNames: ['a'], registers: [registry] });
  new Gauge({ name: 'parts', help: 'Parts', labelNames: ['partition'], registers: [registry] }).set(
    { partition: 3 },
    7,
  );
  const told = (await registry.getMetricsAsJSON()) as unknown as RegisteredMetric[];
  expect(otlpMetrics(told, DURING)).toMatchObject([
    { descriptor: { name: 'parts', description: 'Parts' }, dataPoints: [{ attributes: { partition: '3' }, value: 7 }] },
  ]);
});

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

async function listen(answer: RequestListener): Promise<string> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/metrics`;
}

function recordingLogger(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const write = (level: string) => (_: object, event: string) => lines.push(`${level} ${event}`);
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  return { log: { ...log, child: () => log } as unknown as Logger, lines };
}

const countOf = async (registry: Registry, outcome: string): Promise<number | undefined> =>
  prometheusSamples(await registry.metrics()).get(
    `metric_exports_total ${JSON.stringify([
      ['exporter', 'otlp'],
      ['outcome', outcome],
    ])}`,
  );

test('each failed export counts, an outage warns once, and its end is logged', async () => {
  let refuses = true;
  const endpoint = await listen((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(refuses ? 400 : 200).end());
  });
  const registry = new Registry();
  const { log, lines } = recordingLogger();
  const exporter = new OtlpExporter({ registry, log }, otlpSchema.parse({ endpoint, intervalMs: 1_000_000 }));
  await exporter.start();
  for (let time = 0; time < 3; time += 1) await exporter.flush();
  expect(await countOf(registry, 'failed')).toBe(3);
  expect(lines).toEqual(['warn export.failed']);
  refuses = false;
  await exporter.flush();
  expect(await countOf(registry, 'sent')).toBe(1);
  expect(lines).toEqual(['warn export.failed', 'info export.recovered']);
  await exporter.stop();
});

test('while a collector does not answer, one export is under way and those that are due are skipped', async () => {
  let requests = 0;
  let answer = (): void => {};
  const arrived = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const endpoint = await listen(() => {
    requests += 1;
    answer();
  });
  const registry = new Registry();
  const { log, lines } = recordingLogger();
  const config = otlpSchema.parse({ endpoint, intervalMs: 100, timeoutMs: 700 });
  const exporter = new OtlpExporter({ registry, log }, config);
  await exporter.start();
  await arrived;
  while (((await countOf(registry, 'skipped')) ?? 0) < 3) await new Promise(setImmediate);
  expect(requests).toBe(1);
  while (((await countOf(registry, 'failed')) ?? 0) < 1) await new Promise(setImmediate);
  expect(lines).toEqual(['warn export.failed']);
  server?.closeAllConnections();
  server?.close();
  await exporter.stop();
});

test('headers and protobuf are sent, and the process is named', async () => {
  const taken: { readonly headers: object; readonly body: Buffer }[] = [];
  const endpoint = await listen((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      taken.push({ headers: request.headers, body: Buffer.concat(chunks) });
      response.end();
    });
  });
  const registry = new Registry();
  new Gauge({ name: 'own_gauge', help: '-', registers: [registry] }).set(1);
  const config = otlpSchema.parse({ endpoint, headers: { 'x-tenant': 'a' }, intervalMs: 1_000_000 });
  const exporter = new OtlpExporter({ registry, log: recordingLogger().log, part: 'monitor' }, config);
  await exporter.start();
  await exporter.stop();
  expect(taken).toHaveLength(1);
  expect(taken[0]?.headers).toMatchObject({ 'content-type': 'application/x-protobuf', 'x-tenant': 'a' });
  const body = taken[0]?.body.toString('latin1') ?? '';
  for (const part of ['own_gauge', 'service.name', 'headwater', `:${process.pid}:monitor`])
    expect(body).toContain(part);
});
