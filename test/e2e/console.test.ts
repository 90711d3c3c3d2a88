import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { assetPath } from '#kernel/project_root';
import { Random } from '#kernel/random';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';
import { trainingLikeRow } from '../support/training_like_rows.ts';

// The console in a real browser, on a platform that runs: every page, what can be done on it, and whether everybody can use it.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const PAGES = [
  ...(['pipelines', 'features', 'models', 'experiments', 'drift', 'alerts', 'dead-letters'] as const),
  ...(['workflows', 'runs', 'schedules', 'approvals', 'why'] as const),
];
const STEP_MS = 20_000;

let folder: string;
let platform: PlatformProcess;
let browser: Browser;
/** One that has events. */
let account: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'console-'));
  for (let version = 1; version <= 2; version += 1)
    await runCommand(folder, ['models', 'register', 'fraud_detector', SHIPPED]);
  await runCommand(folder, ['models', 'promote', 'fraud_detector', '1', '--force']);
  platform = await PlatformProcess.start(join(folder, 'data'), { API_KEYS: 'a-key-for-the-console' });
  browser = await chromium.launch({ executablePath: process.env.TEST_CHROMIUM ?? '', args: ['--no-sandbox'] });
  const { gateway, serving } = platform.urls;
  const events = generateTransactions({ seed: 3, events: 400, accounts: 20, days: 1, endMs: Date.now() });
  await send(`${gateway}/ingest/batch`, events.map(({ body }) => body).join('\n'), 'application/x-ndjson');
  account = (JSON.parse(String(events[0]?.body)) as { readonly account_id: string }).account_id;
  const random = new Random(5);
  const instances = Array.from({ length: 500 }, () => trainingLikeRow(random));
  await send(`${serving}/predict/batch`, JSON.stringify({ model_name: 'fraud_detector', instances }));
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await platform?.kill();
  rmSync(folder, { recursive: true, force: true });
});

const headers = { 'x-api-key': 'a-key-for-the-console' };
const send = (url: string, body: string, type = 'application/json') =>
  fetch(url, { method: 'POST', headers: { ...headers, 'content-type': type }, body });

async function open(path: string, options: object = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1_280, height: 900 }, ...options });
  page.setDefaultTimeout(STEP_MS);
  await page.addInitScript("sessionStorage.setItem('headwater-api-key', 'a-key-for-the-console')");
  await page.goto(`${platform.urls.serving}/console#/${path}`);
  return page;
}

/** What a check for accessibility finds that is serious. */
async function seriousIssues(page: Page): Promise<readonly string[]> {
  const path = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  await page.evaluate(await (await import('node:fs/promises')).readFile(path, 'utf8'));
  const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
}

test('without a key nothing is shown; with one that is typed it is', async () => {
  const page = await browser.newPage();
  page.setDefaultTimeout(STEP_MS);
  await page.goto(`${platform.urls.serving}/console`);
  await page.getByLabel('API key').fill('a-key-for-the-console');
  expect(await page.getByText('records behind').count()).toBe(0);
  await page.getByRole('button', { name: 'Use it in this tab' }).click();
  await page.getByText('records behind').first().waitFor();
  await page.close();
  const refused = await fetch(`${platform.urls.serving}/console/api/versions`);
  expect(refused.status).toBe(401);
}, 60_000);

test('headwater why prints what GET /why answers, and says what it does not know', async () => {
  const question = [`account:${account}`, 'sum_amount_24h'];
  const run = (...args: readonly string[]) => runCommand(folder, ['why', ...args]);
  const at = new Date().toISOString();
  const { stdout } = await run(...question, '--at', at, '--limit', '2', '--json');
  const answer = await fetch(
    `${platform.urls.features}/why/${account}/sum_amount_24h?entity=account&at=${at}&limit=2`,
    {
      headers,
    },
  );
  const printed = JSON.parse(stdout);
  expect(printed).toEqual(await answer.json());
  expect(printed).toMatchObject({ equal: true, events: { items: [{}, {}] } });
  const text = await run(...question, '--at', at, '--limit', '2', '--offset', '1');
  expect(text.stdout).toContain(`sum_amount_24h of account:${account} is ${printed.served.value} as of ${at}`);
  expect(text.stdout).toMatch(/recomputed {2}equal\n[\s\S]*sum\(amount\) over 1d/);
  expect(text.stdout).toContain(`${printed.events.total} events, newest first; 2 from 1`);
  expect(text.stdout).toContain(printed.events.items[1].event_id);
  expect(text.stdout).not.toContain(printed.events.items[0].event_id);
  for (const [args, message] of [
    [['account:none', 'sum_amount_24h'], /nothing is known of account:none/],
    [[account, 'other'], /has a feature "other": headwater features list/],
    [[...question, '--view', 'fraud@9'], /view fraud@9 of/],
    [[...question, '--at', 'soon'], /--at/],
  ] as const)
    expect(await run(...args)).toMatchObject({ stderr: expect.stringMatching(message) });
}, 120_000);

test('every page shows what is there, on a wide screen and on a telephone, in light and dark, with nothing serious for axe', async () => {
  await sleep(3_000);
  for (const look of [
    { viewport: { width: 1_280, height: 900 }, colorScheme: 'light' },
    { viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
  ] as const) {
    for (const path of PAGES) {
      const page = await open(path, look);
      const problems: string[] = [];
      page.on('pageerror', ({ message }) => problems.push(message));
      page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
      await page.getByRole('heading', { level: 1 }).waitFor();
      while ((await page.getByText('asking…').count()) > 0) await sleep(50);
      expect([path, await seriousIssues(page)]).toEqual([path, []]);
      // Nothing is wider than the screen but what scrolls by itself.
      expect([path, await page.evaluate('document.documentElement.scrollWidth <= innerWidth')]).toEqual([path, true]);
      expect([path, problems.filter((text) => !/404/.test(text))]).toEqual([path, []]);
      await page.close();
    }
  }
}, 240_000);

test('pages are reached by keys, features filtered by typing', async () => {
  const page = await open('pipelines');
  await page.getByText('records behind').first().waitFor();
  await page.keyboard.press('2');
  await page.getByRole('heading', { level: 1, name: 'Features' }).waitFor();
  await page.getByText(/\d+ of \d+ features/).waitFor();
  await page.keyboard.press('/');
  await page.locator('input:focus').waitFor();
  await page.keyboard.type('sum_amount_1h');
  await page.getByText(/^1 of \d+ features/).waitFor();
  await page.close();
}, 60_000);

test('a version is promoted, with a reason that is kept; serving follows', async () => {
  const page = await open('models');
  await page.getByRole('button', { name: 'Promote fraud_detector 2' }).click();
  await page.getByLabel(/Reason/).fill('looks better');
  await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click();
  await page.getByText('fraud_detector 2 is in Production').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByText('version 2 answers').waitFor();
  await page.getByRole('cell', { name: 'looks better' }).waitFor();
  await page.close();
}, 60_000);

test('traffic is split, and put back', async () => {
  const page = await open('models');
  await page.getByLabel('Percent for Staging').fill('20');
  await page.getByRole('button', { name: 'Split fraud_detector' }).click();
  await page.getByLabel(/Reason/).fill('try it');
  await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click();
  await page.getByText('all processes follow').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByText('control 80, challenger 20').waitFor();
  await page.getByRole('button', { name: 'Undo fraud_detector' }).click();
  await page.getByLabel(/Reason/).fill('enough');
  await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByText('Production answers all of it').waitFor();
  await page.getByText(/change 2, by .*: enough/).waitFor();
  await page.close();
}, 60_000);

test('dead letters are looked at, and replayed', async () => {
  await send(`${platform.urls.gateway}/ingest`, '{"event_id": "x", "event_type": "transaction"}');
  const page = await open('dead-letters');
  await page.getByRole('cell', { name: 'gateway.validate' }).first().waitFor();
  await page.getByLabel('Reason contains').fill('amount');
  await page.getByRole('button', { name: 'Replay these' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click();
  await page.getByText(/[1-9]\d* were sent to raw-events again/).waitFor();
  await page.close();
}, 60_000);

test('what cannot be done is said', async () => {
  const move = (version: number, body: object) =>
    send(`${platform.urls.serving}/console/api/models/fraud_detector/versions/${version}/move`, JSON.stringify(body));
  expect((await move(9, { stage: 'Production', reason: 'x' })).status).toBe(404);
  expect((await move(1, { stage: 'Nowhere' })).status).toBe(400);
}, 60_000);

test('a value is explained from the page of features: its events, and that they give it again', async () => {
  const page = await open('features');
  await page.getByRole('link', { name: 'sum_amount_7d' }).first().click();
  await page.getByLabel('Entity').fill(account);
  await page.getByRole('button', { name: 'Explain the value' }).click();
  await page.getByText('computed from its events again: equal').waitFor();
  await page.getByText(/^[1-9]\d* events, the newest first$/).waitFor();
  expect(await page.getByText('sum(amount) over 7d').count()).toBe(1);
  expect(await seriousIssues(page)).toEqual([]);
  await page.close();
});

test('a prediction is explained from an answer on: in the console as by the command, down to the value of a feature', async () => {
  const body = JSON.stringify({ model_name: 'fraud_detector', entity_id: account, features: { amount: 900 } });
  const { prediction_id: id } = (await (await send(`${platform.urls.serving}/predict`, body)).json()) as {
    readonly prediction_id: string;
  };
  const why = (): Promise<Response> => fetch(`${platform.urls.serving}/why/predictions/${id}`, { headers });
  for (let looks = 0; (await why()).status === 404 && looks < 100; looks += 1) await sleep(100);
  const answer = (await (await why()).json()) as Readonly<Record<string, unknown>>;
  expect(answer).toMatchObject({ equal: true, difference: null, explanation: { method: 'tree_shap' } });
  const { stdout } = await runCommand(folder, ['why', 'prediction', id, '--json']);
  // Rows of events that were still on their way may be stored between the two answers.
  const { features: _, ...rest } = answer;
  expect(JSON.parse(stdout)).toMatchObject(rest);
  const printed = await runCommand(folder, ['why', 'prediction', id]);
  expect(printed.stdout).toMatch(/recomputed {2}equal to the last digit/);
  expect(printed.stdout).toContain(`headwater why value account:${account}`);
  expect(await runCommand(folder, ['why', 'prediction', 'none'])).toMatchObject({
    ...{ code: 1, stderr: expect.stringContaining('no prediction in the log has the id none and row 0') },
  });
  // The second version is the first one registered again.
  const since = ['--since', new Date(Date.now() - 3_600_000).toISOString(), '--json'];
  const replayed = await runCommand(folder, ['models', 'replay', 'fraud_detector', '2', ...since]);
  expect(JSON.parse(replayed.stdout)).toMatchObject({ agreement: 1, mean_distance: 0, changes: {}, largest: [] });
  const diff = await runCommand(folder, ['features', 'diff', 'fraud@1', 'fraud@1', ...since]);
  expect(JSON.parse(diff.stdout)).toMatchObject({ changes: [], history: { from: 'archive', entities_changed: 0 } });
  const page = await open(`why?prediction=${id}`);
  await page.getByText('computed again from the logged features: equal to the last digit').waitFor();
  expect(await seriousIssues(page)).toEqual([]);
  await page.getByRole('link', { name: 'count_1h', exact: true }).click();
  await page.getByText(/computed from its events again: equal|events give/).waitFor();
  await page.close();
}, 120_000);
