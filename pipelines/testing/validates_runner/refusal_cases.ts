import { type DoFn, eventTimer, outputTag, type ProcessContext, processingTimer } from '#pipelines/engine/dofn';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { asIterable, asSingleton } from '#pipelines/model/side_inputs';
import { create, flatten, keyBy, parDo, parDoTagged, windowInto, withTimestamps } from '#pipelines/model/transforms';
import {
  afterAll,
  afterCount,
  afterEach,
  afterProcessingTime,
  afterWatermark,
  never,
  repeatedly,
} from '#pipelines/model/windows/triggers';
import {
  customWindows,
  fixedWindows,
  globalWindows,
  sessions,
  slidingWindows,
  type Windowing,
} from '#pipelines/model/windows/windowing';
import { testStream } from '#pipelines/testing/test_stream';
import { count, sum } from '#pipelines/transforms/standard/combiners';
import { coGroupByKey, distinct } from '#pipelines/transforms/standard/grouping';
import { cases, timestamped } from './runner_case.ts';

/** What Beam Java refuses when a pipeline is built, and what it fails with the transform and the element. */

const unbounded = (root: PipelineRoot): PCollection<KV<string, number>> =>
  root.apply(testStream<number>().add([1, 1]).toInfinity()).apply(keyBy(() => 'k'));
const bounded = (root: PipelineRoot, name: string): PCollection<number> => root.apply(create([1, 2], name));
const keyed = (root: PipelineRoot, name: string, windowing: Windowing): PCollection<KV<string, number>> =>
  bounded(root, name)
    .apply(windowInto(windowing, `${name} windows`))
    .apply(keyBy(() => 'k', `${name} keys`));
const grouping =
  (windowing: Windowing) =>
  (root: PipelineRoot): void => {
    keyed(root, 'Numbers', windowing).apply(groupByKey('Group'));
  };
const windowed =
  (windowing: () => Windowing) =>
  (root: PipelineRoot): void => {
    bounded(root, 'Numbers').apply(windowInto(windowing()));
  };

class Stateful implements DoFn<KV<string, number>, number> {
  readonly timer = eventTimer('timer');
  process(): void {}
  onTimer(): void {}
}

const refused = {
  'grouping an unbounded collection in the global window': {
    build: (root: PipelineRoot) => void unbounded(root).apply(groupByKey('Group')),
    refusedWith: /transform "Group" groups an unbounded collection in the global window.*windowInto/,
  },
  'combining an unbounded collection in the global window': {
    build: (root: PipelineRoot) => void unbounded(root).apply(combinePerKey(sum(), { name: 'Total' })),
    refusedWith: /transform "Total\/GroupByKey" groups an unbounded collection/,
  },
  'a part of a flattened collection is unbounded': {
    build: (root: PipelineRoot) =>
      void flatten([bounded(root, 'Numbers').apply(keyBy(() => 'k', 'Keys')), unbounded(root)]).apply(
        groupByKey('Group'),
      ),
    refusedWith: /transform "Group" groups an unbounded collection/,
  },
  'a side input that is never ready': {
    build: (root: PipelineRoot) =>
      void bounded(root, 'Numbers').apply(
        parDo({ process() {} } as DoFn<number, never>, {
          name: 'Look',
          sideInputs: { newest: asSingleton(unbounded(root)) },
        }),
      ),
    refusedWith: /transform "Look, side input newest" groups an unbounded collection/,
  },
  'a side input in merging windows': {
    build: (root: PipelineRoot) =>
      void bounded(root, 'Numbers').apply(
        parDo({ process() {} } as DoFn<number, never>, {
          name: 'Look',
          sideInputs: { all: asIterable(keyed(root, 'Others', { windowFn: sessions(10) })) },
        }),
      ),
    refusedWith: /side input "all" of transform "Look" is in merging windows \(sessions\(10000\)\)/,
  },
  'a trigger that fires once, by time': {
    build: grouping({ windowFn: fixedWindows(10), trigger: afterProcessingTime(5) }),
    refusedWith: /transform "Group" has the trigger afterProcessingTime\(5\), which may finish.*repeatedly/,
  },
  'a trigger whose every part finishes': {
    build: grouping({ windowFn: fixedWindows(10), trigger: afterEach(afterCount(1), afterCount(2)) }),
    refusedWith: /afterEach\(afterCount\(1\), afterCount\(2\)\), which may finish/,
  },
  'no late firings where lateness is allowed': {
    build: grouping({
      windowFn: fixedWindows(10),
      trigger: afterWatermark({ early: afterCount(1) }),
      allowedLatenessMs: 1,
    }),
    refusedWith: /afterWatermark\(\{ early: afterCount\(1\) \}\), which may finish.*late firings/,
  },
  'flattening different windows': {
    build: (root: PipelineRoot) =>
      void flatten(
        [keyed(root, 'Tens', { windowFn: fixedWindows(10) }), keyed(root, 'Twenties', { windowFn: fixedWindows(20) })],
        'All',
      ),
    refusedWith: /transform "All" flattens collections in different windows \(fixed\(10000,0\) and fixed\(20000,0\)\)/,
  },
  'flattening different triggers': {
    build: (root: PipelineRoot) =>
      void flatten(
        [
          keyed(root, 'Default', { windowFn: fixedWindows(10) }),
          keyed(root, 'Counted', { windowFn: fixedWindows(10), trigger: repeatedly(afterCount(2)) }),
        ],
        'All',
      ),
    refusedWith: /transform "All" flattens collections with different triggers \(defaultTrigger and repeatedly/,
  },
  'joining different windows': {
    build: (root: PipelineRoot) =>
      void coGroupByKey(
        {
          left: keyed(root, 'Left', { windowFn: fixedWindows(10) }),
          right: keyed(root, 'Right', { windowFn: slidingWindows(20, 10) }),
        },
        'Join',
      ),
    refusedWith: /transform "Join flatten" flattens collections in different windows/,
  },
  'state in merging windows': {
    build: (root: PipelineRoot) =>
      void keyed(root, 'Numbers', { windowFn: sessions(10) }).apply(parDo(new Stateful(), { name: 'Remember' })),
    refusedWith: /transform "Remember" has state or timers in merging windows \(sessions\(10000\)\)/,
  },
  'distinct over sessions that fire early': {
    build: (root: PipelineRoot) =>
      void bounded(root, 'Numbers')
        .apply(windowInto({ windowFn: sessions(10), trigger: repeatedly(afterCount(1)) }))
        .apply(distinct('Once')),
    refusedWith: /transform "Once" is in merging windows \(sessions\(10000\)\) that fire more than once/,
  },
  'windows of no size': {
    build: windowed(() => ({ windowFn: fixedWindows(0) })),
    refusedWith: /the size of fixed windows is 0 s/,
  },
  'windows of less than a millisecond': {
    build: windowed(() => ({ windowFn: fixedWindows(0.0001) })),
    refusedWith: /the size of fixed windows is 0.0001 s/,
  },
  'windows of a size that is no number': {
    build: windowed(() => ({ windowFn: fixedWindows(Number.NaN) })),
    refusedWith: /the size of fixed windows is NaN s/,
  },
  'an offset as large as the window': {
    build: windowed(() => ({ windowFn: fixedWindows(10, 10) })),
    refusedWith: /the offset of fixed windows is 10 s/,
  },
  'sliding windows without a period': {
    build: windowed(() => ({ windowFn: slidingWindows(10, 0) })),
    refusedWith: /the period of sliding windows is 0 s/,
  },
  'sessions without a gap': {
    build: windowed(() => ({ windowFn: sessions(-1) })),
    refusedWith: /the gap of sessions is -1 s/,
  },
  'negative lateness': {
    build: windowed(() => ({ windowFn: fixedWindows(10), allowedLatenessMs: -1 })),
    refusedWith: /allowedLatenessMs is -1/,
  },
  'infinite lateness': {
    build: windowed(() => ({ windowFn: fixedWindows(10), allowedLatenessMs: Number.POSITIVE_INFINITY })),
    refusedWith: /allowedLatenessMs is Infinity/,
  },
  'a count of none': {
    build: windowed(() => ({ windowFn: fixedWindows(10), trigger: repeatedly(afterCount(0)) })),
    refusedWith: /afterCount\(0\)/,
  },
  'a delay that is no time': {
    build: windowed(() => ({ windowFn: fixedWindows(10), trigger: repeatedly(afterProcessingTime(Number.NaN)) })),
    refusedWith: /afterProcessingTime has a delay of NaN ms/,
  },
  'a composite of no triggers': {
    build: windowed(() => ({ windowFn: fixedWindows(10), trigger: repeatedly(afterAll()) })),
    refusedWith: /afterAll has no triggers/,
  },
  'calls in flight: none': {
    build: (root: PipelineRoot) =>
      void bounded(root, 'Numbers').apply(
        parDo({ process() {} } as DoFn<number, never>, { name: 'Call', maxConcurrency: 0 }),
      ),
    refusedWith: /transform "Call": maxConcurrency is 0/,
  },
};

const outputting =
  (timestamp: unknown, at = 5_000) =>
  (root: PipelineRoot): void => {
    timestamped(root, [[{ id: 'e1' }, at]]).apply(
      parDo<{ id: string }, string>(
        { process: ({ id }, context) => context.output(id, timestamp as never) },
        { name: 'Stamp' },
      ),
    );
  };

const OTHER = outputTag<string>('other');

/** A DoFn that does one thing with a timer. */
const timing = (
  use: (context: ProcessContext<never>, timers: { readonly event: never; readonly processing: never }) => void,
) =>
  function build(root: PipelineRoot): void {
    const timers = { event: eventTimer('wake'), processing: processingTimer('later') };
    timestamped(root, [['x', 5_000]])
      .apply(windowInto<string>({ windowFn: fixedWindows(10), allowedLatenessMs: 1_000 }))
      .apply(keyBy(() => 'k1'))
      .apply(
        parDo(
          {
            ...timers,
            process: (_: unknown, context: ProcessContext<never>) => use(context, timers as never),
            onTimer() {},
          } as unknown as DoFn<KV<string, string>, never>,
          { name: 'Timed' },
        ),
      );
  };

const keyedBy =
  (key: unknown) =>
  (root: PipelineRoot): void => {
    bounded(root, 'Numbers')
      .apply(keyBy(() => key, 'Keys'))
      .apply(groupByKey('Group'));
  };

const failing = {
  'an output at NaN': {
    build: outputting(Number.NaN),
    failsWith: /transform "Stamp" failed in process on element \{"id":"e1"\}: an output has the timestamp NaN/,
  },
  'an output at a fraction of a millisecond': { build: outputting(5_000.5), failsWith: /timestamp 5000.5/ },
  'an output at a time that is text': { build: outputting('2026-01-01'), failsWith: /timestamp "2026-01-01"/ },
  'an output earlier than its input': {
    build: outputting(4_999),
    failsWith:
      /"Stamp" failed in process.*timestamp 4999, which is earlier than that of its input, 5000.*allowedTimestampSkewMs/,
  },
  'a tagged output earlier than its input': {
    build: (root: PipelineRoot) =>
      void timestamped(root, [['x', 5_000]]).apply(
        parDoTagged<string, never, { readonly other: typeof OTHER }>(
          { process: (value, context) => context.outputTo(OTHER, value, 4_000 as never) },
          { other: OTHER },
          { name: 'Split' },
        ),
      ),
    failsWith: /"Split" failed in process on element "x".*4000, which is earlier/,
  },
  'a timestamp that its field lacks': {
    build: (root: PipelineRoot) =>
      void root
        .apply(create([{ id: 'e1' }] as { id: string; at?: number }[]))
        .apply(withTimestamps(({ at }) => at as number, 'Times')),
    failsWith: /transform "Times" failed in timestampOf on element \{"id":"e1"\}: .*timestamp undefined/,
  },
  'timestamps moved back': {
    build: (root: PipelineRoot) => void timestamped(root, [['x', 5_000]]).apply(withTimestamps(() => 1, 'Back')),
    failsWith: /transform "Back" failed in timestampOf on element "x".*timestamp 1, which is earlier/,
  },
  'a window function of no windows': {
    build: (root: PipelineRoot) =>
      void timestamped(root, [['x', 5_000]]).apply(
        windowInto<string>(
          {
            windowFn: customWindows({
              name: 'broken',
              assign: () => [{ id: 'w', start: 0, end: Number.NaN, maxTimestamp: () => 0 } as never],
            }),
          },
          'Cut',
        ),
      ),
    failsWith: /transform "Cut" failed in the window function on element "x": window function "broken"/,
  },
  'an event timer behind the expiry of its window': {
    build: timing((context, { event }) => context.timer(event).set(11_000)),
    failsWith:
      /transform "Timed" failed in process.*timer "wake" of key "k1" is set to 11000, behind the expiry of its window at 10999/,
  },
  'a timer at NaN': {
    build: timing((context, { event }) => context.timer(event).set(Number.NaN)),
    failsWith: /timer "wake" of key "k1" is set to NaN/,
  },
  'a processing timer at NaN': {
    build: timing((context, { processing }) => context.timer(processing).setAfter(Number.NaN)),
    failsWith: /the delay of timer "later" is NaN/,
  },
  'an output timestamp earlier than the element': {
    build: timing((context, { event }) => context.timer(event).set(9_000, { outputTimestamp: 4_000 as never })),
    failsWith: /timer "wake" of key "k1" has the output timestamp 4000, earlier than/,
  },
  'an output timestamp behind the expiry of the window': {
    build: timing((context, { processing }) =>
      context.timer(processing).setAfter(10, { outputTimestamp: 11_000 as never }),
    ),
    failsWith: /timer "later" of key "k1" has the output timestamp 11000, behind the expiry/,
  },
  'a Map as key': { build: keyedBy(new Map([[1, 2]])), failsWith: /Map/ },
  'a Set as key': { build: keyedBy(new Set([1])), failsWith: /Set/ },
  'a key that holds NaN': { build: keyedBy({ a: Number.NaN }), failsWith: /the key's part \.a is NaN/ },
  'a Date as key': { build: keyedBy(new Date(0)), failsWith: /Date/ },
  'a function of a CombineFn that throws': {
    build: (root: PipelineRoot) =>
      void bounded(root, 'Numbers')
        .apply(keyBy(() => 'k', 'Keys'))
        .apply(
          combinePerKey(
            {
              ...sum(),
              identity: 'careful sum',
              addInput() {
                throw new RangeError('too careful');
              },
            },
            { name: 'Total' },
          ),
        ),
    failsWith: /addInput of CombineFn "careful sum".*too careful/,
  },
};

const accepted = {
  'the beginning of time is as early as anything': (root: PipelineRoot): void => {
    root.apply(create(['x'])).apply(withTimestamps(() => -1));
  },
  'never fires when the window expires': grouping({ windowFn: globalWindows(), trigger: never }),
  'a trigger on the unbounded global window': (root: PipelineRoot): void => {
    unbounded(root)
      .apply(windowInto<KV<string, number>>({ windowFn: globalWindows(), trigger: repeatedly(afterCount(1)) }))
      .apply(combinePerKey(count()));
  },
  'sessions of several gaps, flattened': (root: PipelineRoot): void => {
    flatten([keyed(root, 'Ten', { windowFn: sessions(10) }), keyed(root, 'Twenty', { windowFn: sessions(20) })]).apply(
      groupByKey(),
    );
  },
  'an output within the allowed skew': (root: PipelineRoot): void => {
    timestamped(root, [['x', 5_000]]).apply(
      parDo<string, string>(
        { allowedTimestampSkewMs: 1_000, process: (value, context) => context.output(value, 4_000 as never) },
        { name: 'Back' },
      ),
    );
  },
};

export const refusalCases = [
  ...cases('Refused when built', refused),
  ...cases('Refused times and keys', failing),
  ...cases('Not refused', accepted),
];
