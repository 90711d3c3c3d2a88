import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { assetPath } from '#kernel/project_root';
import { readTreeEnsemble } from '#registry/onnx/tree_ensemble';
import { readBooster } from '#registry/xgboost/booster';
import { packageOfBooster } from '#registry/xgboost/booster_package';
import { decodeUbjson } from '#registry/xgboost/ubjson';
import { differenceFromXgboost } from '../../support/guests/xgboost_cases.ts';

// Models as XGBoost 1.7 to 3.2 have saved them (test/support/guests/make_xgboost.py), with what they predict.

const FOLDER = assetPath('test/data/xgboost');
const modelFile = (name: string): string => {
  const folder = join(FOLDER, name);
  return join(folder, readdirSync(folder).find((file) => file.startsWith('model.')) as string);
};
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(modelFile(name)));

test.each(readdirSync(FOLDER))('%s predicts as XGBoost does, to 1e-5', async (name) => {
  const kind = modelFile(name).endsWith('.ubj') ? 'ubj' : 'json';
  expect(await differenceFromXgboost(join(FOLDER, name), kind)).toBeLessThanOrEqual(1e-5);
});

test('columns have the types, names and categories of the data frame that the model was trained on', () => {
  const { signature } = packageOfBooster(readBooster(bytesOf('data_frame_3.2')), { classes: ['stays', 'leaves'] });
  expect(signature.inputs).toEqual([
    { name: 'amount', type: 'double', required: false },
    {
      ...{ name: 'city', type: 'string', required: false },
      categories: { Essen: 0, Lyon: 1, NaN: 2, Porto: 3, 'x, "y"': 4 },
    },
    { name: 'items', type: 'long', required: false },
    { name: 'is_new', type: 'boolean', required: false },
    { name: 'month', type: 'long', required: false },
  ]);
  expect([signature.task, signature.classes]).toEqual(['binary_classification', ['stays', 'leaves']]);
});

test('trees without a node behind them are computed by the kernel, with the covers of training', () => {
  const ensemble = readTreeEnsemble(packageOfBooster(readBooster(bytesOf('dart_1.7'))).onnx);
  expect([ensemble?.isWhole, ensemble?.transform, ensemble?.covers === undefined]).toEqual([true, 'none', false]);
});

/** A model with something else in it, at a path such as learner.objective.name. */
function changed(path: string, value: unknown): Uint8Array {
  const document = JSON.parse(readFileSync(modelFile('dart_1.7'), 'utf8')) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() as string;
  const parent = keys.reduce((at, key) => at[key] as Record<string, unknown>, document);
  parent[last] = value;
  return Buffer.from(JSON.stringify(document));
}

const TREE = 'learner.gradient_booster.gbtree.model.trees.0';

test.each([
  ['learner.objective.name', 'rank:mine', /objective rank:mine is not supported: binary:logistic/],
  ['learner.objective.name', 'toString', /objective toString is not supported/],
  ['learner.gradient_booster.name', 'gbforest', /gradient_booster/],
  ['learner.learner_model_param.base_score', '[1,2]', /base_score is \[1,2\], and it has 1 outputs/],
  ['learner.feature_names', ['a', 'b'], /it has 2 feature_names/],
  [`${TREE}.left_children.0`, 0, /its tree 0 has branches that lead nowhere or meet again/],
  [`${TREE}.left_children.0`, 99_999, /its tree 0 has branches that lead nowhere/],
  [`${TREE}.split_indices.0`, 99, /its tree 0 splits column 99/],
  [`${TREE}.split_type.0`, 7, /splits of a type that is not known/],
  [`${TREE}.default_left`, [], /lists of \d+ and 0 nodes/],
])('%s %j is refused by name', (path, value, message) => {
  expect(() => packageOfBooster(readBooster(changed(path, value)))).toThrow(message);
});

test('what is no model of XGBoost is refused by name', () => {
  expect(() => readBooster(Buffer.from('binf'))).toThrow(/neither JSON nor UBJSON/);
  expect(() => readBooster(Buffer.from('{"a": 1}'))).toThrow(/no model of XGBoost/);
  expect(() => readBooster(Buffer.from('{"a": '))).toThrow(/no JSON/);
  expect(() => readBooster(bytesOf('dart_1.7'), 1_000)).toThrow(/it has \d+ rounds, and 1000 are requested/);
  expect(() => readBooster(bytesOf('linear_3.0'), 1)).toThrow(/linear model cannot be cut/);
  const booster = readBooster(bytesOf('classes_3.1'));
  expect(() => packageOfBooster(booster, { classes: ['a'] })).toThrow(/1 classes are named, and it has/);
  expect(() => packageOfBooster(booster, { columns: ['a'] })).toThrow(/columns, and 1 are named/);
});

test('a model of categories beyond ASCII is refused: XGBoost has cut them off', () => {
  const bytes = Buffer.from(bytesOf('data_frame_3.2'));
  const at = bytes.indexOf('Essen');
  bytes[at] = 0xc3;
  expect(() => readBooster(bytes)).toThrow(/its column city has categories with letters beyond ASCII/);
});

test('UBJSON that was cut or changed is refused or read, and nothing else happens', () => {
  const whole = bytesOf('linear_3.0');
  expect(decodeUbjson(whole)).toEqual(expect.objectContaining({ version: expect.anything() }));
  for (let length = 0; length < whole.length; length += 1) {
    expect(() => decodeUbjson(whole.subarray(0, length))).toThrow(RangeError);
  }
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const other = Uint8Array.from(whole);
      other[at] = byte;
      try {
        decodeUbjson(other);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
  );
  // A length that there are no bytes for takes no memory.
  expect(() => decodeUbjson(Buffer.from('[$d#l\x7f\xff\xff\xff', 'latin1'))).toThrow(/more than there are bytes/);
  expect(() => decodeUbjson(Buffer.from(`${'['.repeat(100)}`))).toThrow(/more than 64 levels/);
});
