import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { serviceAddress } from '../../integration/service_address.ts';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { startTraceCollector, type TraceCollector } from '../../support/servers/trace_collector.ts';

// Roles in processes of their own, events through Kafka, rows through Redis and PostgreSQL: in a namespace of its own on the servers that are there.

let folder: string;
let collector: TraceCollector;
const processes: PlatformProcess[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'traces-'));
  const [postgres, redis] = [new URL(serviceAddress('TEST_POSTGRES_URL')), new URL(serviceAddress('TEST_REDIS_URL'))];
  const servers = {
    ...{ ENVIRONMENT: 'services', NAMESPACE: `traces_${Date.now().toString(36)}` },
    ...{ KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'), MLFLOW_TRACKING_URI: serviceAddress('TEST_MLFLOW_URL') },
    ...{ REDIS_HOST: redis.hostname, REDIS_PORT: redis.port },
    ...{ DATABASE_HOST: postgres.hostname, DATABASE_PORT: postgres.port, DATABASE_USER: postgres.username },
    DATABASE_NAME: postgres.pathname.slice(1),
  };
  collector = await startTraceCollector();
  const shipped = assetPath('examples/fraud/models/fraud_detector');
  const { stdout } = await runCommand(folder, ['models', 'register', 'fraud_detector', shipped], servers);
  const [, version = ''] = /^fraud_detector (\d+)/.exec(stdout) ?? [];
  expect(await runCommand(folder, ['models', 'promote', 'fraud_detector', version, '--force'], servers)).toMatchObject({
    code: 0,
  });
  const env = { ...servers, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '100' };
  for (const ROLES of ['gateway', 'pipeline', 'features,serving']) {
    processes.push(await PlatformProcess.start(join(folder, ROLES), { ...env, ROLES }));
  }
}, 240_000);
afterAll(async () => {
  for (const process of processes) await process.kill();
  await collector?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

test('one trace leads from the event through Kafka, computation and stores to the prediction', async () => {
  const [gateway, , listeners] = processes as [PlatformProcess, PlatformProcess, PlatformProcess];
  const headers = { 'content-type': 'application/json', traceparent: `00-${TRACE}-${CALLER}-01` };
  const event = {
    ...{ event_id: 'traced', user_id: 'u', event_type: 'transaction', timestamp: new Date().toISOString() },
    ...{ account_id: 'traced', amount: 10, currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery' },
    country: 'DE',
  };
  const post = (url: string, body: object) => fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  expect((await post(`${gateway.urls.gateway}/ingest`, event)).status).toBe(202);
  const predict = () =>
    post(`${listeners.urls.serving}/predict`, { model_name: 'fraud_detector', entity_id: 'traced' }).then(
      ({ status }) => status,
    );
  const giveUpAt = Date.now() + 60_000;
  while ((await predict()) !== 200 && Date.now() < giveUpAt) await sleep(100);
  expect((await fetch(`${listeners.urls.features}/features/traced`, { headers })).status).toBe(200);

  const named = (name: string) => collector.spans.filter((span) => span.traceId === TRACE && span.name === name);
  while (named('GET /features/:entity').length === 0 && Date.now() < giveUpAt) await sleep(100);
  const scopes = new Set(collector.spans.filter(({ traceId }) => traceId === TRACE).map(({ scope }) => scope));
  expect([...scopes].sort()).toEqual([
    ...['headwater.features', 'headwater.gateway', 'headwater.pipeline', 'headwater.serving'],
  ]);
  // Each below the one that it follows from.
  const [ingest] = named('POST /ingest');
  expect(ingest?.parentSpanId).toBe(CALLER);
  const computed = collector.spans.filter(({ name }) => name.startsWith('compute '));
  expect(computed.length).toBeGreaterThan(0);
  for (const { traceId, parentSpanId, name, spanId } of computed) {
    expect([traceId, parentSpanId]).toEqual([TRACE, ingest?.spanId]);
    expect(named(name.replace('compute', 'write')).map((span) => span.parentSpanId)).toEqual([spanId]);
  }
  expect(named('POST /predict').every(({ parentSpanId }) => parentSpanId === CALLER)).toBe(true);
}, 120_000);
