import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { type CloudWatchConfig, CloudWatchExporter, cloudWatchSchema } from '#monitoring/cloudwatch_exporter';
import { silentLogger } from '#monitoring/log';
import { Counter, Gauge, Histogram, Registry } from '#monitoring/metrics';

// There is no CloudWatch to be had here: this takes what the SDK sends, and can refuse it.

interface Datum {
  readonly MetricName: string;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: string }[];
  readonly Value?: number;
  readonly Values?: readonly number[];
  readonly Counts?: readonly number[];
}

let server: Server;
let config: CloudWatchConfig;
let taken: { readonly Namespace: string; readonly MetricData: readonly Datum[] }[];
let refuses: boolean;
beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (refuses) {
        response.writeHead(400).end('{"__type":"InvalidParameterValue","message":"no"}');
        return;
      }
      expect(request.headers['x-amz-target']).toMatch(/\.PutMetricData$/);
      const body = Buffer.concat(chunks);
      const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
      taken.push(JSON.parse(text.toString()));
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  config = cloudWatchSchema.parse({ region: 'eu-central-1', endpoint, intervalMs: 1_000_000 });
});
afterAll(() => {
  server.close();
});
beforeEach(() => {
  taken = [];
  refuses = false;
});

const sent = () =>
  taken.flatMap(({ MetricData }) =>
    MetricData.map(({ MetricName, Dimensions = [], Value, Values, Counts }) => [
      [MetricName, ...Dimensions.map(({ Name, Value: value }) => `${Name}=${value}`)].join(' '),
      Value ?? Object.fromEntries((Values ?? []).map((value, at) => [value, Counts?.[at]])),
    ]),
  );

test('gauges as they are, counters and histograms since the last time, and nothing that is not asked for', async () => {
  const registry = new Registry();
  const registers = [registry];
  const events = new Counter({ name: 'events_processed_total', help: '-', registers });
  const variants = new Counter({ name: 'ab_variant_assignments', help: '-', labelNames: ['variant'], registers });
  const lag = new Gauge({ name: 'pipeline_backlog_records', help: '-', labelNames: ['partition'], registers });
  const latency = new Histogram({
    ...{ name: 'prediction_latency_seconds', help: '-', labelNames: ['route'], buckets: [0.01, 0.1], registers },
  });
  new Counter({ name: 'something_else_total', help: '-', registers }).inc();
  events.inc(3);
  variants.inc({ variant: 'a' }, 2);
  lag.set({ partition: '0' }, 7);
  for (const seconds of [0.005, 0.005, 0.05, 3]) latency.observe({ route: '/predict' }, seconds);
  const exporter = new CloudWatchExporter({ registries: [registry], log: silentLogger }, config);
  await exporter.start();
  await exporter.flush();
  expect(taken[0]?.Namespace).toBe('headwater');
  expect(sent()).toEqual([
    ['events_processed_total', 3],
    ['ab_variant_assignments variant=a', 2],
    ['pipeline_backlog_records partition=0', 7],
    // What is beyond the last end counts as the last end.
    ['prediction_latency_seconds route=/predict', { 0.01: 2, 0.1: 2 }],
  ]);

  events.inc();
  latency.observe({ route: '/predict' }, 0.05);
  // What is not taken counts in with the next.
  refuses = true;
  await exporter.flush();
  refuses = false;
  taken = [];
  events.inc();
  await exporter.stop();
  expect(sent()).toEqual([
    ['events_processed_total', 2],
    ['ab_variant_assignments variant=a', 0],
    ['pipeline_backlog_records partition=0', 7],
    ['prediction_latency_seconds route=/predict', { 0.1: 1 }],
  ]);
});

test('more series than a request takes go in several', async () => {
  const registry = new Registry();
  const gauge = new Gauge({ name: 'drift_detected', help: '-', labelNames: ['column'], registers: [registry] });
  for (let column = 0; column < 1_201; column += 1) gauge.set({ column: `c${column}` }, 0);
  const exporter = new CloudWatchExporter({ registries: [registry], log: silentLogger }, config);
  await exporter.start();
  await exporter.stop();
  expect(taken.map(({ MetricData }) => MetricData.length)).toEqual([500, 500, 201]);
});
