import { combineGlobally, combinePerKey } from '#pipelines/model/grouping';
import type { PipelineRoot } from '#pipelines/model/pcollection';
import { create, keyBy, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { assertThat } from '#pipelines/testing/assert';
import { testStream } from '#pipelines/testing/test_stream';
import { approximateCountDistinct } from '#pipelines/transforms/standard/distinct_count';
import { latestGlobally, latestPerKey } from '#pipelines/transforms/standard/latest';
import { partition } from '#pipelines/transforms/standard/partition';
import { rateLimit } from '#pipelines/transforms/standard/rate_limit';
import { sample } from '#pipelines/transforms/standard/sampling';
import {
  kvsToStrings,
  regexFind,
  regexMatches,
  regexReplaceAll,
  regexSplit,
  toStrings,
} from '#pipelines/transforms/standard/text';
import { waitOn } from '#pipelines/transforms/standard/wait_on';
import { type PollResult, watch } from '#pipelines/transforms/standard/watch';
import { cases, timestamped } from './runner_case.ts';

const LINES = ['a=1', 'b=22', 'none', 'x a=3 y'];
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export const transformCases = [
  ...cases('Standard transforms', {
    'sample of fixed size': (root) =>
      assertThat(root.apply(create(numbers(200))).apply(combineGlobally(sample<number>(10)))).satisfies((samples) => {
        const [drawn = []] = samples;
        const isGood = drawn.length === 10 && new Set(drawn).size === 10 && drawn.every((one) => one >= 0 && one < 200);
        return isGood ? undefined : `a sample is ${JSON.stringify(drawn)}`;
      }),
    'sample of fewer': (root) =>
      assertThat(
        root
          .apply(create([1, 2]))
          .apply(combineGlobally(sample<number>(10)))
          .map((drawn) => [...drawn].sort()),
      ).containsInAnyOrder([[1, 2]]),
    'count distinct, exact while few': (root) =>
      assertThat(
        root
          .apply(create(['a', 'b', 'a', 'c']))
          .apply(keyBy(() => 'k'))
          .apply(combinePerKey(approximateCountDistinct<string>()))
          .map(({ value }) => value),
      ).containsInAnyOrder([3]),
    'count distinct, near while many': (root) =>
      assertThat(
        root.apply(create(numbers(5_000))).apply(combineGlobally(approximateCountDistinct<number>())),
      ).satisfies(([estimate = 0]) =>
        Math.abs(estimate - 5_000) < 500 ? undefined : `5000 different values are estimated as ${estimate}`,
      ),
    'latest of each key': (root) =>
      assertThat(
        timestamped(root, [
          ['a old', 5],
          ['a new', 9],
          ['b only', 1],
        ])
          .apply(keyBy((text) => text[0]))
          .apply(latestPerKey())
          .map(({ value }) => value),
      ).containsInAnyOrder(['a new', 'b only']),
    'latest of all': (root) =>
      assertThat(
        timestamped(root, [
          ['new', 9],
          ['old', 5],
        ]).apply(latestGlobally()),
      ).containsInAnyOrder(['new']),
    partition: (root) => {
      const [even, odd] = root.apply(create([1, 2, 3, 4, 5])).apply(partition(2, (value) => value % 2));
      assertThat(even as NonNullable<typeof even>, 'Even').containsInAnyOrder([2, 4]);
      assertThat(odd as NonNullable<typeof odd>, 'Odd').containsInAnyOrder([1, 3, 5]);
    },
    'a partition that there is not': {
      build: (root: PipelineRoot) => void root.apply(create([7])).apply(partition(2, (value) => value)),
      failsWith: /failed in process on element 7: the partition is 7, and there are 2/,
    },
    'to strings': (root) =>
      assertThat(root.apply(create([1, 'a', { b: [2] }, null])).apply(toStrings())).containsInAnyOrder([
        '1',
        'a',
        '{"b":[2]}',
        'null',
      ]),
    'KVs to strings': (root) =>
      assertThat(
        root
          .apply(create([1]))
          .apply(keyBy(() => 'k'))
          .apply(kvsToStrings()),
      ).containsInAnyOrder(['k,1']),
    'regex: whole lines': (root) =>
      assertThat(root.apply(create(LINES)).apply(regexMatches(/(\w)=(?<n>\d+)/, 'n'))).containsInAnyOrder(['1', '22']),
    'regex: somewhere': (root) =>
      assertThat(root.apply(create(LINES)).apply(regexFind(/\w=\d+/g))).containsInAnyOrder(['a=1', 'b=22', 'a=3']),
    'regex: replace and split': (root) =>
      assertThat(
        root
          .apply(create(['a1b22c']))
          .apply(regexReplaceAll(/\d+/, '-'))
          .apply(regexSplit(/-/)),
      ).containsInAnyOrder(['a', 'b', 'c']),
    watch: (root) => {
      const found = [[1, 2], [1, 2, 3], [4]];
      let polls = 0;
      const poll = (): PollResult<number> => {
        const outputs = (found[polls] ?? []).map((value) => ({ value }));
        polls += 1;
        return { outputs, isComplete: polls >= found.length };
      };
      assertThat(
        root
          .apply(create(['x']))
          .apply(watch({ poll, intervalMs: 10 }))
          .map(({ key, value }) => `${key}${value}`),
      ).containsInAnyOrder(['x1', 'x2', 'x3', 'x4']);
    },
    'watch until nothing is new': (root) =>
      assertThat(
        root
          .apply(create(['x', 'y'], 'Inputs'))
          .apply(
            watch({
              poll: (input: string) => ({ outputs: [{ value: input }] }),
              intervalMs: 10,
              endAfterNothingNewMs: 30,
            }),
          )
          .map(({ value }) => value),
      ).containsInAnyOrder(['x', 'y']),
    'watch in no time': {
      build: (root: PipelineRoot) =>
        void root.apply(create(['x'])).apply(watch({ poll: () => ({ outputs: [] }), intervalMs: 0 })),
      refusedWith: /transform "Watch": intervalMs is 0/,
    },
    'rate limit': (root) =>
      assertThat(
        root
          .apply(create(numbers(10)))
          .apply(rateLimit({ perSecond: 200 }))
          .map((value) => ({ value, at: Date.now() })),
      ).satisfies((all) => {
        const times = all.map(({ at }) => at);
        const tookMs = Math.max(...times) - Math.min(...times);
        return all.length === 10 && tookMs >= 35 ? undefined : `${all.length} elements passed in ${tookMs} ms`;
      }),
    'a rate of nothing': {
      build: (root: PipelineRoot) => void root.apply(create([1])).apply(rateLimit({ perSecond: 0 })),
      refusedWith: /transform "RateLimit": perSecond is 0/,
    },
    'wait on a signal': (root) => {
      const windows = { windowFn: fixedWindows(10) };
      const signal = root
        .apply(testStream<string>().add(['written', 1_000]).advanceWatermarkTo(20_000).toInfinity('Signal'))
        .apply(windowInto<string>(windows, 'Signal windows'));
      const main = root.apply(create(['next'], 'Main')).apply(windowInto<string>(windows, 'Main windows'));
      assertThat(main.apply(waitOn([signal]))).containsInAnyOrder(['next']);
    },
  }),
];
