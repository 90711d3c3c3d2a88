import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { controlAccess } from '#connectors/http/access';
import { accessConfigSchema } from '#connectors/http/config';
import { pluginContract } from '#connectors/testing/plugin_contract';
import { feedbackView } from '#examples/feedback/features/feedback';
import { FeedbackStore } from '#examples/feedback/insights/detection/adverse_events';
import { LANGUAGES } from '#examples/feedback/insights/languages';
import { insightsPlugin } from '#examples/feedback/insights/routes';
import feedbackFiles from '#examples/feedback/pipelines/feedback_files';
import { readSentences } from '#examples/feedback/training/corpus';
import { FeatureTest } from '#feature_store/testing/feature_test';
import { assetPath } from '#kernel/project_root';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { registerPlugins } from '#monitoring/http/role_plugin';
import { createLogger, silentLogger } from '#monitoring/log';
import { Registry } from '#monitoring/metrics';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';

const KEY = 'a-key-of-this-test';
const folder = mkdtempSync(join(tmpdir(), 'feedback-'));
const environment = { FEEDBACK_DATABASE: join(folder, 'database'), FEEDBACK_KEEP_TEXT: 'true' };
const metrics = new Registry();
const lines: string[] = [];
let app: FastifyInstance;

beforeAll(async () => {
  app = createHttpApp(undefined);
  await controlAccess(app, accessConfigSchema.parse({ apiKeys: [KEY] }), silentLogger);
  new HttpService({ log: silentLogger, metrics }, { name: 'test', host: '127.0.0.1', port: 0, portSetting: '' }, app);
  const log = createLogger({ level: 'trace' }, { write: (line) => void lines.push(line) });
  const context = { log, metrics, score: async () => [], vectors: async () => [] };
  await registerPlugins(app, [insightsPlugin({ environment })], context);
  await app.ready();
});
afterAll(async () => {
  await app.close();
  rmSync(folder, { recursive: true, force: true });
});

const call = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) => {
  const answer = await app.inject({ method, url, headers: { 'x-api-key': KEY }, ...(payload && { payload }) });
  return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
};

test.each([
  [{ text: '' }, 400],
  [{ text: '   ' }, 400],
  [{ text: 'x'.repeat(5_001) }, 400],
  [{ text: 5 }, 400],
  [{}, 400],
  [{ text: 'Hello', lang: 'de' }, 400],
  [{ text: 'Das Ladegerät wurde sehr heiß und hat mir die Hand verbrannt.' }, 422],
])('%j is answered with %d', async (body, status) => {
  expect((await call('POST', '/insights', body)).status).toBe(status);
});

test('a text has all fields, in its language; the one that the request names wins', async () => {
  const { status, body } = await call('POST', '/insights', { text: 'El cargador explotó y me quemó la mano.' });
  expect(status).toBe(200);
  expect(body).toMatchObject({ language: 'es', adverse_event_detected: true, degraded: false, provider: 'local' });
  expect(String(body.recommendations)).toContain('equipo de seguridad');
  for (const field of [
    'sentiment',
    'sentiment_score',
    'topics',
    'unmet_needs',
    'safety_concerns',
    'latency_ms',
    'model',
  ])
    expect(body).toHaveProperty(field);
  expect((await call('POST', '/insights', { text: 'Super', lang: 'fr' })).body).toMatchObject({ language: 'fr' });
  const wish = await call('POST', '/insights', { text: 'I wish there was an offline mode.' });
  expect(wish.body.unmet_needs).toEqual(['I wish there was an offline mode']);
});

test('adverse events are kept with an audit trail, reviewed, and erased by customer; no text is logged', async () => {
  const text = 'Your syrup gave my son hives, write to zoe@example.com';
  await call('POST', '/insights', { text, customer_id: 'c7' });
  const listed = await call('GET', '/insights/adverse-events?status=new');
  const [event] = listed.body.adverse_events as { id: string; customer_id: string; masked_text: string }[];
  expect(event).toMatchObject({ customer_id: 'c7', masked_text: 'Your syrup gave my son hives, write to <EMAIL>' });
  const path = `/insights/adverse-events/${event?.id}`;
  const review = { status: 'reported', actor: 'ann', note: 'case 12' };
  expect((await call('POST', `${path}/review`, review)).status).toBe(200);
  expect((await call('DELETE', '/insights/customers/c7')).body).toEqual({ comments: 1, adverse_events: 1 });
  const all = (await call('GET', '/insights/adverse-events')).body.adverse_events as { id: string }[];
  expect(all.find(({ id }) => id === event?.id)).toMatchObject({ customer_id: null, masked_text: null });
  expect(JSON.stringify(all.find(({ id }) => id === event?.id))).not.toContain('hives');
  const { audit } = (await call('GET', `${path}/audit`)).body as { audit: { action: string; actor: string }[] };
  expect(audit.map(({ action }) => action)).toEqual(['detected', 'status:reported', 'erased']);
  const logged = lines.join('');
  expect(logged).toContain('insights.answered');
  expect(logged).toContain('latencyMs');
  for (const word of ['syrup', 'hives', 'zoe', 'cargador']) expect(logged).not.toContain(word);
  const shown = await metrics.metrics();
  expect(shown).toContain('feedback_adverse_events_total');
  expect(shown).not.toContain('hives');
});

test('while the database is away, adverse events wait in a file, and go into the database afterwards', async () => {
  const spool = join(folder, 'spool/events.jsonl');
  const event = {
    ...{ request_id: 'r1', customer_id: null, language: 'en', score: 0.9, concerns: [], masked_text: 'x' },
  };
  const away = new FeedbackStore({ place: 'postgres://127.0.0.1:1/none', spool, textDays: 1 });
  await away.start();
  expect(await away.record(event)).toMatchObject({ isSpooled: true });
  expect(away.spooled).toBe(1);
  await away.stop();
  const back = new FeedbackStore({ place: ':memory:', spool, textDays: 1 });
  await back.start();
  expect(back.spooled).toBe(0);
  expect(await back.list({ limit: 10 })).toMatchObject([{ request_id: 'r1', status: 'new' }]);
  expect((await back.waiting()).count).toBe(1);
  await back.stop();
});

describe('as a plugin of serving', () => {
  const plugin = insightsPlugin({ environment: { FEEDBACK_DATABASE: ':memory:' } });
  const context = () => ({ score: async () => [], vectors: async () => [] });
  for (const { name, timeoutMs, run } of pluginContract(plugin, { context, runs: 20 })) test(name, run, timeoutMs);
});

test('each alert has its runbook and metrics that there are', async () => {
  const rules = readFileSync(assetPath('examples/feedback/monitoring/alerts.yaml'), 'utf8');
  const shown = await metrics.metrics();
  for (const [, runbook] of rules.matchAll(/runbook: (\S+)/g))
    expect(readFileSync(assetPath(runbook as string), 'utf8')).toMatch(/^# /);
  for (const [metric] of rules.matchAll(/feedback_\w+/g)) expect(shown).toContain(`# TYPE ${metric} `);
});

test('1,000 comments of the topic become features of their customers, without the text', () => {
  const features = new FeatureTest([feedbackView], { now: '2026-01-05T12:00:00Z' });
  const comments = LANGUAGES.flatMap((language) => readSentences('held_out', language)).map(({ text }) => text);
  const expected = new Map<string, number>();
  for (let at = 0; at < 1_000; at += 1) {
    const customer = `c${at % 50}`;
    expected.set(customer, (expected.get(customer) ?? 0) + 1);
    const event = { event_type: 'feedback', feedback_id: `f${at}`, customer_id: customer, at: features.now };
    // Sentences of one to three words may be taken for another language: they are told by what surrounds them.
    features.ingest({ ...event, text: `${comments[at % 300]} I wrote this about the product.` });
  }
  for (const [customer, count] of expected) {
    const row = features.row(feedbackView, { customer_id: customer });
    expect(row?.comments_30d).toBe(count);
    expect(row?.mean_sentiment_score_30d).toBeGreaterThanOrEqual(-1);
    expect(JSON.stringify(row)).not.toContain('product');
  }
});

test('the batch form writes a line a customer, and the lines that cannot be read', async () => {
  const file = join(folder, 'feedback.jsonl');
  const out = join(folder, 'out');
  const good = Array.from({ length: 20 }, (_, at) =>
    JSON.stringify({ customer_id: `c${at % 4}`, text: 'This charger burned my hand badly.' }),
  );
  writeFileSync(file, [...good, 'no JSON', '{"customer_id":"c1"}', ''].join('\n'));
  await runEmbedded(createPipeline(feedbackFiles({ files: file, out }))).finished;
  const customers = readFileSync(join(out, 'customers.jsonl'), 'utf8').trim().split('\n');
  expect(customers).toHaveLength(4);
  expect(JSON.parse(customers[0] as string)).toMatchObject({ comments: 5, adverse: 5 });
  const dead = readFileSync(join(out, 'dead_letters.jsonl'), 'utf8').trim().split('\n');
  expect(dead.map((line) => (JSON.parse(line) as { number: number }).number).sort()).toEqual([21, 22]);
});
