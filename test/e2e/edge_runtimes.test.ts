import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '../support/platforms/command_line.ts';

// One model as a bundle for Node, for a page and for a worker runtime: the same rows, the same answers.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const run = promisify(execFile);
const MIME: Readonly<Record<string, string>> = {
  ...{ '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json', '.html': 'text/html' },
};

interface Answer {
  readonly prediction: string;
  readonly outputs: Readonly<Record<string, number>>;
}
interface Found {
  readonly answers: readonly Answer[];
  readonly refusal: string;
  readonly hasNode: boolean;
}

let folder: string;
let rows: readonly object[];
/** What serving's own code for Node gives. */
let expected: readonly Answer[];
let server: Server;
let origin: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'edge-runtimes-'));
  await runCommand(folder, ['models', 'register', 'fraud_detector', SHIPPED]);
  await runCommand(folder, ['models', 'promote', 'fraud_detector', '1', '--force']);
  for (const target of ['node', 'web']) {
    const made = await runCommand(folder, ['models', 'bundle', 'fraud_detector', '--for', target, '--out', target]);
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^fraud_detector 1 is in /) });
  }
  const { examples } = JSON.parse(readFileSync(join(SHIPPED, 'headwater.json'), 'utf8')) as {
    examples: { features: Record<string, unknown> }[];
  };
  rows = examples.flatMap(({ features }) => [
    features,
    { ...features, amount: Number(features.amount) * 7.3, merchant_category: 'a category of its own' },
    Object.fromEntries(Object.entries(features).filter(([name]) => name === 'amount')),
  ]);
  const lines = rows.map((row) => JSON.stringify(row));
  const { stdout } = await run(process.execPath, [join(folder, 'node/predict.mjs'), ...lines]);
  expected = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
  server = createServer((request, response) => {
    const path = join(folder, 'web', new URL(request.url ?? '/', 'http://x').pathname);
    const isPage = request.url === '/page.html';
    if (!isPage && !existsSync(path)) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': MIME[extname(request.url ?? '')] ?? 'application/octet-stream' });
    response.end(isPage ? '<!doctype html><title>edge</title>' : readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, 180_000);
afterAll(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Predicts, shows what is refused, and whether there is anything of Node. */
const SCENARIO = `async (model, rows) => ({
  answers: await model.predict(rows),
  refusal: await model.predict([{ amount: 'x' }]).then(() => '', (error) => error.message),
  hasNode: typeof process !== 'undefined' || typeof Buffer !== 'undefined',
})`;

function expectSame({ answers, refusal, hasNode }: Found): void {
  expect(hasNode).toBe(false);
  expect(refusal).toMatch(/amount must be a number/);
  expect(answers.map(({ prediction }) => prediction)).toEqual(expected.map(({ prediction }) => prediction));
  for (const [at, { outputs }] of answers.entries()) {
    for (const [name, value] of Object.entries(outputs)) {
      expect(Math.abs(value - ((expected[at] as Answer).outputs[name] as number))).toBeLessThan(1e-6);
    }
  }
}

test('a page in Chromium gives the answers of Node', async () => {
  const browser = await chromium.launch({ executablePath: process.env.TEST_CHROMIUM ?? '', args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    await page.goto(`${origin}/page.html`);
    const found = await page.evaluate(
      `import('${origin}/predict.mjs').then(({ openModel }) => openModel()).then((model) => (${SCENARIO})(model, ${JSON.stringify(rows)}))`,
    );
    expectSame(found as Found);
  } finally {
    await browser.close();
  }
}, 120_000);

test('a worker runtime without interfaces of Node gives the answers of Node', async () => {
  writeFileSync(
    join(folder, 'worker.mjs'),
    `import { PortableModel } from './web/predict.mjs';
     import * as ort from './web/onnxruntime/ort.wasm.bundle.min.mjs';
     export const open = (onnx, document, wasm) => {
       ort.env.wasm.numThreads = 1;
       ort.env.wasm.wasmBinary = wasm;
       return PortableModel.open({ onnx, document }, ort);
     };`,
  );
  // As a bundler of workers makes one script of it.
  const { outputFiles } = await build({
    ...{ entryPoints: [join(folder, 'worker.mjs')], bundle: true, write: false, format: 'iife', globalName: 'Edge' },
    ...{ platform: 'browser', target: 'es2022', define: { 'import.meta.url': '"https://worker.test/worker.js"' } },
  });
  const script = join(folder, 'worker.js');
  writeFileSync(script, `${outputFiles[0]?.text ?? ''}; globalThis.Edge = Edge;`);
  const source = `
    import { readFileSync } from 'node:fs';
    import { EdgeVM } from '@edge-runtime/vm';
    const vm = new EdgeVM();
    vm.evaluate(readFileSync(${JSON.stringify(script)}, 'utf8'));
    const bytes = (path) => vm.evaluate('(values) => new Uint8Array(values)')([...readFileSync(path)]);
    const model = await vm.evaluate('Edge').open(
      bytes(${JSON.stringify(join(folder, 'web/model/model.onnx'))}),
      readFileSync(${JSON.stringify(join(folder, 'web/model/headwater.json'))}, 'utf8'),
      bytes(${JSON.stringify(join(folder, 'web/onnxruntime/ort-wasm-simd-threaded.wasm'))}),
    );
    const rows = vm.evaluate(${JSON.stringify(`(${JSON.stringify(rows)})`)});
    console.log(JSON.stringify(await vm.evaluate(${JSON.stringify(`(${SCENARIO})`)})(model, rows)));
    process.exit(0);`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', source], { cwd: assetPath('.') });
  expectSame(JSON.parse(stdout) as Found);
}, 120_000);

test('a model that was changed is refused by its hash', async () => {
  const source = `
    import { readFileSync } from 'node:fs';
    import { PortableModel } from ${JSON.stringify(join(folder, 'web/predict.mjs'))};
    const onnx = new Uint8Array(readFileSync(${JSON.stringify(join(folder, 'web/model/model.onnx'))}));
    onnx[onnx.length - 1] ^= 1;
    const document = readFileSync(${JSON.stringify(join(folder, 'web/model/headwater.json'))}, 'utf8');
    await PortableModel.open({ onnx, document }, {}).catch(({ message }) => console.log(message));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', source]);
  expect(stdout).toMatch(/model\.onnx has SHA-256 [0-9a-f]{64}; headwater\.json was written for/);
});
