import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { assetPath } from '#kernel/project_root';
import { serviceAddress } from '../integration/service_address.ts';
import { PACKAGE_FOLDER, pythonTool } from '../support/guests/python_package.ts';
import { commandEnvironment, runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

// The notebook of the Python package: features of a platform, a model of scikit-learn, MLflow, predictions. NOTEBOOKS_DIRECTORY keeps the page.

const folder = mkdtempSync(join(tmpdir(), 'python-notebook-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the notebook trains a model of scikit-learn that the platform serves', async () => {
  const installed = join(folder, 'installed');
  const install = ['pip', 'install', '-q', '--no-deps', '--no-build-isolation', '--target', installed];
  await pythonTool([...install, PACKAGE_FOLDER]);
  const env = { ENVIRONMENT: 'embedded,mlflow', MLFLOW_TRACKING_URI: serviceAddress('TEST_MLFLOW_URL') };
  const payments = generateTransactions({ seed: 11, events: 6_000, accounts: 300, days: 4, endMs: Date.now() }).filter(
    ({ arrival, timestampMs }) => arrival !== 'invalid' && timestampMs <= Date.now(),
  );
  const [events, labels] = [join(folder, 'payments.jsonl'), join(folder, 'labels.jsonl')];
  writeFileSync(events, payments.map(({ body }) => `${body}\n`).join(''));
  writeFileSync(
    labels,
    payments
      .map(({ accountId, timestampMs, isFraud }) => {
        const time = new Date(timestampMs).toISOString();
        return `${JSON.stringify({ account_id: accountId, event_time: time, label: isFraud ? 1 : 0 })}\n`;
      })
      .join(''),
  );
  const filled = await runCommand(folder, ['features', 'backfill', '--view', 'fraud@1', '--in', events], env);
  expect([filled.code, filled.code === 0 ? '' : filled.stderr]).toEqual([0, '']);
  const platform = await PlatformProcess.start(commandEnvironment(folder).DATA_DIRECTORY, env);
  try {
    const directory = process.env.NOTEBOOKS_DIRECTORY ?? folder;
    mkdirSync(directory, { recursive: true });
    const page = join(directory, 'fraud_in_scikit_learn.html');
    const notebook = assetPath('python/notebooks/fraud_in_scikit_learn.ipynb');
    const { code, stderr } = await runCommand(folder, ['notebooks', 'run', notebook, '--out', page], {
      ...{ ...env, LABELS: labels, PYTHONPATH: installed },
      ...{ HEADWATER_FEATURES_URL: platform.urls.features, HEADWATER_SERVING_URL: platform.urls.serving },
    });
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    const html = readFileSync(page, 'utf8');
    expect(html).toMatch(/100 predictions of version \d+; largest difference to scikit-learn/);
    expect(html).toMatch(/data:image\/png/);
  } finally {
    await platform.terminate();
  }
}, 900_000);
