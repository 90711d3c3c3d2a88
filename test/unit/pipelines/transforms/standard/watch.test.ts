import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, parDo } from '#pipelines/model/transforms';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { rateLimit } from '#pipelines/transforms/standard/rate_limit';
import { type PollResult, watch } from '#pipelines/transforms/standard/watch';
import { until } from '../../../../support/turns.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'watch-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const outputsOf = (values: readonly string[]): PollResult<string>['outputs'] => values.map((value) => ({ value }));

test('after a restart, what was found before is left out, and the time limits count from the first poll', async () => {
  const found: string[] = [];
  const ends: number[] = [];
  let now = 1_000;
  const start = (poll: (input: string) => PollResult<string>): PipelineHandle =>
    runEmbedded(
      createPipeline((root) => {
        root
          .apply(create(['x', 'y']))
          .apply(watch({ poll, intervalMs: 1, endAfterMs: 500, now: () => now }))
          .map(({ key, value }) => `${key}${value}`)
          .apply(parDo({ process: (text: string) => void found.push(text) }, { name: 'Keep' }));
      }),
      { snapshots: { directory, intervalMs: 0 }, maxRetries: 0 },
    );
  let polls = 0;
  const first = start((input) => {
    polls += 1;
    return { outputs: outputsOf(input === 'x' ? ['1', '2'] : ['1']) };
  });
  await until(() => polls >= 6);
  await first.stop();
  expect(found.sort()).toEqual(['x1', 'x2', 'y1']);
  found.length = 0;
  now += 400;
  const second = start((input) => {
    ends.push(now);
    // The limit of 500 ms since the first poll, in the first run, is reached at the second poll of each.
    if (ends.length >= 2) now = 1_500;
    return { outputs: outputsOf(['1', '2', input === 'x' ? '3' : '1']) };
  });
  await second.finished;
  expect(found.sort()).toEqual(['x3', 'y2']);
  expect(second.state).toBe('done');
});

test('one watched input that is complete ends alone; equal outputs are recognised by keyOf', async () => {
  const found: string[] = [];
  const polls = new Map<string, number>();
  await runEmbedded(
    createPipeline((root) => {
      root
        .apply(create(['x', 'y']))
        .apply(
          watch({
            poll(input: string): PollResult<{ readonly id: string; readonly at: number }> {
              const poll = (polls.get(input) ?? 0) + 1;
              polls.set(input, poll);
              return { outputs: [{ value: { id: 'one', at: poll } }], isComplete: poll === (input === 'x' ? 1 : 3) };
            },
            keyOf: ({ id }) => id,
            intervalMs: 1,
          }),
        )
        .map(({ key, value }) => `${key} ${value.id} ${value.at}`)
        .apply(parDo({ process: (text: string) => void found.push(text) }, { name: 'Keep' }));
    }),
  ).finished;
  expect(found.sort()).toEqual(['x one 1', 'y one 1']);
  expect([...polls]).toEqual([
    ['x', 1],
    ['y', 3],
  ]);
});

test('a job with a rate limit that stops midway passes each element once', async () => {
  const passed: number[] = [];
  const values = Array.from({ length: 60 }, (_, at) => at);
  const start = (perSecond: number): PipelineHandle => {
    let known = 0;
    const poll = (): PollResult<number> => {
      known += 5;
      return { outputs: values.slice(0, known).map((value) => ({ value })), isComplete: known >= values.length };
    };
    return runEmbedded(
      createPipeline((root) => {
        root
          .apply(create(['all']))
          .apply(watch({ poll, intervalMs: 1 }))
          .map(({ value }) => value)
          .apply(rateLimit({ perSecond }))
          .apply(parDo({ process: (value: number) => void passed.push(value) }, { name: 'Keep' }));
      }),
      { snapshots: { directory, intervalMs: 0 }, maxRetries: 0 },
    );
  };
  const first = start(2_000);
  await until(() => passed.length >= 10);
  await first.stop();
  await start(10_000).finished;
  expect(passed).toEqual(values);
});
