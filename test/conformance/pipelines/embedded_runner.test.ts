import { describe, expect, test } from '@jest/globals';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { validatesRunnerSuite } from '#pipelines/testing/validates_runner/suite';

test('the suite is as large as it says, and names are unique', () => {
  const names = validatesRunnerSuite.map(({ feature, name }) => `${feature}: ${name}`);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(120);
});

const features = [...new Set(validatesRunnerSuite.map(({ feature }) => feature))];
const modes = [false, true].flatMap((strict) => features.map((feature) => [feature, strict] as const));

describe.each(modes)('%s, strict: %s', (wanted, strict) => {
  test.each(validatesRunnerSuite.filter(({ feature }) => feature === wanted))(
    '$name',
    async ({ build, failsWith, refusedWith }) => {
      if (refusedWith !== undefined) {
        expect(() => createPipeline(build)).toThrow(refusedWith);
        return;
      }
      const { finished } = runEmbedded(createPipeline(build), { strict });
      if (failsWith === undefined) await finished;
      else await expect(finished).rejects.toThrow(failsWith);
    },
  );
});
