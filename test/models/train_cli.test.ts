import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runCommand } from '../support/platforms/command_line.ts';

// Real prices from a package to a version in MLflow, on the command line; MLflow is away while the model is trained.

let folder: string;
/** Of the project that is trained in. */
let commit: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'train-cli-'));
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: folder, encoding: 'utf8' }).trim();
  git('init', '--quiet');
  const author = ['-c', 'user.name=test', '-c', 'user.email=test@example.com'];
  git(...author, 'commit', '--quiet', '--allow-empty', '--message', 'Empty');
  commit = git('rev-parse', 'HEAD');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const AWAY = 'http://127.0.0.1:1';
const mlflow = process.env.TEST_MLFLOW_URL ?? AWAY;

const headwater = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runCommand(folder, args, { ENVIRONMENT: 'embedded,mlflow', MLFLOW_TRACKING_URI: mlflow, ...env });

let version: string;

test('prices are fetched, back-filled, learned from, and judged against the naive forecast; the version waits while MLflow is away', async () => {
  const fetched = await headwater(['datasets', 'fetch', 'daily_prices', '--out', 'prices']);
  expect(fetched.stdout).toMatch(/"events":12154,"labels":12149,"licence":"public domain/);
  const filled = await headwater(['features', 'backfill', '--view', 'price_history@1', '--in', 'prices/events.jsonl']);
  expect(JSON.parse(filled.stdout.trim().split('\n').at(-1) as string)).toMatchObject({
    ...{ events: 12_154, rows_of_events: 12_154, dead_lettered: 0 },
  });
  const train = [
    'models',
    'train',
    'price_forecaster',
    '--labels-file',
    'prices/labels.csv',
    '--out',
    'model',
    '--register',
  ];
  const trained = await headwater(train, { MLFLOW_TRACKING_URI: AWAY });
  expect(trained).toMatchObject({ code: 1, stderr: expect.stringMatching(/waits to be registered/) });
  expect(trained.stdout).toMatch(/the ONNX file and its trainer differ by \d\.\d+e-\d\d at most, over 12\d{3} rows/);
  const { metrics } = JSON.parse(readFileSync(join(folder, 'model', 'card.json'), 'utf8')) as {
    metrics: Record<string, number>;
  };
  // Daily closes are close to a random walk: nobody does much better than the naive forecast, and nothing should do much worse.
  expect(metrics.rmse_to_naive).toBeGreaterThan(0.9);
  expect(metrics.rmse_to_naive).toBeLessThan(1.1);
  expect(metrics.training_loss_last).toBeLessThan(metrics.training_loss_first as number);
  expect(readFileSync(join(folder, 'model', 'report.html'), 'utf8')).toMatch(/naive_rmse.*GOOG/s);
}, 400_000);

test('it is registered when MLflow answers again, passes the gates, and is promoted', async () => {
  const registered = await headwater(['models', 'register', '--pending']);
  version = /^price_forecaster (\d+) None/.exec(registered.stdout)?.[1] as string;
  expect(version).toMatch(/^\d+$/);
  expect((await headwater(['models', 'register', '--pending'])).stdout).toBe('nothing waits to be registered\n');
  const gates = await headwater(['models', 'validate', 'price_forecaster', version]);
  expect(gates.stdout).toMatch(/passed signature {5}30 columns/);
  expect(gates.stdout).toMatch(/passed opset {9}opset 15, 23 at most/);
  expect(gates.stdout).toMatch(/passed data quality {2}green/);
  expect(gates).toMatchObject({ code: 0 });
  const promoted = await headwater(['models', 'promote', 'price_forecaster', version, '--reason', 'first']);
  expect(promoted.stdout).toBe(`price_forecaster ${version} is in Production\n`);
}, 120_000);

test('judged again it has the same metrics; it goes into another registry whole', async () => {
  const set = ['--training-set', 'model/training-set', '--json', '--report', 'again.html'];
  const judged = await headwater(['models', 'evaluate', 'price_forecaster', version, ...set]);
  const evaluation = JSON.parse(judged.stdout) as { metrics: Record<string, number>; slices: readonly object[] };
  const card = JSON.parse(readFileSync(join(folder, 'model', 'card.json'), 'utf8')) as {
    metrics: Record<string, number>;
  };
  for (const [name, value] of Object.entries(evaluation.metrics)) expect(card.metrics[name]).toBeCloseTo(value, 9);
  expect(evaluation.slices).toHaveLength(5);
  expect(readFileSync(join(folder, 'again.html'), 'utf8')).toContain('<svg');
  const local = { ENVIRONMENT: 'embedded' };
  const imported = await headwater(['models', 'import', 'price_forecaster', version, '--from', mlflow], local);
  expect(imported.stdout).toMatch(/^price_forecaster 1 None/);
  const shown = await headwater(['models', 'show', 'price_forecaster', '1'], local);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    signature: { task: 'regression', featureService: { service: 'price_forecast@1' } },
    tags: {
      copied_from: `mlflow price_forecaster ${version}`,
      'headwater.data_quality': 'green',
      'headwater.code': commit,
      'headwater.training_set': expect.stringMatching(/^[0-9a-f]{64}$/),
    },
  });
  const optimize = [
    'models',
    'optimize',
    'price_forecaster',
    '1',
    '--training-set',
    'model/training-set',
    '--register',
  ];
  const optimized = await headwater(optimize, local);
  expect(optimized.stdout).toMatch(
    /operators compute with eight bits: DynamicQuantizeLSTM.*\n\d+ bytes, then \d+; .*\noutputs differ by 0\.\d\d % of/,
  );
  expect(optimized.stdout).toMatch(/^price_forecaster 2 None rmse=/m);
  expect(await headwater([...optimize, '--max-drift', '0.000001'], local)).toMatchObject({
    ...{ code: 1, stderr: expect.stringMatching(/not registered; --max-drift allows more/) },
  });
  const back = await headwater(['models', 'export', 'price_forecaster', '1', '--to', mlflow], local);
  expect(back.stdout).toMatch(/^price_forecaster \d+ None .* is at http/);
}, 180_000);

test('what cannot be trained is said, with what can', async () => {
  expect((await headwater(['models', 'train', 'nobody'])).stderr).toMatch(
    /nobody cannot be trained: models with a training are .*customer_segments, fraud_detector/,
  );
  expect((await headwater(['datasets', 'fetch', 'weather', '--out', 'x'])).stderr).toMatch(
    /there is no data set weather; there is daily_prices, glucose, purchases/,
  );
  expect((await headwater(['models', 'train', 'price_forecaster'])).stderr).toMatch(/say where the labels are/);
}, 60_000);
