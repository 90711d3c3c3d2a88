import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Browser, chromium } from 'playwright-core';
import { assetPath, projectRoot } from '#kernel/project_root';
import { Random } from '#kernel/random';
import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import { serviceAddress } from '../../integration/service_address.ts';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { startTraceCollector, type TraceCollector } from '../../support/servers/trace_collector.ts';

// Payments through Kafka, Redis and PostgreSQL, models in MLflow: fraud changes its pattern, and the model is trained again by itself.

const WORKFLOW = 'retrain_fraud';
const STEP_MS = 20_000;
let folder: string;
let project: string;
let collector: TraceCollector;
let platform: PlatformProcess;
let browser: Browser;
let servers: Record<string, string>;
let champion: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'retraining-'));
  project = join(folder, 'project');
  await cp(assetPath('test/data/retraining'), project, { recursive: true });
  // Its trainer is that of another project.
  await cp(assetPath('test/data/extensions/extensions/logistic_trainer.ts'), join(project, 'logistic_trainer.ts'));
  const config = readFileSync(join(project, 'headwater.config.ts'), 'utf8');
  writeFileSync(join(project, 'headwater.config.ts'), config.replace('../extensions/extensions/', './'));
  // As npm would install it.
  await mkdir(join(project, 'node_modules'));
  await symlink(projectRoot.replace(/\/$/, ''), join(project, 'node_modules/headwater'));
  await symlink(assetPath('node_modules/zod'), join(project, 'node_modules/zod'));
  await writeFile(join(project, 'package.json'), '{"name":"guest","type":"module","private":true}');
  const [postgres, redis] = [new URL(serviceAddress('TEST_POSTGRES_URL')), new URL(serviceAddress('TEST_REDIS_URL'))];
  collector = await startTraceCollector();
  servers = {
    ...{ ENVIRONMENT: 'services', NAMESPACE: `retraining_${Date.now().toString(36)}`, HEADWATER_PROJECT: project },
    ...{ KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'), MLFLOW_TRACKING_URI: serviceAddress('TEST_MLFLOW_URL') },
    ...{ REDIS_HOST: redis.hostname, REDIS_PORT: redis.port },
    ...{ DATABASE_HOST: postgres.hostname, DATABASE_PORT: postgres.port, DATABASE_USER: postgres.username },
    ...{ DATABASE_NAME: postgres.pathname.slice(1), DATA_DIRECTORY: join(folder, 'data') },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '100' },
  };
  platform = await PlatformProcess.start(join(folder, 'data'), servers);
  browser = await chromium.launch({ executablePath: process.env.TEST_CHROMIUM ?? '', args: ['--no-sandbox'] });
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await platform?.kill();
  await collector?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

interface Payment {
  readonly id: string;
  readonly body: { readonly amount: number; readonly distance: number };
  readonly isFraud: boolean;
}

/** Failed requests, by what they answered; none is to fail. */
const failures: string[] = [];
async function call(url: string, body?: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((error: unknown) => new Response(String(error), { status: 599 }));
  const text = await answer.text();
  if (!answer.ok) failures.push(`${url}: ${answer.status} ${text}`);
  return answer.ok ? (JSON.parse(text) as Record<string, unknown>) : {};
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Payments of cards of their own; the pattern says which of the two fields gives fraud away. */
class Stream {
  readonly #random = new Random(5);
  #count = 0;
  pattern: 'amount' | 'distance' = 'amount';

  next(): Payment {
    const [a, d] = [this.#random.normal(), this.#random.normal()];
    const isFraud = this.#random.next() < sigmoid(-0.5 + 3 * (this.pattern === 'amount' ? a : d));
    const id = `c${this.#count++}`;
    return { id, body: { amount: Math.exp(a), distance: Math.exp(d) }, isFraud };
  }

  async post(count: number): Promise<readonly Payment[]> {
    const payments = Array.from({ length: count }, () => this.next());
    const at = new Date().toISOString();
    const events = payments.map(({ id, body }) => ({
      ...{ event_type: 'payment', payment_id: id, card_id: id, at },
      ...body,
    }));
    await call(`${platform.urls.gateway}/ingest/batch`, events);
    return payments;
  }
}

const stream = new Stream();
const EACH_MS = 300;
const PAYMENTS_A_TURN = 30;
/** What is predicted once its features have come. */
const DELAY_TURNS = 5;
const seen: { readonly score: number; readonly isFraud: boolean; readonly atMs: number; readonly version: number }[] =
  [];

/** The live load: payments, a prediction for each a little later, and then how it turned out. */
async function load(stop: AbortSignal): Promise<void> {
  const waiting: (readonly Payment[])[] = [];
  while (!stop.aborted) {
    const begun = Date.now();
    waiting.push(await stream.post(PAYMENTS_A_TURN));
    if (waiting.length > DELAY_TURNS) await predict(waiting.shift() as readonly Payment[]);
    await sleep(Math.max(0, EACH_MS - (Date.now() - begun)));
  }
}

async function predict(payments: readonly Payment[]): Promise<void> {
  const answers = await Promise.all(
    payments.map(({ id }) =>
      call(`${platform.urls.serving}/predict`, { model_name: 'fraud', entity_id: id, return_probabilities: true }),
    ),
  );
  const atMs = Date.now();
  const feedback = payments.flatMap(({ isFraud }, at) => {
    const {
      prediction_id,
      probabilities,
      model_version: version,
    } = answers[at] as {
      prediction_id?: string;
      probabilities?: Record<string, number>;
      model_version?: number | string;
    };
    if (prediction_id === undefined) return [];
    seen.push({ score: probabilities?.fraud ?? Number.NaN, isFraud, atMs, version: Number(version) });
    return [{ prediction_id, label: isFraud ? 'fraud' : 'honest' }];
  });
  await call(`${platform.urls.serving}/feedback`, { feedback });
}

/** The area under the curve of the newest predictions since then. */
function liveAuc(sinceMs: number, most = 600): number {
  const rows = seen.filter(({ atMs }) => atMs >= sinceMs).slice(-most);
  const labels = rows.map(({ isFraud }) => (isFraud ? 1 : 0));
  if (new Set(labels).size < 2) return Number.NaN;
  return binaryMetrics(
    labels,
    rows.map(({ score }) => score),
  ).auc;
}

async function until<T>(
  what: string,
  withinMs: number,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found as T;
    if (Date.now() > end)
      throw new Error(`${what} did not come within ${withinMs / 1_000} s\n${platform.output.slice(-4_000)}`);
    await sleep(100);
  }
}

interface Run {
  readonly id: string;
  readonly status: string;
  readonly at: readonly { readonly state: string; readonly phase: string }[];
  readonly output: Record<string, unknown> | null;
  readonly input: { readonly trigger: { readonly kind: string; readonly detail: string } };
  readonly queuedAt: string;
}
const runs = async (): Promise<readonly Run[]> =>
  (await call(`${platform.urls.monitor}/workflows/${WORKFLOW}/runs`)).runs as readonly Run[];

test('its first version is trained on payments as they were', async () => {
  const posted: Payment[] = [];
  for (let batch = 0; batch < 10; batch += 1) posted.push(...(await stream.post(100)));
  await until('features', 60_000, async () => {
    const answer = await fetch(`${platform.urls.features}/features/${posted.at(-1)?.id}`);
    return answer.ok ? true : undefined;
  });
  await sleep(2_000);
  const at = new Date().toISOString();
  const lines = posted.map(({ id, isFraud }) => `${id},${at},${isFraud ? 1 : 0}`);
  const labels = join(folder, 'labels.csv');
  writeFileSync(labels, `card_id,event_time,label\n${lines.join('\n')}\n`);
  const trained = await runCommand(
    folder,
    ['models', 'train', 'fraud', '--labels-file', labels, '--register'],
    servers,
  );
  expect(trained).toMatchObject({ code: 0 });
  champion = Number(/^fraud (\d+) None/m.exec(trained.stdout)?.[1]);
  const promoted = await runCommand(
    folder,
    ['models', 'promote', 'fraud', String(champion), '--by', 'ann', '--approved-by', 'bob', '--reason', 'first'],
    servers,
  );
  expect(promoted).toMatchObject({ code: 0, stdout: `fraud ${champion} is in Production\n` });
  await until('the first version', 60_000, async () => {
    const answer = await fetch(`${platform.urls.serving}/predict`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ model_name: 'fraud', entity_id: posted[0]?.id }),
    });
    return answer.ok ? true : undefined;
  });
}, 180_000);

test('the pattern changes: the workflow starts at the next check, trains, waits for a person, and the new version recovers', async () => {
  const stop = new AbortController();
  const loading = load(stop.signal);
  try {
    await until('2,000 predictions', 120_000, () => (seen.length >= 1_500 ? true : undefined));
    const before = liveAuc(0, 1_000);
    expect(before).toBeGreaterThan(0.85);
    expect(await runs()).toEqual([]);

    const changedMs = Date.now();
    const timeline: (readonly [string, number])[] = [];
    const mark = (what: string, atMs = Date.now()): void => void timeline.push([what, (atMs - changedMs) / 1_000]);
    stream.pattern = 'distance';
    const [started] = await until('a run', 60_000, async () => {
      const found = await runs();
      return found.length > 0 ? found : undefined;
    });
    const run = started as Run;
    const during = liveAuc(changedMs + EACH_MS * (DELAY_TURNS + 2));
    mark(`live auc ${during.toFixed(2)}, run started: ${run.input.trigger.detail}`, Date.parse(run.queuedAt));
    expect(during).toBeLessThan(0.65);
    expect(run.input.trigger.kind).toBe('performance');
    const url = `${platform.urls.monitor}/workflows/${WORKFLOW}/runs/${encodeURIComponent(run.id)}`;
    const find = async (): Promise<Run> => (await call(url)) as unknown as Run;
    const inState = (state: string) => async () => {
      const found = await find();
      if (found.status !== 'running') throw new Error(`the run is ${JSON.stringify(found)}`);
      return found.at.some((each) => each.state === state && each.phase === 'token') ? true : undefined;
    };
    await until('the approval', 120_000, inState('Approve'));
    mark('trained, better on the same rows, waits for approval');
    // The registry may hold versions of other platforms.
    const challenger = champion + 1;
    const versions = async () => seen.slice(-200).map(({ version }) => version);
    expect(new Set(await versions())).toEqual(new Set([champion]));
    const page = await browser.newPage({ viewport: { width: 1_280, height: 900 } });
    page.setDefaultTimeout(STEP_MS);
    await page.goto(`${platform.urls.serving}/console#/approvals`);
    await page.getByRole('button', { name: 'Approve', exact: true }).click();
    await page.getByLabel('Reason (it is kept)').fill('fraud has moved');
    await page.locator('dialog').getByRole('button', { name: 'Approve' }).click();
    await page.getByText('It is approved.').waitFor();
    mark('approved');
    await until('the canary', 60_000, async () => ((await versions()).includes(challenger) ? true : undefined));
    mark('canary answers the first entities');
    await until('production', 120_000, async () => {
      const { status, output, at } = await find();
      if (status === 'failed') throw new Error(JSON.stringify(await call(`${url}/history`)).slice(-3_000));
      return at.some(({ state }) => state.startsWith('Watch')) || output !== null ? true : undefined;
    });
    mark('in production');
    const productionMs = Date.now() + 2_000;
    await until('600 predictions of the new version', 60_000, () =>
      seen.filter(({ atMs, version }) => atMs > productionMs && version === challenger).length >= 600
        ? true
        : undefined,
    );
    const after = liveAuc(productionMs);
    mark(`live auc ${after.toFixed(2)} again`);
    const ended = await until('the end of the run', 120_000, async () => {
      const found = await find();
      return found.status === 'running' ? undefined : found;
    });
    mark('watched, and the run ended');
    expect(ended).toMatchObject({
      status: 'succeeded',
      output: { model: 'fraud', outcome: 'promoted', version: challenger, champion, quarantined: 0 },
    });
    expect(after).toBeGreaterThan(0.8);
    expect(seen.slice(-300).every(({ version }) => version === challenger)).toBe(true);
    expect(await runs()).toHaveLength(1);
    expect(failures).toEqual([]);
    for (const [what, seconds] of timeline) console.info(`${(seconds / 60).toFixed(2)} min  ${what}`);
    console.info(
      `auc ${before.toFixed(3)}, ${during.toFixed(3)} after the change, ${after.toFixed(3)} after ${((timeline.at(-2)?.[1] ?? 0) / 60).toFixed(2)} minutes`,
    );

    // One page has all of it: the states with what became of them, over time, and what a step logged.
    await page.goto(`${platform.urls.serving}/console#/runs?run=${encodeURIComponent(run.id)}`);
    for (const state of ['ValidateData', 'Train', 'Compare', 'Approve', 'Canary', 'Promote', 'Report']) {
      await page
        .getByRole('button', { name: new RegExp(`^${state}, succeeded`) })
        .first()
        .waitFor();
    }
    await page.getByRole('button', { name: /^Compare, succeeded/ }).click();
    await page
      .getByLabel('Log of Compare')
      .getByText(/on the same rows/)
      .waitFor();
    await page.getByLabel('Result').getByText('"isBetter": true').waitFor();
    expect(await page.locator('svg.graph .state.succeeded').count()).toBeGreaterThan(12);
    await page.getByRole('row', { name: /made models\/fraud/ }).waitFor();
    await page.close();

    // One trace has the steps, in their processes too.
    await sleep(500);
    const spans = collector.spans.filter(({ scope }) => scope === 'headwater.workflows');
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(new Set(spans.map(({ name }) => name))).toEqual(
      new Set(
        [
          'ValidateData',
          'TrainingSet',
          'Train',
          'Compare',
          'Register',
          'Gates',
          'Approve',
          'Stage',
          'Canary',
          'Promote',
          'Watch',
          'Report',
        ].map((state) => `${WORKFLOW} ${state}`),
      ),
    );
  } finally {
    stop.abort();
    await loading;
  }
}, 600_000);

test('the audit trail says who approved and why, and is whole', async () => {
  const verified = await runCommand(folder, ['audit', 'verify'], servers);
  expect(verified).toMatchObject({ code: 0 });
  const versions = await runCommand(folder, ['models', 'list', '--json'], servers);
  const inProduction = (
    JSON.parse(versions.stdout) as { name: string; version: number; stage: string; tags: Record<string, string> }[]
  ).find(({ name, stage }) => name === 'fraud' && stage === 'Production');
  expect(inProduction?.version).toBe(champion + 1);
  expect(JSON.stringify(inProduction?.tags)).toMatch(/fraud has moved/);
  const again = await runCommand(folder, ['workflows', 'run', WORKFLOW], servers);
  expect(again).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/no run of workflow "retrain_fraud" is started: .*cool-down/),
  });
}, 60_000);
