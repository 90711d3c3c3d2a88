import { expect, test } from '@jest/globals';
import { testExample } from '../support/example_cases.ts';

// Examples as their READMEs run them. Those whose trainer needs Python are in test/models/examples.test.ts; `npm run examples` runs all.

test.each(['credit', 'recommendation', 'segmentation'])(
  'the tests of %s pass',
  async (example) => {
    const { code, output } = await testExample(example);
    expect([code, output]).toEqual([0, expect.stringMatching(/^# fail 0$/m)]);
  },
  120_000,
);

test('recommendation runs from events to recommendations that are better than popularity', async () => {
  const { code, output } = await testExample('recommendation', ['test/recommendation.case.ts']);
  expect([code, output]).toEqual([0, expect.stringContaining('RESULT {"case":"recommendation"')]);
}, 240_000);
