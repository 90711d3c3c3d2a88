import { expect, test } from '@jest/globals';
import { defineModel } from '#cli/project/config/define_model';
import { loadPlatformConfig } from '#cli/project/config/platform_config';
import { fraudView } from '#examples/fraud/features/fraud';

const model = defineModel({
  ...{ name: 'risk', service: fraudView, labels: { feedback: ['legitimate', 'fraud'] } },
  training: { trainer: 'xgboost', classes: ['legitimate', 'fraud'], seed: 3 },
});
const trainingWith = (overrides: Readonly<Record<string, unknown>>) =>
  loadPlatformConfig({}, overrides, { models: [model] }).training.risk;

test('settings name another trainer than the definition, whose defaults are then its own', () => {
  expect(trainingWith({})).toMatchObject({ trainer: 'xgboost', task: 'classification', seed: 3, params: {} });
  const other = trainingWith({ 'training.risk.trainer': 'mlp' });
  expect(other).toMatchObject({ trainer: 'mlp', classes: ['legitimate', 'fraud'], seed: 3, params: { epochs: 12 } });
  expect(other).not.toHaveProperty('task');
});

test('a trainer of two classes takes no third, and settings of another trainer are refused', () => {
  const classes = { 'training.risk.classes': ['a', 'b', 'c'] };
  expect(trainingWith(classes)).toMatchObject({ classes: ['a', 'b', 'c'] });
  expect(() => trainingWith({ ...classes, 'training.risk.trainer': 'mlp' })).toThrow('training.risk.classes');
  expect(() => trainingWith({ 'training.risk.trainer': 'kmeans' })).toThrow('training.risk.classes: unknown key');
});
