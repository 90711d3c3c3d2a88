import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { startKafka } from '#scripts/services/servers';
import { serviceAddress } from '../integration/service_address.ts';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';
import { until } from '../support/servers/redis_servers.ts';
import { startTraceCollector } from '../support/servers/trace_collector.ts';

// The whole platform on each broker: its topics, the same events to the same features, and a broker that is away.

const ACCOUNT = 'account-7';
/** One second apart, and the last a moment ago. */
const events = (count: number, prefix: string) =>
  Array.from({ length: count }, (_, index) => ({
    ...{ event_id: `${prefix}-${index}`, user_id: 'user-7', event_type: 'transaction', account_id: ACCOUNT },
    ...{
      amount: 10 + index,
      currency: 'EUR',
      merchant_id: `m${index % 3}`,
      merchant_category: 'grocery',
      country: 'DE',
    },
    timestamp: new Date(BEGAN_MS - (count - index) * 1_000).toISOString(),
  }));
const BEGAN_MS = Date.now();

let folder: string;
let server: Awaited<ReturnType<typeof startKafka>>;
let kafka: string;
const platforms = new Set<PlatformProcess>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'brokers-whole-'));
  server = await startKafka(folder);
  kafka = server.env.TEST_KAFKA_BROKERS as string;
}, 120_000);
afterEach(async () => {
  for (const platform of platforms) await platform.kill();
  platforms.clear();
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

async function startPlatform(env: Readonly<Record<string, string>>): Promise<PlatformProcess> {
  const data = mkdtempSync(join(folder, 'data-'));
  const platform = await PlatformProcess.start(data, {
    ...{ AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
    ...env,
  });
  platforms.add(platform);
  return platform;
}

async function post(
  url: string,
  body: object,
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

/** Values of the account's features, once they count so many transactions. */
async function featuresOf(
  platform: PlatformProcess,
  count: number,
  account = ACCOUNT,
): Promise<Record<string, unknown>> {
  const giveUpAt = Date.now() + 60_000;
  let values: Record<string, unknown> = {};
  while (values.count_1h !== count && Date.now() < giveUpAt) {
    const answer = await fetch(`${platform.urls.features}/features/${account}?view=fraud@1`);
    const { features = {} } = (await answer.json()) as { features?: Record<string, { value: unknown }> };
    values = Object.fromEntries(Object.entries(features).map(([name, { value }]) => [name, value]));
    await sleep(200);
  }
  return values;
}

test('after a clean start there are exactly the platform’s topics', async () => {
  await startPlatform({ INGEST_SINK: 'kafka', KAFKA_BROKERS: kafka });
  const broker = new KafkaBroker(
    { log: silentLogger, clock: systemClock },
    kafkaConfigSchema.parse({ kind: 'kafka', brokers: [kafka] }),
  );
  await broker.start();
  const topics = (await broker.listTopics()).filter((name) => !name.startsWith('__'));
  await broker.stop();
  expect([...topics].sort()).toEqual(['dead-letter-queue', 'feature-events', 'predictions', 'raw-events']);
}, 120_000);

test('the same HTTP requests through Kafka, Pub/Sub and Kinesis make equal feature rows', async () => {
  const suffix = String(BEGAN_MS);
  const topics = {
    ...{ RAW_EVENTS_TOPIC: `raw-${suffix}`, FEATURE_EVENTS_TOPIC: `features-${suffix}` },
    ...{ DEAD_LETTER_TOPIC: `dead-${suffix}`, PREDICTIONS_TOPIC: `predictions-${suffix}` },
  };
  const sent = events(12, 'same');
  const rows: Record<string, unknown>[] = [];
  for (const sink of ['kafka', 'pubsub', 'kinesis']) {
    const platform = await startPlatform({
      ...topics,
      INGEST_SINK: sink,
      KAFKA_BROKERS: kafka,
      KINESIS_ENDPOINT: serviceAddress('TEST_KINESIS_ENDPOINT'),
      PUBSUB_EMULATOR_HOST: serviceAddress('TEST_PUBSUB_ADDRESS'),
    });
    for (const event of sent) expect((await post(`${platform.urls.gateway}/ingest`, event)).status).toBe(202);
    const values = await featuresOf(platform, sent.length);
    expect([sink, values.count_1h]).toEqual([sink, sent.length]);
    rows.push(values);
    await platform.terminate();
    platforms.delete(platform);
  }
  expect(Object.keys(rows[0] ?? {}).length).toBeGreaterThan(10);
  expect(rows[1]).toEqual(rows[0]);
  expect(rows[2]).toEqual(rows[0]);
}, 300_000);

test.each(['kafka', 'pubsub', 'kinesis'])(
  'an account is erased on %s: also from a pipeline that starts again; others stay, and new events count from zero',
  async (sink) => {
    const suffix = `erased-${sink}-${BEGAN_MS}`;
    const env = {
      ...{ AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', INGEST_SINK: sink, KAFKA_BROKERS: kafka },
      ...{ RAW_EVENTS_TOPIC: `raw-${suffix}`, FEATURE_EVENTS_TOPIC: `features-${suffix}` },
      ...{ DEAD_LETTER_TOPIC: `dead-${suffix}`, PREDICTIONS_TOPIC: `predictions-${suffix}` },
      KINESIS_ENDPOINT: serviceAddress('TEST_KINESIS_ENDPOINT'),
      PUBSUB_EMULATOR_HOST: serviceAddress('TEST_PUBSUB_ADDRESS'),
    };
    const data = mkdtempSync(join(folder, 'data-'));
    const start = async (): Promise<PlatformProcess> => {
      const platform = await PlatformProcess.start(data, env);
      platforms.add(platform);
      return platform;
    };
    const send = async (platform: PlatformProcess, prefix: string, account: string): Promise<void> => {
      for (const event of events(3, prefix)) {
        const answer = await post(`${platform.urls.gateway}/ingest`, {
          ...event,
          account_id: account,
          user_id: account,
        });
        expect(answer.status).toBe(202);
      }
    };
    let platform = await start();
    await send(platform, 'before', ACCOUNT);
    await send(platform, 'other', 'account-8');
    expect([(await featuresOf(platform, 3)).count_1h, (await featuresOf(platform, 3, 'account-8')).count_1h]).toEqual([
      3, 3,
    ]);
    const erased = await runCommand(folder, ['entities', 'erase', `account:${ACCOUNT}`, '--yes'], {
      ...env,
      DATA_DIRECTORY: data,
    });
    expect([erased.code, erased.code === 0 ? '' : erased.stderr, JSON.parse(erased.stdout || '{}')]).toEqual([
      0,
      '',
      expect.objectContaining({ erased: true, pipeline: 'applied' }),
    ]);
    const known = await runCommand(folder, ['entities', 'erase', `account:${ACCOUNT}`, '--dry-run'], {
      ...env,
      DATA_DIRECTORY: data,
    });
    expect(JSON.parse(known.stdout)).toMatchObject({ 'online store': 0, 'offline store': 0 });
    await platform.kill();
    platform = await start();
    await send(platform, 'after', ACCOUNT);
    expect([(await featuresOf(platform, 3)).count_1h, (await featuresOf(platform, 3, 'account-8')).count_1h]).toEqual([
      3, 3,
    ]);
  },
  300_000,
);

test('Kinesis has no headers: with tracing on, the trace context travels in the envelope, from POST /ingest to the feature row', async () => {
  const collector = await startTraceCollector();
  try {
    const platform = await startPlatform({
      ...{ INGEST_SINK: 'kinesis', KINESIS_ENDPOINT: serviceAddress('TEST_KINESIS_ENDPOINT') },
      ...{ RAW_EVENTS_TOPIC: `raw-traced-${BEGAN_MS}`, FEATURE_EVENTS_TOPIC: `features-traced-${BEGAN_MS}` },
      ...{ DEAD_LETTER_TOPIC: `dead-traced-${BEGAN_MS}`, PREDICTIONS_TOPIC: `predictions-traced-${BEGAN_MS}` },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '100' },
    });
    const [trace, caller] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
    const [event] = events(1, 'traced');
    const answer = await fetch(`${platform.urls.gateway}/ingest`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent: `00-${trace}-${caller}-01` },
      body: JSON.stringify(event),
    });
    expect(answer.status).toBe(202);
    expect((await featuresOf(platform, 1)).count_1h).toBe(1);
    const named = (name: string) => collector.spans.filter((span) => span.traceId === trace && span.name === name);
    const giveUpAt = Date.now() + 30_000;
    while (named('write fraud@1').length === 0 && Date.now() < giveUpAt) await sleep(100);
    const [ingest] = named('POST /ingest');
    const [computed] = named('compute fraud@1');
    const [written] = named('write fraud@1');
    expect(ingest?.parentSpanId).toBe(caller);
    expect(computed?.parentSpanId).toBe(ingest?.spanId);
    expect(written?.parentSpanId).toBe(computed?.spanId);
  } finally {
    await collector.stop();
  }
}, 180_000);

test('while the real broker is down nothing is acknowledged that is lost', async () => {
  const platform = await startPlatform({
    ...{ INGEST_SINK: 'kafka', KAFKA_BROKERS: kafka },
    ...{ RAW_EVENTS_TOPIC: 'raw-away', FEATURE_EVENTS_TOPIC: 'features-away', DEAD_LETTER_TOPIC: 'dead-away' },
  });
  const [first, ...others] = events(30, 'away');
  expect((await post(`${platform.urls.gateway}/ingest`, first as object)).status).toBe(202);
  const restarting = server.restart(6_000);
  await sleep(500);
  const answers = await Promise.all(
    others.map(async (event, index) => {
      await sleep(index * 150);
      return post(`${platform.urls.gateway}/ingest`, event);
    }),
  );
  await restarting;
  const accepted = answers.filter(({ status }) => status === 202).length + 1;
  const refused = answers.filter(({ status }) => status === 503);
  expect(accepted + refused.length).toBe(30);
  const values = await featuresOf(platform, accepted);
  expect(values.count_1h).toBe(accepted);
  // Parts that the outage has stopped may take a moment more than the features.
  let health = '';
  await until(async () => {
    const answer = await fetch(`${platform.urls.gateway}/health`);
    health = await answer.text();
    return answer.status === 200;
  }, 60_000).catch(() => {
    throw new Error(`the gateway did not become healthy again: ${health}`);
  });
}, 180_000);
