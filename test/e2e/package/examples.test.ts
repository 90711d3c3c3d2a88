import { expect, test } from '@jest/globals';
import { EXAMPLES } from '#scripts/writing/example_projects';
import { testExample } from '../../support/example_cases.ts';
import { byForm } from '../../support/jest/forms.ts';

// Examples as their READMEs run them. Those whose trainer needs Python are in test/models/examples.test.ts; `npm run examples` runs all.

test.each(EXAMPLES.filter((each) => each !== 'sensors'))(
  'the tests of %s pass',
  async (example) => {
    const { code, output } = await testExample(example);
    expect([code, output]).toEqual([0, expect.stringMatching(/^# fail 0$/m)]);
  },
  120_000,
);

// The others run each night.
test.each(
  byForm({
    short: ['claims', 'federated'],
    long: ['claims', 'compliance', 'federated', 'fraud', 'recommendation'],
  }),
)(
  '%s runs from events to answers that hold against its baseline',
  async (example) => {
    const { code, output } = await testExample(example, [`test/${example}.case.ts`]);
    expect([code, output]).toEqual([0, expect.stringContaining(`RESULT {"case":"${example}"`)]);
  },
  240_000,
);
