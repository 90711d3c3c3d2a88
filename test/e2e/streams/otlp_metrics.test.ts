import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { goodEvent } from '../../support/definitions/good_event.ts';
import { OtlpReceiver } from '../../support/guests/otlp_receiver.ts';
import { otlpSamples, prometheusSamples } from '../../support/metric_samples.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

// All roles in one process; what they send is decoded by OpenTelemetry's messages for Python.

let folder: string;
let receiver: OtlpReceiver;
let platform: PlatformProcess;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'otlp-'));
  receiver = await OtlpReceiver.start();
  platform = await PlatformProcess.start(folder, {
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: receiver.url,
    OTEL_METRIC_EXPORT_INTERVAL: '200',
    OTEL_SERVICE_NAME: 'payments',
  });
}, 240_000);
afterAll(async () => {
  await platform?.kill();
  await receiver?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** What an instance has sent last, whose id ends with this. */
async function sentBy(part: string) {
  const found = (await receiver.received()).find(({ resource }) =>
    resource['service.instance.id']?.endsWith(`:${part}`),
  );
  return {
    service: found?.resource['service.name'],
    samples: otlpSamples(found?.scopeMetrics.flatMap(({ metrics }) => metrics) ?? []),
  };
}

const scrape = async (url: string) => prometheusSamples(await (await fetch(`${url}/metrics`)).text());

test.each([
  { part: 'platform', role: 'serving' as const },
  { part: 'monitor', role: 'monitor' as const },
])(
  'the metrics of $part arrive with the names, labels and values of /metrics',
  async ({ part, role }) => {
    const headers = { 'content-type': 'application/json' };
    const { status } = await fetch(`${platform.urls.gateway}/ingest`, {
      ...{ method: 'POST', headers, body: JSON.stringify(goodEvent(part)) },
    });
    expect(status).toBe(202);
    const before = await scrape(platform.urls[role]);
    await sleep(1_500);
    const { service, samples } = await sentBy(part);
    const after = await scrape(platform.urls[role]);
    expect(service).toBe('payments');
    // Of series that did not change meanwhile, each was sent, with its value. What is open in the process comes and goes with each look.
    const still = [...after].filter(([key, value]) => before.get(key) === value && !key.startsWith('nodejs_active_'));
    expect(still.filter(([key, value]) => samples.get(key) !== value)).toEqual([]);
    expect([...samples.keys()].filter((key) => !after.has(key))).toEqual([]);
    expect(still.length).toBeGreaterThan(50);
  },
  60_000,
);
