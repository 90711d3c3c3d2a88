import { describe, expect, test } from '@jest/globals';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { inProcessShards } from '#pipelines/testing/in_process_shards';
import { validatesRunnerSuite } from '#pipelines/testing/validates_runner/suite';

const features = [...new Set(validatesRunnerSuite.map(({ feature }) => feature))];

describe.each(features)('%s, keys over three shards', (wanted) => {
  test.each(validatesRunnerSuite.filter(({ feature }) => feature === wanted))(
    '$name',
    async ({ build, failsWith, refusedWith }) => {
      if (refusedWith !== undefined) {
        expect(() => createPipeline(build)).toThrow(refusedWith);
        return;
      }
      const { finished } = runEmbedded(createPipeline(build), { shards: { count: 3, launch: inProcessShards(build) } });
      if (failsWith === undefined) await finished;
      else await expect(finished).rejects.toThrow(failsWith);
    },
  );
});
