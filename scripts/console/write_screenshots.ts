import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Browser, chromium, type Page } from 'playwright-core';
import { PlatformProcess } from '#cli/project/platform_process';
import { environment } from '#configs/environment';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { assetPath } from '#kernel/project_root';
import { consolePages } from './console_pages.ts';

// npm run console:screenshots: every page of the console as WebP in docs/console, in light and dark and on a telephone, of a platform with the fraud example. TEST_CHROMIUM is the browser.

const LOOKS = {
  light: { viewport: { width: 1_280, height: 860 }, colorScheme: 'light' },
  dark: { viewport: { width: 1_280, height: 860 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light' },
} as const;
const KEY = 'a-key-for-the-screenshots';
const headers = { 'x-api-key': KEY };
/** Of the width: small files that can still be read. */
const SCALE = 0.8;
const QUALITY = 0.72;
const MODEL = assetPath('examples/fraud/models/fraud_detector');
/** Four samples of the figures. */
const TRAFFIC_ROUNDS = 32;
const ROUND_MS = 2_000;

async function post(url: string, body: string, type = 'application/json'): Promise<void> {
  const answer = await fetch(url, { method: 'POST', headers: { ...headers, 'content-type': type }, body });
  await answer.arrayBuffer();
}

/** Sends events and requests predictions for about a minute. @returns an account that has both */
async function sendTraffic({ gateway, serving }: PlatformProcess['urls']): Promise<string> {
  const events = [...generateTransactions({ seed: 3, events: 4_000, accounts: 40, days: 3, endMs: Date.now() })];
  const bodies = events.map(({ body }) => body);
  const accounts = [...new Set(bodies.flatMap((body) => /"account_id":"([^"]+)"/.exec(body)?.[1] ?? []))];
  const share = Math.ceil(bodies.length / TRAFFIC_ROUNDS);
  for (let round = 0; round < TRAFFIC_ROUNDS; round += 1) {
    const lines = bodies.slice(round * share, (round + 1) * share).join('\n');
    await post(`${gateway}/ingest/batch`, lines, 'application/x-ndjson');
    for (const account of accounts.slice(0, 12)) {
      const features = { amount: 20 + round * 9 };
      await post(`${serving}/predict`, JSON.stringify({ model_name: 'fraud_detector', entity_id: account, features }));
    }
    await sleep(ROUND_MS);
  }
  return accounts[0] ?? '';
}

async function pagesOf(
  { serving }: PlatformProcess['urls'],
  account: string,
): Promise<Readonly<Record<string, string>>> {
  const get = async <T>(path: string): Promise<T> =>
    (await (await fetch(`${serving}${path}`, { headers })).json()) as T;
  const { newest } = await get<{ newest: readonly { where: string }[] }>('/console/api/dead-letters?limit=1');
  const { predictions } = await get<{ predictions: readonly { id: string }[] }>('/console/api/predictions?limit=1');
  return consolePages({ account, prediction: predictions[0]?.id ?? '', letter: newest[0]?.where ?? '' });
}

/** Returns a picture as WebP, which the browser itself writes. */
async function webp(page: Page, picture: Buffer): Promise<Buffer> {
  const url = await page.evaluate(
    `(async () => {
      const image = new Image();
      image.src = 'data:image/png;base64,${picture.toString('base64')}';
      await image.decode();
      const canvas = document.createElement('canvas');
      canvas.width = image.width * ${SCALE};
      canvas.height = image.height * ${SCALE};
      const context = canvas.getContext('2d');
      context.imageSmoothingQuality = 'high';
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      return canvas.toDataURL('image/webp', ${QUALITY});
    })()`,
  );
  return Buffer.from(String(url).split(',')[1] ?? '', 'base64');
}

async function shoot(browser: Browser, serving: string, pages: Readonly<Record<string, string>>): Promise<number> {
  let bytes = 0;
  const converter = await browser.newPage();
  for (const [look, options] of Object.entries(LOOKS)) {
    const folder = assetPath(`docs/console/${look}`);
    mkdirSync(folder, { recursive: true });
    const page = await browser.newPage({ ...options, locale: 'en-GB', timezoneId: 'UTC' });
    await page.addInitScript(`sessionStorage.setItem('headwater-api-key', '${KEY}')`);
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(`${serving}/console#/${path}`);
      // Charts are drawn once their code is loaded.
      do {
        await sleep(500);
      } while ((await page.getByText('asking…').count()) > 0);
      const picture = await webp(converter, await page.screenshot());
      writeFileSync(join(folder, `${name}.webp`), picture);
      bytes += picture.length;
    }
    await page.close();
  }
  return bytes;
}

const folder = mkdtempSync(join(tmpdir(), 'console-screenshots-'));
const data = join(folder, 'data');
process.env.HEADWATER_PROJECT ??= assetPath('examples/fraud');
for (let version = 1; version <= 2; version += 1)
  await PlatformProcess.command(data, ['models', 'register', 'fraud_detector', MODEL]);
await PlatformProcess.command(data, ['models', 'promote', 'fraud_detector', '1', '--force']);
const platform = await PlatformProcess.start(data, { API_KEYS: KEY });
const browser = await chromium.launch({ executablePath: environment().TEST_CHROMIUM ?? '', args: ['--no-sandbox'] });
try {
  const account = await sendTraffic(platform.urls);
  const bytes = await shoot(browser, platform.urls.serving, await pagesOf(platform.urls, account));
  console.info(`docs/console: ${(bytes / 1e6).toFixed(2)} MB`);
} finally {
  await browser.close();
  await platform.kill();
  rmSync(folder, { recursive: true, force: true });
}
