import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { Random } from '#kernel/random';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { evaluationReport } from '#registry/evaluation/report';
import { Lifecycle } from '#registry/lifecycle/lifecycle';
import { MlflowClient } from '#registry/mlflow/client';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { MlflowRegistry } from '#registry/mlflow/mlflow_registry';
import { readModelFolder } from '#registry/model_folder';
import { trainInPython } from '#registry/trainers/python_trainer';
import { trainingConfigSchema } from '#registry/trainers/training_config';
import type { TrainingTable } from '#registry/training_table';
import { servingConfigSchema } from '#serving/config';
import { ModelServer } from '#serving/inference/model_server';
import { examineModel } from '#serving/models/loaded_model';
import { writeTrainingSet } from '../../support/training_folder.ts';
import { serviceAddress } from '../service_address.ts';
import { giveAlias, moveToStage, openBrowser } from './mlflow_page.ts';

// The life of a model: trained, registered, promoted by command and by clicking in MLflow, served, read by Python, spoilt, rolled back.

const NAME = `life-${Date.now()}`;
const FOLLOWS_WITHIN_MS = 10_000;
const config = mlflowConfigSchema.parse({
  ...{ kind: 'mlflow', experimentName: 'life' },
  trackingUri: process.env.TEST_MLFLOW_URL ?? 'http://127.0.0.1:1',
});
const registry = new MlflowRegistry(config);
const lifecycle = new Lifecycle({ registry, examine: examineModel, checkSignature: () => [] });
const models = new ModelServer(
  { registry, log: silentLogger, metrics: createMetricsRegistry({ process: false }) },
  servingConfigSchema.parse({ models: [{ name: NAME }] }),
);
let browser: Browser;
let folder: string;
let table: TrainingTable;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'life-'));
  browser = await openBrowser();
}, 60_000);
afterAll(async () => {
  await models.stop();
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Waits until serving answers with a version. */
async function served(version: number): Promise<void> {
  const giveUpAt = Date.now() + FOLLOWS_WITHIN_MS;
  while (models.status()[0]?.version !== version && Date.now() < giveUpAt) await sleep(20);
  expect(models.status()[0]).toMatchObject({ ready: true, version });
}

const inProduction = async () => [
  (await registry.resolve(NAME, { stage: 'Production' }))?.version,
  (await registry.resolve(NAME, { alias: 'champion' }))?.version,
];

// Whoever comes first makes the trainers' environment.
test('trained, with a search, and registered with its report', async () => {
  const random = new Random(1);
  const rows = Array.from({ length: 1_000 }, () => {
    const [amount, risk] = [random.next(), random.next()];
    return { label: random.next() < amount * risk ? 1 : 0, values: [amount, risk] };
  });
  const set = writeTrainingSet(
    join(folder, 'set'),
    [
      ['amount', 'double'],
      ['risk', 'double'],
    ],
    rows,
  );
  table = set.table;
  for (const [seed, trials] of [
    [1, 0],
    [2, 2],
  ] as const) {
    const out = join(folder, `out-${seed}`);
    const training = trainingConfigSchema.parse({
      ...{ trainer: 'xgboost', service: 'test@1', classes: ['good', 'bad'], seed, params: { n_estimators: 30 } },
    });
    await trainInPython({ config: training, trainingSet: set.directory, out, trials, onLine: () => {} });
    const model = await readModelFolder(out);
    const evaluation = await evaluateModel(model.package, table);
    const report = await evaluationReport(evaluation, { model: NAME, task: 'x', params: model.params, judgedOn: 'x' });
    const registered = await registry.register({
      ...{ name: NAME, ...model, metrics: evaluation.metrics },
      attachments: new Map([['report.html', Buffer.from(report)]]),
    });
    expect(registered).toMatchObject({ version: seed, metrics: { auc: expect.any(Number) } });
  }
}, 600_000);

test('promoted by command, it is served; promoted by an alias or by a stage in the user interface, serving follows, and both agree', async () => {
  await lifecycle.promote(NAME, 1, { stage: 'Production', by: 'test', reason: 'first' });
  await models.start();
  await served(1);
  await giveAlias(browser, NAME, 2, 'champion');
  await served(2);
  expect(await inProduction()).toEqual([2, 2]);
  await moveToStage(browser, NAME, 1, 'Archived', 'Production');
  await served(1);
  expect(await inProduction()).toEqual([1, 1]);
}, 180_000);

const READS = `
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
version = client.get_model_version_by_alias(sys.argv[2], "champion")
graph = mlflow.onnx.load_model(f"models:/{sys.argv[2]}@champion").graph.name
second = client.get_model_version(sys.argv[2], "2")
run = client.get_run(second.run_id)
trials = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{second.run_id}'")
report = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report.html")
print(json.dumps({
    "version": version.version,
    "graph": graph,
    "trials": sorted(trial.data.params["max_depth"] for trial in trials),
    "metrics": sorted(run.data.metrics),
    "report": report[:15],
}))
`;

test('Python finds the model, its trials as nested runs, and its report', () => {
  const args = ['-W', 'ignore', '-c', READS, serviceAddress('TEST_MLFLOW_URL'), NAME];
  const output = execFileSync(serviceAddress('TEST_MLFLOW_PYTHON'), args, {
    ...{ encoding: 'utf8', timeout: 120_000 },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const found = JSON.parse(output.trim().split('\n').at(-1) as string) as Record<string, unknown>;
  expect(found).toMatchObject({ version: '1', graph: 'xgboost', report: '<!doctype html>' });
  expect(found.trials).toHaveLength(2);
  expect(found.metrics).toEqual(expect.arrayContaining(['auc', 'pr_auc', 'f1']));
}, 150_000);

test('a version whose bytes were changed is refused: serving keeps the one it has, and says why', async () => {
  const second = (await registry.resolve(NAME, { version: 2 }))?.runId;
  const client = new MlflowClient(config);
  const { run } = await client.get<{ run: { info: { experiment_id: string } } }>('runs/get', {
    run_id: String(second),
  });
  const path = `${run.info.experiment_id}/${second}/artifacts/model/model.onnx`;
  const bytes = Buffer.from(await client.getArtifact(path));
  const spoilt = Buffer.from(bytes);
  spoilt[spoilt.length >> 1] = (spoilt[spoilt.length >> 1] as number) ^ 1;
  for (const content of [spoilt, bytes.subarray(0, bytes.length / 2)]) {
    await client.putArtifact(path, content);
    await expect(lifecycle.promote(NAME, 2, { stage: 'Production', by: 'test', reason: 'x' })).rejects.toMatchObject({
      code: 'REGISTRY_ARTIFACT_INTEGRITY',
      message: expect.stringContaining('it was changed or cut short'),
    });
  }
  // Past the gates, as in the user interface.
  await registry.transition(NAME, 2, 'Production');
  const giveUpAt = Date.now() + FOLLOWS_WITHIN_MS;
  while (models.status()[0]?.rejected === undefined && Date.now() < giveUpAt) await sleep(20);
  expect(models.status()[0]).toMatchObject({ ready: true, version: 1, rejected: { version: 2 } });
  await client.putArtifact(path, bytes);
  expect(await lifecycle.rollback(NAME, { by: 'test', reason: 'it was spoilt' })).toMatchObject({ version: 1 });
  await served(1);
  expect(await inProduction()).toEqual([1, 1]);
}, 120_000);

test('of two promotions at once one wins, and the other is told', async () => {
  const promote = (version: number) =>
    lifecycle.promote(NAME, version, { stage: 'Staging', by: 'test', reason: 'at once' }).then(
      () => 'promoted',
      ({ code }: { code: string }) => code,
    );
  const outcomes = await Promise.all([promote(1), promote(2)]);
  expect(outcomes.sort()).toEqual(['REGISTRY_PROMOTION_CONFLICT', 'promoted']);
}, 60_000);
