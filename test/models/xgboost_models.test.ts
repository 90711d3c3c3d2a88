import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { runWith, wheelsFolder } from '../support/guests/onnx_clients.ts';
import { differenceFromXgboost, xgboostCase } from '../support/guests/xgboost_cases.ts';

// Models of every booster and objective, trained by five versions of XGBoost, imported and held against what each of them predicts.

/** 1.7 is the last of version 1; 2.1 has NaN for splits by category in its JSON; 3.1 a base score for each output, 3.2 categories and leaves of several values. */
const VERSIONS = [undefined, 'xgboost-cpu==3.1.2', 'xgboost-cpu==3.0.5', 'xgboost-cpu==2.1.4', 'xgboost==1.7.6'];
const TOLERANCE = 1e-5;
const MODELS = Number(process.env.TEST_XGBOOST_MODELS ?? 60);
const SEED = Number(process.env.TEST_XGBOOST_SEED ?? 1);
let folder: string;

beforeAll(async () => {
  folder = process.env.TEST_XGBOOST_FOLDER ?? mkdtempSync(join(tmpdir(), 'xgboost-'));
  if (process.env.TEST_XGBOOST_FOLDER !== undefined) return;
  for (const wheel of VERSIONS) {
    const first = wheel === undefined ? undefined : await wheelsFolder(wheel);
    const args = [folder, String(SEED), String(MODELS)];
    await runWith('models', assetPath('test/support/guests/make_xgboost.py'), args, first);
  }
}, 1_200_000);
afterAll(() => {
  if (process.env.TEST_XGBOOST_FOLDER === undefined) rmSync(folder, { recursive: true, force: true });
});

test(`models of XGBoost predict as it does, to ${TOLERANCE} of each value, as JSON and as UBJSON (seed ${SEED})`, async () => {
  const failures: string[] = [];
  const largest = new Map<string, { models: number; difference: number }>();
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    const { version } = xgboostCase(path);
    for (const kind of ['json', 'ubj'] as const) {
      try {
        const difference = await differenceFromXgboost(path, kind);
        if (!(difference <= TOLERANCE)) failures.push(`${name} ${kind}: ${difference}`);
        const known = largest.get(version) ?? { models: 0, difference: 0 };
        largest.set(version, { models: known.models + 1, difference: Math.max(known.difference, difference) });
      } catch (error) {
        failures.push(`${name} ${kind}: ${(error as Error).message}`);
      }
    }
  }
  for (const [version, { models, difference }] of largest) {
    process.stdout.write(
      `XGBoost ${version.padEnd(8)} ${models} files, largest difference ${difference.toExponential(1)}\n`,
    );
  }
  expect(failures).toEqual([]);
  expect(largest.size).toBe(VERSIONS.length);
}, 1_200_000);
