import { expect, test } from '@jest/globals';
import { testExample } from '../support/example_cases.ts';

test.each(['activity', 'anomalies', 'credit', 'market', 'segmentation'])(
  '%s runs from events to predictions',
  async (example) => {
    const { code, output } = await testExample(example, [`test/${example}.case.ts`]);
    expect([code, output]).toEqual([0, expect.stringContaining(`RESULT {"case":"${example}"`)]);
  },
  900_000,
);
