import type { Trigger } from '#pipelines/engine/windowing/trigger';
import { mergeOverlapping, Window } from '#pipelines/engine/windowing/window';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { keyBy, windowInto } from '#pipelines/model/transforms';
import {
  afterAll,
  afterAny,
  afterCount,
  afterEach,
  afterProcessingTime,
  afterWatermark,
  always,
  defaultTrigger,
  never,
  orFinally,
  repeatedly,
} from '#pipelines/model/windows/triggers';
import {
  customWindows,
  fixedWindows,
  globalWindows,
  sessions,
  slidingWindows,
  type WindowFnSpec,
  type Windowing,
} from '#pipelines/model/windows/windowing';
import { assertThat } from '#pipelines/testing/assert';
import { type TestStreamBuilder, testStream } from '#pipelines/testing/test_stream';
import { count } from '#pipelines/transforms/standard/combiners';
import { reify } from '#pipelines/transforms/standard/reify';
import { cases, timestamped } from './runner_case.ts';

const S = 1_000;
type Shown = readonly [values: string, start: number, end: number];

/** Groups all elements under one key in the windows; shows values and window in seconds. */
const grouped = (input: PCollection<string>, windowing: Windowing): PCollection<Shown> =>
  input
    .apply(windowInto(windowing))
    .apply(keyBy(() => 'k'))
    .apply(groupByKey())
    .apply(reify())
    .map(({ value: { value }, window }) => [[...value].sort().join(''), window[0] / S, window[1] / S] as const);

const windowsOf = (
  root: PipelineRoot,
  windowFn: WindowFnSpec,
  elements: readonly (readonly [string, number])[],
  expected: readonly Shown[],
): void => {
  const input = timestamped(
    root,
    elements.map(([value, seconds]) => [value, seconds * S] as const),
  );
  assertThat(grouped(input, { windowFn })).containsInAnyOrder(expected);
};

type Pane = readonly [values: string, timing: string, index: number];

/** What panes a trigger makes of a script, in 10 s windows: the values, sorted; the timing; the index. */
const panes = (
  root: PipelineRoot,
  windowing: Partial<Windowing>,
  script: (stream: TestStreamBuilder<string>) => TestStreamBuilder<string>,
): PCollection<Pane> =>
  root
    .apply(script(testStream<string>()).toInfinity())
    .apply(windowInto({ windowFn: fixedWindows(10), ...windowing }))
    .apply(keyBy(() => 'k'))
    .apply(groupByKey())
    .apply(reify())
    .map(({ value: { value }, pane }) => [[...value].sort().join(''), pane.timing, pane.index] as const);

const trigger = (
  root: PipelineRoot,
  spec: Trigger,
  script: (stream: TestStreamBuilder<string>) => TestStreamBuilder<string>,
  expected: readonly Pane[],
  more: Partial<Windowing> = {},
): void => assertThat(panes(root, { trigger: spec, ...more }, script)).containsInAnyOrder(expected);

const HALF_HOUR = 1_800;

export const windowCases = [
  ...cases('Fixed windows', {
    'split at multiples of their size': (root) =>
      windowsOf(
        root,
        fixedWindows(10),
        [
          ['a', 0],
          ['b', 9.999],
          ['c', 10],
          ['d', 25],
        ],
        [
          ['ab', 0, 10],
          ['c', 10, 20],
          ['d', 20, 30],
        ],
      ),
    offset: (root) =>
      windowsOf(
        root,
        fixedWindows(10, 3),
        [
          ['a', 2],
          ['b', 3],
          ['c', 12.999],
        ],
        [
          ['a', -7, 3],
          ['bc', 3, 13],
        ],
      ),
    'before 1970': (root) =>
      windowsOf(
        root,
        fixedWindows(10),
        [
          ['a', -1],
          ['b', -10],
          ['c', -11],
        ],
        [
          ['ab', -10, 0],
          ['c', -20, -10],
        ],
      ),
    'an hour': (root) => windowsOf(root, fixedWindows(3_600), [['a', 37_800]], [['a', 36_000, 39_600]]),
  }),
  ...cases('Sliding windows', {
    'each element in size / period windows': (root) =>
      windowsOf(
        root,
        slidingWindows(10, 5),
        [
          ['a', 7],
          ['b', 12],
        ],
        [
          ['a', 0, 10],
          ['ab', 5, 15],
          ['b', 10, 20],
        ],
      ),
    'period larger than size drops what is between': (root) =>
      windowsOf(
        root,
        slidingWindows(2, 10),
        [
          ['a', 1],
          ['b', 5],
        ],
        [['a', 0, 2]],
      ),
    '24 h by 1 h: 24 windows': (root) =>
      assertThat(
        timestamped(root, [['a', 100 * 3_600 * S]])
          .apply(windowInto({ windowFn: slidingWindows(24 * 3_600, 3_600) }))
          .apply(keyBy(() => 'k'))
          .apply(groupByKey())
          .map(() => 1),
      ).containsInAnyOrder(Array.from({ length: 24 }, () => 1)),
  }),
  ...cases('Session windows', {
    'within the gap merge, beyond it do not': (root) =>
      windowsOf(
        root,
        sessions(HALF_HOUR),
        [
          ['a', 0],
          ['b', 29 * 60],
          ['c', 29 * 60 + 31 * 60],
        ],
        [
          ['ab', 0, 29 * 60 + HALF_HOUR],
          ['c', 60 * 60, 60 * 60 + HALF_HOUR],
        ],
      ),
    'an element brings two sessions together': (root) =>
      windowsOf(
        root,
        sessions(10),
        [
          ['a', 0],
          ['c', 16],
          ['b', 8],
        ],
        [['abc', 0, 26]],
      ),
    'exactly the gap apart do not merge': (root) =>
      windowsOf(
        root,
        sessions(10),
        [
          ['a', 0],
          ['b', 10],
        ],
        [
          ['a', 0, 10],
          ['b', 10, 20],
        ],
      ),
    'out of order': (root) =>
      windowsOf(
        root,
        sessions(10),
        [
          ['c', 30],
          ['a', 1],
          ['b', 5],
        ],
        [
          ['ab', 1, 15],
          ['c', 30, 40],
        ],
      ),
    'each key has its own': (root) =>
      assertThat(
        timestamped(root, [
          ['a1', 0],
          ['b1', 5 * S],
          ['a2', 8 * S],
        ])
          .apply(windowInto({ windowFn: sessions(10) }))
          .apply(keyBy((value) => value.slice(0, 1)))
          .apply(groupByKey())
          .apply(reify())
          .map(({ value: { key, value }, window }) => [key, value.length, window[1] / S]),
      ).containsInAnyOrder([
        ['a', 2, 18],
        ['b', 1, 15],
      ]),
    combined: (root) =>
      assertThat(
        timestamped(root, [
          ['a', 0],
          ['b', 5 * S],
          ['c', 50 * S],
        ])
          .apply(windowInto({ windowFn: sessions(10) }))
          .apply(keyBy(() => 'k'))
          .apply(combinePerKey(count())),
      ).containsInAnyOrder([
        { key: 'k', value: 2 },
        { key: 'k', value: 1 },
      ]),
  }),
  ...cases('Global window', {
    'everything together': (root) =>
      assertThat(
        timestamped(root, [
          ['a', 0],
          ['b', 1e9],
        ])
          .apply(keyBy(() => 'k'))
          .apply(groupByKey())
          .map(({ value }) => [...value].sort().join('')),
      ).containsInAnyOrder(['ab']),
  }),
  ...cases('Custom windows', {
    'days that begin at six': (root) =>
      windowsOf(
        root,
        customWindows({
          name: 'days from six',
          assign(at) {
            const start = Math.floor((at - 21_600_000) / 86_400_000) * 86_400_000 + 21_600_000;
            return [new Window(start, start + 86_400_000)];
          },
        }),
        [
          ['a', 21_599],
          ['b', 21_600],
          ['c', 108_000 - 1],
        ],
        [
          ['a', -64_800, 21_600],
          ['bc', 21_600, 108_000],
        ],
      ),
    'by the element': (root) =>
      windowsOf(
        root,
        customWindows({
          name: 'short and long',
          assign: (at, element) => [new Window(at, at + (element === 'long' ? 100 : 10) * S)],
        }),
        [
          ['long', 0],
          ['x', 5],
        ],
        [
          ['long', 0, 100],
          ['x', 5, 15],
        ],
      ),
    'that merge': (root) =>
      windowsOf(
        root,
        customWindows({
          name: 'merging pairs',
          assign: (at) => [new Window(at, at + 10 * S)],
          merge: mergeOverlapping,
        }),
        [
          ['a', 0],
          ['b', 6],
          ['c', 40],
        ],
        [
          ['ab', 0, 16],
          ['c', 40, 50],
        ],
      ),
  }),
  ...cases('Timestamp combiners', {
    'end of window': (root) => assertThat(paneTimes(root, 'endOfWindow')).containsInAnyOrder([9_999]),
    earliest: (root) => assertThat(paneTimes(root, 'earliest')).containsInAnyOrder([2_000]),
    latest: (root) => assertThat(paneTimes(root, 'latest')).containsInAnyOrder([7_000]),
  }),
  ...cases('Default trigger, lateness', {
    'on time, once': (root) =>
      trigger(root, defaultTrigger, (s) => s.add(['a', 1 * S], ['b', 2 * S]).advanceWatermarkTo(10 * S), [
        ['ab', 'ON_TIME', 0],
      ]),
    'late elements within the allowed lateness come alone': (root) =>
      trigger(
        root,
        defaultTrigger,
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(12 * S)
            .add(['b', 2 * S]),
        [
          ['a', 'ON_TIME', 0],
          ['b', 'LATE', 1],
        ],
        { allowedLatenessMs: 10 * S },
      ),
    'accumulating: with what came before': (root) =>
      trigger(
        root,
        defaultTrigger,
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(12 * S)
            .add(['b', 2 * S]),
        [
          ['a', 'ON_TIME', 0],
          ['ab', 'LATE', 1],
        ],
        { allowedLatenessMs: 10 * S, accumulation: 'accumulating' },
      ),
    'beyond the allowed lateness they are dropped': (root) =>
      trigger(
        root,
        defaultTrigger,
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(25 * S)
            .add(['b', 2 * S]),
        [['a', 'ON_TIME', 0]],
        { allowedLatenessMs: 10 * S },
      ),
    'a window that only late elements reach': (root) =>
      trigger(root, defaultTrigger, (s) => s.advanceWatermarkTo(12 * S).add(['a', 1 * S]), [['a', 'LATE', 0]], {
        allowedLatenessMs: 10 * S,
      }),
    'two windows, each in its time': (root) =>
      trigger(
        root,
        defaultTrigger,
        (s) =>
          s
            .add(['a', 1 * S], ['b', 11 * S])
            .advanceWatermarkTo(10 * S)
            .add(['c', 12 * S])
            .advanceWatermarkTo(20 * S),
        [
          ['a', 'ON_TIME', 0],
          ['bc', 'ON_TIME', 0],
        ],
      ),
  }),
  ...cases('Triggers', {
    'after the watermark, with lateness: late elements would be dropped': {
      build: (root) =>
        trigger(
          root,
          afterWatermark(),
          (s) =>
            s
              .add(['a', 1 * S])
              .advanceWatermarkTo(12 * S)
              .add(['b', 2 * S]),
          [['a', 'ON_TIME', 0]],
          { allowedLatenessMs: 10 * S },
        ),
      refusedWith: /afterWatermark\(\), which may finish before its window expires/,
    },
    'early by count': (root) =>
      trigger(
        root,
        afterWatermark({ early: afterCount(1) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(2 * S)
            .add(['b', 3 * S])
            .advanceWatermarkTo(4 * S),
        [
          ['a', 'EARLY', 0],
          ['b', 'EARLY', 1],
        ],
      ),
    'early by count, then on time': (root) =>
      trigger(
        root,
        afterWatermark({ early: afterCount(2) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 2 * S])
            .advanceWatermarkTo(3 * S)
            .add(['c', 4 * S])
            .advanceWatermarkTo(10 * S),
        [
          ['ab', 'EARLY', 0],
          ['c', 'ON_TIME', 1],
        ],
      ),
    'early, on time, late': (root) =>
      trigger(
        root,
        afterWatermark({ early: afterCount(2), late: afterCount(1) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 3 * S])
            .advanceWatermarkTo(4 * S)
            .add(['c', 5 * S])
            .advanceWatermarkTo(12 * S)
            .add(['d', 6 * S]),
        [
          ['ab', 'EARLY', 0],
          ['c', 'ON_TIME', 1],
          ['d', 'LATE', 2],
        ],
        { allowedLatenessMs: 10 * S },
      ),
    'early, accumulating': (root) =>
      trigger(
        root,
        afterWatermark({ early: afterCount(2) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 2 * S])
            .advanceWatermarkTo(3 * S)
            .add(['c', 4 * S])
            .advanceWatermarkTo(10 * S),
        [
          ['ab', 'EARLY', 0],
          ['abc', 'ON_TIME', 1],
        ],
        { accumulation: 'accumulating' },
      ),
    'early by processing time': (root) =>
      trigger(
        root,
        afterWatermark({ early: afterProcessingTime(60) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceProcessingTime(90 * S)
            .add(['b', 2 * S])
            .advanceWatermarkTo(10 * S),
        [
          ['a', 'EARLY', 0],
          ['b', 'ON_TIME', 1],
        ],
      ),
    'late by count of two': (root) =>
      trigger(
        root,
        afterWatermark({ late: afterCount(2) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(12 * S)
            .add(['b', 2 * S])
            .add(['c', 3 * S]),
        [
          ['a', 'ON_TIME', 0],
          ['bc', 'LATE', 1],
        ],
        { allowedLatenessMs: 10 * S },
      ),
    'count, once: the rest would be dropped': {
      build: (root) =>
        trigger(
          root,
          afterCount(1),
          (s) =>
            s
              .add(['a', 1 * S])
              .advanceWatermarkTo(2 * S)
              .add(['b', 3 * S]),
          [['a', 'EARLY', 0]],
        ),
      refusedWith: /afterCount\(1\), which may finish before its window expires.*repeatedly/,
    },
    'repeatedly by count': (root) =>
      trigger(
        root,
        repeatedly(afterCount(1)),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(2 * S)
            .add(['b', 3 * S])
            .advanceWatermarkTo(4 * S),
        [
          ['a', 'EARLY', 0],
          ['b', 'EARLY', 1],
        ],
      ),
    'repeatedly by processing time': (root) =>
      trigger(
        root,
        repeatedly(afterProcessingTime(10)),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceProcessingTime(20 * S)
            .add(['b', 2 * S])
            .advanceProcessingTime(20 * S),
        [
          ['a', 'EARLY', 0],
          ['b', 'EARLY', 1],
        ],
      ),
    'what no trigger let out comes when the window expires': (root) =>
      trigger(
        root,
        repeatedly(afterCount(5)),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 2 * S])
            .advanceWatermarkTo(10 * S),
        [['ab', 'ON_TIME', 0]],
      ),
    always: (root) =>
      trigger(
        root,
        always,
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(2 * S)
            .add(['b', 3 * S])
            .advanceWatermarkTo(4 * S),
        [
          ['a', 'EARLY', 0],
          ['b', 'EARLY', 1],
        ],
      ),
    'never: at the end only': (root) =>
      trigger(
        root,
        never,
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 2 * S])
            .advanceWatermarkTo(10 * S),
        [['ab', 'ON_TIME', 0]],
      ),
    'after all': (root) =>
      trigger(
        root,
        repeatedly(afterAll(afterCount(1), afterProcessingTime(10))),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 2 * S])
            .advanceProcessingTime(20 * S),
        [['ab', 'EARLY', 0]],
      ),
    'after any': (root) =>
      trigger(
        root,
        repeatedly(afterAny(afterCount(2), afterProcessingTime(10))),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceProcessingTime(20 * S)
            .add(['b', 2 * S])
            .add(['c', 3 * S]),
        [
          ['a', 'EARLY', 0],
          ['bc', 'EARLY', 1],
        ],
      ),
    'after each': (root) =>
      trigger(
        root,
        afterEach(afterCount(1), repeatedly(afterCount(2))),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(2 * S)
            .add(['b', 3 * S])
            .advanceWatermarkTo(4 * S)
            .add(['c', 5 * S]),
        [
          ['a', 'EARLY', 0],
          ['bc', 'EARLY', 1],
        ],
      ),
    'or finally: the rest would be dropped': {
      build: (root) =>
        trigger(
          root,
          orFinally(repeatedly(afterCount(1)), afterCount(2)),
          (s) =>
            s
              .add(['a', 1 * S])
              .advanceWatermarkTo(2 * S)
              .add(['b', 3 * S])
              .advanceWatermarkTo(4 * S)
              .add(['c', 5 * S]),
          [
            ['a', 'EARLY', 0],
            ['b', 'EARLY', 1],
          ],
        ),
      refusedWith: /orFinally\(repeatedly\(afterCount\(1\)\), afterCount\(2\)\), which may finish/,
    },
    'in the global window': (root) =>
      trigger(
        root,
        repeatedly(afterCount(2)),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 2 * S])
            .advanceWatermarkTo(100 * S)
            .add(['c', 3 * S]),
        [
          ['ab', 'EARLY', 0],
          ['c', 'ON_TIME', 1],
        ],
        { windowFn: globalWindows() },
      ),
    'combined, accumulating': (root) =>
      assertThat(
        root
          .apply(
            testStream<string>()
              .add(['a', 1 * S])
              .add(['b', 2 * S])
              .advanceWatermarkTo(3 * S)
              .add(['c', 4 * S])
              .toInfinity(),
          )
          .apply(
            windowInto({
              windowFn: fixedWindows(10),
              trigger: afterWatermark({ early: afterCount(2) }),
              accumulation: 'accumulating',
            }),
          )
          .apply(keyBy(() => 'k'))
          .apply(combinePerKey(count()))
          .map(({ value }) => value),
      ).containsInAnyOrder([2, 3]),
  }),
  ...cases('Triggers in merging windows', {
    'sessions on time': (root) =>
      trigger(
        root,
        defaultTrigger,
        (s) => s.add(['a', 1 * S], ['b', 5 * S]).advanceWatermarkTo(20 * S),
        [['ab', 'ON_TIME', 0]],
        { windowFn: sessions(10) },
      ),
    'a late element joins its session': (root) =>
      trigger(
        root,
        afterWatermark({ late: afterCount(1) }),
        (s) =>
          s
            .add(['a', 1 * S])
            .advanceWatermarkTo(12 * S)
            .add(['b', 3 * S]),
        [
          ['a', 'ON_TIME', 0],
          ['ab', 'ON_TIME', 0],
        ],
        { windowFn: sessions(10), allowedLatenessMs: 60 * S, accumulation: 'accumulating' },
      ),
    'early by count across a merge': (root) =>
      trigger(
        root,
        repeatedly(afterCount(2)),
        (s) =>
          s
            .add(['a', 1 * S])
            .add(['b', 5 * S])
            .advanceWatermarkTo(30 * S),
        [['ab', 'EARLY', 0]],
        { windowFn: sessions(10) },
      ),
  }),
];

function paneTimes(
  root: PipelineRoot,
  timestampCombiner: NonNullable<Windowing['timestampCombiner']>,
): PCollection<number> {
  return timestamped(root, [
    ['a', 7_000],
    ['b', 2_000],
  ])
    .apply(windowInto({ windowFn: fixedWindows(10), timestampCombiner }))
    .apply(keyBy(() => 'k'))
    .apply(groupByKey())
    .apply(reify())
    .map(({ timestamp }) => timestamp);
}
