import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { writeModelFolder } from '#registry/model_folder';
import { LoadedModel } from '#serving/models/loaded_model';
import { runCommand } from '../../support/platforms/command_line.ts';
import { costlyModel } from '../../support/platforms/costly_model.ts';

// The life of a model on the command line, in the embedded registry.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'models-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const models = (...args: readonly string[]) => runCommand(folder, ['models', ...args]);

test('register, compare, promote, roll back, export, archive', async () => {
  expect((await models('register', 'fraud_detector', SHIPPED)).stdout).toMatch(/^fraud_detector 1 None .*auc=0\.98/);
  // The same model, said to be a little better.
  expect((await models('export', 'fraud_detector', '1', '--out', 'copy')).stdout).toMatch(/is in copy/);
  const card = JSON.parse(readFileSync(join(folder, 'copy', 'card.json'), 'utf8')) as {
    metrics: Record<string, number>;
  };
  writeFileSync(
    join(folder, 'copy', 'card.json'),
    JSON.stringify({ ...card, metrics: { ...card.metrics, auc: 0.99 } }),
  );
  expect((await models('register', 'fraud_detector', 'copy', '--description', 'the same')).stdout).toMatch(
    /^fraud_detector 2 None/,
  );
  expect((await models('diff', 'fraud_detector', '1', '2')).stdout).toMatch(/metric auc: 0\.98\d+ → 0\.99/);

  expect((await models('validate', 'fraud_detector', '2')).stdout).toMatch(
    /passed golden rows {3}16 come out as trained/,
  );
  for (const version of ['1', '2']) {
    expect((await models('promote', 'fraud_detector', version, '--reason', 'better')).stdout).toMatch(
      /is in Production/,
    );
  }
  expect((await models('list')).stdout).toMatch(/fraud_detector 1 Archived .*\nfraud_detector 2 Production @champion/);
  expect((await models('rollback', 'fraud_detector', '--reason', 'alarms')).stdout).toBe(
    'fraud_detector 1 is in Production again\n',
  );
  expect(JSON.parse((await models('show', 'fraud_detector')).stdout)).toMatchObject({
    version: 1,
    signature: { featureService: { service: 'fraud@1' } },
    examples: 16,
  });
  expect((await models('archive', 'fraud_detector', '2')).stdout).toMatch(/fraud_detector 2 is in Archived/);
}, 120_000);

test('what is worse than the gates allow is not promoted, nor what is not there; --force says so in the trail', async () => {
  const card = { metrics: { auc: 0.5 }, params: {} };
  for (const file of ['model.onnx', 'headwater.json'])
    writeFileSync(join(folder, 'copy', file), readFileSync(join(SHIPPED, file)));
  writeFileSync(join(folder, 'copy', 'card.json'), JSON.stringify(card));
  await models('register', 'fraud_detector', 'copy');
  const refused = await models('promote', 'fraud_detector', '3');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/metric: auc 0\.5 is worse than 0\.8/) });
  expect((await models('promote', 'fraud_detector', '9')).stderr).toMatch(/no model fraud_detector version 9/);
  expect((await models('promote', 'fraud_detector', 'x')).stderr).toMatch(/Give an integer of 1 or more/);
  expect((await models('promote', 'fraud_detector', '3', '--force')).code).toBe(0);
  const index = readFileSync(join(folder, 'data', 'models', 'fraud_detector', 'index.json'), 'utf8');
  expect(JSON.parse(index)).toMatchObject({
    value: { audit: expect.arrayContaining([expect.objectContaining({ by: 'ann', replaced: 1 })]) },
  });
  writeFileSync(join(folder, 'copy', 'model.onnx'), readFileSync(join(SHIPPED, 'model.onnx')).subarray(0, 1_000));
  expect((await models('register', 'fraud_detector', 'copy')).stderr).toMatch(/was changed or cut short/);
}, 120_000);

test('a model that XGBoost has saved is imported, passes the gates and predicts', async () => {
  const file = assetPath('test/data/xgboost/data_frame_3.2/model.ubj');
  const imported = await models('import', 'leavers', '--file', file, '--classes', 'stays', 'leaves');
  expect(imported).toEqual({ code: 0, stdout: expect.stringMatching(/^leavers 1 None/), stderr: '' });
  expect((await models('validate', 'leavers', '1')).stdout).toMatch(/passed golden rows {3}16 come out as trained/);
  const both = await models('import', 'leavers', '3', '--file', file);
  expect([both.code, both.stderr]).toEqual([
    2,
    expect.stringMatching(/a version and --from an MLflow server, or --file/),
  ]);
  const missing = await models('import', 'leavers', '--file', 'missing.json');
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringMatching(/missing.json cannot be read/)]);
});

test('commands end with their own code where a model is computed on a thread of its own, whether it passes or not', async () => {
  const model = costlyModel();
  const loaded = await LoadedModel.load(model);
  expect(loaded.hasThread).toBe(true);
  const features = { amount: 10, count: 3, weekend: true, category: 'b' };
  const row = loaded.encoder.allocate(1);
  loaded.encoder.encode(features, row, 0);
  const output = [...(await loaded.run(row, 1))];
  await loaded.release();
  const card = { card: { metrics: { auc: 0.9 }, params: {} } };
  const folders = { right: output, wrong: output.map((value) => 1.1 - value) };
  for (const [name, seen] of Object.entries(folders)) {
    await writeModelFolder(join(folder, name), { ...model, examples: [{ features, output: seen }] }, card);
  }
  for (const command of [
    ['register', 'costly', 'right'],
    ['validate', 'costly', '1'],
    ['promote', 'costly', '1', '--reason', 'first'],
  ]) {
    expect([command, await models(...command)]).toEqual([command, { code: 0, stdout: expect.any(String), stderr: '' }]);
  }
  const refused = await models('register', 'costly', 'wrong');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/gives .* where the trainer saw/)]);
  expect(refused.stderr).not.toMatch(/terminate|Napi/);
}, 300_000);
