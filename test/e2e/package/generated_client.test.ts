import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { temporaryFolder } from '../../support/servers/disk_folder.ts';

// `headwater generate client`: what it writes compiles, is small, and works wherever there is fetch.

const MOST_BYTES = 10_000;
const run = promisify(execFile);
let folder: string;
let bundle: string;

beforeAll(async () => {
  folder = temporaryFolder('generated-client');
  mkdirSync(folder, { recursive: true });
  const generated = await runCommand(folder, ['generate', 'client', '--out', 'web/client.ts']);
  expect(generated).toMatchObject({ code: 0, stdout: 'web/client.ts\n' });
  const { outputFiles } = await build({
    ...{ entryPoints: [join(folder, 'web/client.ts')], bundle: true, minify: true, write: false },
    ...{ format: 'iife', globalName: 'Client', target: 'es2022', platform: 'neutral' },
  });
  bundle = outputFiles[0]?.text ?? '';
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('it has less than 10 kB, compressed', () => {
  const bytes = gzipSync(bundle).length;
  process.stderr.write(`generated client: ${bytes} bytes, minified and compressed\n`);
  expect(bytes).toBeLessThan(MOST_BYTES);
  expect(readFileSync(join(folder, 'web/client.ts'), 'utf8')).not.toMatch(/^import /m);
});

test('names and types are checked by the compiler', async () => {
  writeFileSync(
    join(folder, 'web/use.ts'),
    `import { createClient } from './client.ts';
const client = createClient();
export async function use(): Promise<void> {
  const row = await client.view('fraud@1').get('a1');
  const count: number | null | undefined = row?.count_1h;
  const picked = await client.view('fraud@1').get('a1', { features: ['amount'] });
  const amount: number | null | undefined = picked?.amount;
  // @ts-expect-error: it was not read
  picked?.count_1h;
  // @ts-expect-error: no such feature
  row?.count_2h;
  // @ts-expect-error: no such feature
  await client.view('fraud@1').get('a1', { features: ['amuont'] });
  // @ts-expect-error: no such view
  client.view('fraud@9');
  // @ts-expect-error: no such service
  await client.service('none@1', 'a1');
  // @ts-expect-error: no such model
  await client.predict('none', { entity: 'a1' });
  // @ts-expect-error: no such input
  await client.predict('fraud_detector', { entity: 'a1', features: { amuont: 1 } });
  await client.predict('fraud_detector', { entity: 'a1', features: { amount: 1 } });
  // @ts-expect-error: a field is missing
  await client.ingest('transaction', { user_id: 'u1' });
  // @ts-expect-error: no type of event
  await client.ingest('none', {});
  // @ts-expect-error: neither a label nor a value
  await client.feedback({ predictionId: 'p' });
  console.log(count, amount);
}
`,
  );
  const options = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
  ];
  const web = ['--lib', 'es2023,dom', '--types', '', '--module', 'esnext', '--moduleResolution', 'bundler'];
  const compiled = run(process.execPath, [
    ...[assetPath('node_modules/typescript/bin/tsc'), ...options, ...web, '--allowImportingTsExtensions'],
    ...['--target', 'es2023', join(folder, 'web/use.ts')],
  ]);
  await expect(compiled.catch(({ stdout }: { stdout: string }) => ({ stdout }))).resolves.toMatchObject({ stdout: '' });
}, 120_000);

/** What each runtime does with the client; it is sent there as source. */
const SCENARIO = `async (urls, account) => {
  let requests = 0;
  const counted = (...args) => { requests += 1; return fetch(...args); };
  const client = Client.createClient({ gatewayUrl: urls.gateway, featuresUrl: urls.features, servingUrl: urls.serving, fetch: counted });
  const event = { user_id: 'u1', timestamp: new Date().toISOString(), account_id: account, amount: 12.5, currency: 'EUR', merchant_id: 'm1', merchant_category: 'grocery', country: 'DE' };
  const sent = await client.ingest('transaction', event);
  const view = client.view('fraud@1');
  let row;
  for (let tries = 0; tries < 300 && row === undefined; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    row = await view.get(account, { features: ['amount', 'count_1h'] });
  }
  requests = 0;
  const together = await Promise.all([view.get(account), view.get('unknown'), view.get(account), view.get('unknown 2')]);
  const batched = requests;
  const vector = await client.service('fraud@1', account);
  const predicted = await client.predict('fraud_detector', { entity: account, returnProbabilities: true });
  const explained = await client.explain('fraud_detector', { entity: account });
  const reported = await client.feedback({ predictionId: predicted.predictionId, label: 'fraud' });
  const refused = await client.predict('fraud_detector', { entity: 'nobody knows' }).catch((error) => error);
  const stop = new AbortController();
  const aborted = view.get(account, { signal: stop.signal }).catch((error) => error.name);
  stop.abort();
  return {
    status: sent.status, row, batched, known: together.map((each) => each?.amount ?? null), vector: vector?.amount,
    version: predicted.modelVersion, outputs: explained.outputs.length, reported,
    refused: [refused.name, refused.status], aborted: await aborted,
  };
}`;
const EXPECTED = {
  ...{ status: 'accepted', row: { amount: 12.5, count_1h: 1 }, batched: 1, known: [12.5, null, 12.5, null] },
  ...{ vector: 12.5, version: 1, outputs: 1, reported: 1, refused: ['RequestFailedError', 404], aborted: 'AbortError' },
};

describe('against the platform', () => {
  let platform: PlatformProcess;
  beforeAll(async () => {
    platform = await PlatformProcess.start(join(folder, 'data'), { CORS_ALLOWED_ORIGINS: 'http://shop.test' });
  }, 240_000);
  afterAll(() => platform.terminate(), 60_000);

  const inNode = (source: string): Promise<string> =>
    run(process.execPath, ['--input-type=module', '-e', source], { cwd: assetPath('.') }).then(({ stdout }) => stdout);

  test('in Node', async () => {
    const source = `${bundle}; globalThis.Client = Client; console.log(JSON.stringify(await (${SCENARIO})(${JSON.stringify(platform.urls)}, 'node')))`;
    expect(JSON.parse(await inNode(source))).toEqual(EXPECTED);
  }, 60_000);

  test('in a runtime without the interfaces of Node', async () => {
    const source = `
      import { EdgeVM } from '@edge-runtime/vm';
      const vm = new EdgeVM();
      if (vm.evaluate('typeof process + typeof Buffer + typeof require') !== 'undefined'.repeat(3)) throw new Error('it has Node');
      vm.evaluate(${JSON.stringify(`${bundle}; globalThis.Client = Client;`)});
      console.log(JSON.stringify(await vm.evaluate(${JSON.stringify(`(${SCENARIO})(${JSON.stringify(platform.urls)}, 'edge')`)})));`;
    expect(JSON.parse(await inNode(source))).toEqual(EXPECTED);
  }, 60_000);

  test('in Chromium, on a page of another origin', async () => {
    const browser = await chromium.launch({
      executablePath: process.env.TEST_CHROMIUM ?? '',
      args: ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks'],
    });
    try {
      const page = await browser.newPage();
      await page.route('http://shop.test/', (route) =>
        route.fulfill({ contentType: 'text/html', body: `<script>${bundle}; globalThis.Client = Client;</script>` }),
      );
      await page.goto('http://shop.test/');
      const found = await page.evaluate(`(${SCENARIO})(${JSON.stringify(platform.urls)}, 'chromium')`);
      expect(found).toEqual(EXPECTED);
    } finally {
      await browser.close();
    }
  }, 120_000);

  test('feedback that is given offline waits in IndexedDB, outlasts the page, and is sent once it is online', async () => {
    const browser = await chromium.launch({
      executablePath: process.env.TEST_CHROMIUM ?? '',
      args: ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks'],
    });
    try {
      const context = await browser.newContext();
      await context.route('http://shop.test/**', (route) =>
        route.fulfill({ contentType: 'text/html', body: `<script>${bundle}; globalThis.Client = Client;</script>` }),
      );
      const open = async (script: string) => {
        const page = await context.newPage();
        await page.goto('http://shop.test/');
        await page.evaluate(`
          globalThis.client = Client.createClient({ servingUrl: ${JSON.stringify(platform.urls.serving)}, retries: 0 });
          globalThis.queue = new Client.FeedbackQueue((reports) => client.feedback(reports), Client.indexedDbReports());`);
        return { page, result: await page.evaluate(script) };
      };
      const features = JSON.stringify(
        JSON.parse(readFileSync(assetPath('examples/fraud/models/fraud_detector/headwater.json'), 'utf8')).examples[0]
          .features,
      );
      const first = await open(`(async () => {
        const ids = [];
        for (let each = 0; each < 3; each += 1) ids.push((await client.predict('fraud_detector', { features: ${features} })).predictionId);
        return ids;
      })()`);
      const ids = first.result as readonly string[];
      await context.setOffline(true);
      const waiting = await first.page.evaluate(`(async () => {
        for (const predictionId of ${JSON.stringify(ids)}) await queue.add({ predictionId, label: 'fraud' });
        return (await queue.flush()).stoppedBy.code;
      })()`);
      expect(waiting).toBe('CLIENT_NO_ANSWER');
      await first.page.close();

      // Another page of the shop, later. Its first request reaches the platform, and the answer is lost.
      const received: number[] = [];
      await context.route(`${platform.urls.serving}/feedback`, async (route) => {
        const answer = await route.fetch();
        received.push(((await answer.json()) as { accepted: number }).accepted);
        if (received.length === 1) await route.abort('connectionreset');
        else await route.fulfill({ response: answer });
      });
      const second = await open(`globalThis.flushed = []; globalThis.stop = queue.start((each) => flushed.push(each))`);
      const sentBy = async (count: number) => {
        await second.page.waitForFunction(`flushed.length >= ${count}`);
        return second.page.evaluate(`flushed[${count - 1}].sent`);
      };
      expect(await sentBy(1)).toBe(0);
      await context.setOffline(false);
      expect(await sentBy(2)).toBe(3);
      expect(await second.page.evaluate('queue.flush().then(({ sent }) => sent)')).toBe(0);
      expect(received).toEqual([3, 3]);
      const why = (await (await fetch(`${platform.urls.serving}/why/predictions/${ids[0]}`)).json()) as object;
      expect(JSON.stringify(why)).toContain('fraud');
    } finally {
      await browser.close();
    }
  }, 120_000);
});
