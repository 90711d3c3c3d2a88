import { mkdtempSync, rmSync } from 'node:fs';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath, projectRoot } from '#kernel/project_root';
import { Random } from '#kernel/random';
import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import { writeModelFolder } from '#registry/model_folder';
import { linearPackage } from '#registry/trainers/online/linear_onnx';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

// A model that learns from each outcome: its weights are exported, judged and put into production by its workflow, and poisoned labels are taken back.

const WORKFLOW = 'retrain_fraud';
let folder: string;
let platform: PlatformProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'online-'));
  const project = join(folder, 'project');
  await cp(assetPath('test/data/online_learner'), project, { recursive: true });
  await mkdir(join(project, 'node_modules'));
  await symlink(projectRoot.replace(/\/$/, ''), join(project, 'node_modules/headwater'));
  await symlink(assetPath('node_modules/zod'), join(project, 'node_modules/zod'));
  await writeFile(join(project, 'package.json'), '{"name":"guest","type":"module","private":true}');
  const column = { type: 'double' as const, weight: 0, missing: 0, categories: {}, other: 0 };
  const first = linearPackage({
    bias: 0,
    columns: ['amount', 'distance'].map((name) => ({ name, ...column })),
    classes: ['honest', 'fraud'],
  });
  const signature = { ...first.signature, featureService: { service: 'payment@1' } };
  await writeModelFolder(
    join(project, 'models/first'),
    { ...first, signature },
    { card: { metrics: { auc: 0.5 }, params: {} } },
  );
  platform = await PlatformProcess.start(join(folder, 'data'), {
    HEADWATER_PROJECT: project,
  });
}, 240_000);
afterAll(async () => {
  await platform?.kill();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

async function call(url: string, body?: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (answer.status === 503) {
    // Of a busy machine, as the answer says: try again in a second.
    await sleep(1_000);
    return call(url, body);
  }
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 90_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what} did not come\n${platform.output.slice(-3_000)}`);
    await sleep(100);
  }
}

interface Payment {
  readonly id: string;
  readonly isFraud: boolean;
}
const random = new Random(11);
let made = 0;

/** Posts payments of cards of their own, and waits for their features. */
async function post(count: number): Promise<readonly Payment[]> {
  const payments = Array.from({ length: count }, () => {
    const size = 1.5 * random.normal();
    const isFraud = random.next() < 1 / (1 + Math.exp(-4 * size));
    made += 1;
    return { id: `c${made}`, isFraud, amount: Math.exp(size), distance: Math.exp(random.normal()) };
  });
  const at = new Date().toISOString();
  await call(
    `${platform.urls.gateway}/ingest/batch`,
    payments.map(({ id, amount, distance }) => ({
      ...{ event_type: 'payment', payment_id: id, card_id: id, at, amount, distance },
    })),
  );
  const known = `${platform.urls.features}/features/`;
  for (const { id } of payments) {
    await until('features', async () => ((await fetch(`${known}${id}`)).ok ? true : undefined));
  }
  return payments;
}

/** Predicts payments and reports how they turned out; poisoned: the other way round. @returns the version that answered last, and its area under the curve by what was true */
async function predict(count: number, isPoisoned = false): Promise<{ readonly version: number; readonly auc: number }> {
  const payments = await post(count);
  const scores: number[] = [];
  const feedback: object[] = [];
  let version = 0;
  for (let at = 0; at < count; at += 10) {
    const part = payments.slice(at, at + 10);
    const answers = await Promise.all(
      part.map(({ id }) =>
        call(`${platform.urls.serving}/predict`, { model_name: 'fraud', entity_id: id, return_probabilities: true }),
      ),
    );
    for (const [index, answer] of answers.entries()) {
      const isFraud = part[index]?.isFraud !== isPoisoned;
      scores.push((answer.probabilities as { readonly fraud: number }).fraud);
      feedback.push({ prediction_id: answer.prediction_id, label: isFraud ? 'fraud' : 'honest' });
      version = Number(answer.model_version);
    }
    await call(`${platform.urls.serving}/feedback`, { feedback: feedback.splice(0) });
  }
  const labels = payments.map(({ isFraud }) => Number(isFraud));
  return { version, auc: binaryMetrics(labels, scores).auc };
}

async function metric(name: string, labels: string): Promise<number> {
  const page = await (await fetch(`${platform.urls.monitor}/metrics`)).text();
  const line = page.split('\n').find((each) => each.startsWith(`${name}{`) && each.includes(labels));
  return Number(line?.split(' ').at(-1) ?? 0);
}

/** Waits until the learner has made so many checkpoints. */
const learned = (checkpoints: number): Promise<true> =>
  until(`${checkpoints} checkpoints`, async () => {
    const name = 'online_learner_checkpoints_total';
    const all = (await metric(name, 'outcome="kept"')) + (await metric(name, 'outcome="went_back"'));
    return all >= checkpoints ? true : undefined;
  });

const inRuns = (run = ''): string => `${platform.urls.monitor}/workflows/${WORKFLOW}/runs${run}`;
const start = async (): Promise<string> => String((await call(inRuns(), {})).id);
const ended = (run: string): Promise<Record<string, unknown>> =>
  until('the end of the run', async () => {
    const found = await call(inRuns(`/${encodeURIComponent(run)}`));
    if (found.status === 'running') return undefined;
    if (found.status === 'succeeded') return found.output as Record<string, unknown>;
    throw new Error(JSON.stringify(found).slice(-3_000));
  });
/** The version that answers; without an outcome nothing is learned of this prediction. */
const newestVersion = async (): Promise<number> => {
  const answer = await call(`${platform.urls.serving}/predict`, { model_name: 'fraud', entity_id: 'c1' });
  return Number(answer.model_version);
};

/** Waits until a version answers, which a run is to put into production. */
const answersAs = (version: number, run: string): Promise<true> =>
  until(`version ${version}`, async () => {
    if ((await newestVersion()) === version) return true;
    const { status, output } = await call(inRuns(`/${encodeURIComponent(run)}`));
    if (status === 'running') return undefined;
    throw new Error(`${run} has ended: ${JSON.stringify(output)}`);
  });

test('what it has learned goes through the gates into production; poisoned labels are taken back, of the version and of the learner', async () => {
  expect((await predict(400)).version).toBe(1);
  await learned(8);
  const first = await start();
  await answersAs(2, first);
  const good = await predict(200);
  expect(good).toMatchObject({ version: 2 });
  expect(good.auc).toBeGreaterThan(0.9);
  const promoted = await ended(first);
  expect(promoted).toMatchObject({ outcome: 'promoted', version: 2, champion: 1 });

  // The labels that judge it are poisoned as well: the gates cannot tell, and the watch does.
  await predict(900, true);
  await learned(30);
  const second = await start();
  await answersAs(3, second);
  const bad = await predict(200);
  expect(bad.version).toBe(3);
  expect(bad.auc).toBeLessThan(0.5);
  const rolledBack = await ended(second);
  expect(rolledBack).toMatchObject({ outcome: 'rolled_back', version: 3, champion: 2 });
  await until('version 2', async () => ((await newestVersion()) === 2 ? true : undefined));
  expect((await predict(200)).auc).toBeGreaterThan(0.9);
  await until('the learner', async () =>
    (await metric('online_learner_checkpoints_total', 'outcome="went_back"')) > 0 ? true : undefined,
  );
}, 300_000);
