import {
  bagState,
  combiningState,
  type DoFn,
  eventTimer,
  mapState,
  multimapState,
  type OnTimerContext,
  orderedListState,
  type ProcessContext,
  processingTimer,
  setState,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { create, keyBy, parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { assertThat } from '#pipelines/testing/assert';
import { testStream } from '#pipelines/testing/test_stream';
import { mean } from '#pipelines/transforms/standard/combiners';
import { reify } from '#pipelines/transforms/standard/reify';
import { cases, timestamped } from './runner_case.ts';
import { Counting } from './splittable_cases.ts';

type Pair = KV<string, number>;
const pair = (key: string, value: number): Pair => ({ key, value });
const PAIRS = [pair('a', 1), pair('b', 10), pair('a', 2), pair('a', 3)];

/** A stateful DoFn from its parts. */
const stateful = <Fields extends object, Out>(
  name: string,
  fields: Fields,
  hooks: {
    process(this: Fields, element: Pair, context: ProcessContext<Out>): void | Promise<void>;
    onTimer?(this: Fields, timer: TimerSpec, context: OnTimerContext<Out, string>): void | Promise<void>;
    onWindowExpiration?(this: Fields, context: OnTimerContext<Out, string>): void | Promise<void>;
  },
): ((input: PCollection<Pair>) => PCollection<Out>) =>
  parDo({ ...fields, ...hooks } as unknown as DoFn<Pair, Out>, { name });

const timedPairs = (root: PipelineRoot): PCollection<Pair> =>
  timestamped(root, [
    [pair('a', 1), 1_000],
    [pair('a', 2), 2_000],
    [pair('b', 3), 3_000],
    [pair('a', 4), 11_000],
  ]);

/** Says what each element came after. */
const following = (): ((input: PCollection<Pair>) => PCollection<string>) =>
  stateful(
    'Following',
    { requiresTimeSortedInput: true, buffer: valueState<number>('buffer') },
    {
      process({ value }, context) {
        const before = context.state(this.buffer);
        context.output(`${value} after ${before.read() ?? 'nothing'}`);
        before.write(value);
      },
    },
  );

export const stateCases = [
  ...cases('Time-sorted input', {
    'of one window': (root) =>
      assertThat(
        timestamped(root, [
          [pair('a', 3), 3_000],
          [pair('b', 9), 1_500],
          [pair('a', 1), 1_000],
          [pair('a', 2), 2_000],
        ]).apply(following()),
      ).containsInAnyOrder(['1 after nothing', '2 after 1', '3 after 2', '9 after nothing']),
    'of several windows, up to their last moments': (root) =>
      assertThat(
        timestamped(root, [
          [pair('a', 4), 19_999],
          [pair('a', 2), 9_999],
          [pair('a', 1), 5_000],
          [pair('a', 3), 10_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(following()),
      ).containsInAnyOrder(['1 after nothing', '2 after 1', '3 after nothing', '4 after 3']),
    'elements keep their times': (root) =>
      assertThat(
        timestamped(root, [
          [pair('a', 2), 2_000],
          [pair('a', 1), 1_000],
        ])
          .apply(following())
          .apply(reify())
          .map(({ value, timestamp }) => [value, timestamp]),
      ).containsInAnyOrder([
        ['1 after nothing', 1_000],
        ['2 after 1', 2_000],
      ]),
    'waits for late elements': (root) =>
      assertThat(
        root
          .apply(
            testStream<Pair>()
              .add([pair('a', 2), 2_000])
              .advanceWatermarkTo(3_000)
              .add([pair('a', 1), 1_000])
              .toInfinity(),
          )
          .apply(windowInto({ windowFn: fixedWindows(10), allowedLatenessMs: 5_000 }))
          .apply(following()),
      ).containsInAnyOrder(['1 after nothing', '2 after 1']),
  }),
  ...cases('State', {
    multimap: (root) =>
      assertThat(
        root.apply(create([pair('a', 1), pair('a', 2), pair('a', 11), pair('a', 0)])).apply(
          stateful(
            'Multimap',
            { seen: multimapState<string, number>('seen'), calls: valueState<number>('calls') },
            {
              process({ value }, context) {
                const seen = context.state(this.seen);
                const calls = context.state(this.calls);
                calls.write((calls.read() ?? 0) + 1);
                seen.put(value < 10 ? 'small' : 'large', value);
                if (calls.read() !== 4) return;
                const small = [...seen.get('small')].sort();
                const size = [...seen.entries()].length;
                const keys = [...seen.keys()].sort();
                seen.remove('small');
                context.output([small, size, keys, seen.has('small'), [...seen.get('large')], [...seen.get('none')]]);
              },
            },
          ),
        ),
      ).containsInAnyOrder([[[0, 1, 2], 4, ['large', 'small'], false, [11], []]]),
    value: (root) =>
      assertThat(
        root.apply(create(PAIRS)).apply(
          stateful(
            'Sum',
            { sum: valueState<number>('sum') },
            {
              process({ key, value }, context) {
                const sum = context.state(this.sum);
                sum.write((sum.read() ?? 0) + value);
                if (key === 'b' || sum.read() === 6) context.output(sum.read() as number);
              },
            },
          ),
        ),
      ).containsInAnyOrder([10, 6]),
    'value: cleared reads as nothing': (root) =>
      assertThat(
        root.apply(create(PAIRS)).apply(
          stateful(
            'Clear',
            { last: valueState<number>('last') },
            {
              process({ value }, context) {
                const last = context.state(this.last);
                last.write(value);
                last.clear();
                context.output(String(last.read()));
              },
            },
          ),
        ),
      ).containsInAnyOrder(['undefined', 'undefined', 'undefined', 'undefined']),
    bag: (root) =>
      assertThat(
        root.apply(create(PAIRS)).apply(
          stateful(
            'Bag',
            { seen: bagState<number>('seen') },
            {
              process({ key, value }, context) {
                const seen = context.state(this.seen);
                seen.add(value);
                const all = [...seen.read()];
                if (key === 'a' && all.length === 3) context.output(all.reduce((x, y) => x + y, 0));
              },
            },
          ),
        ),
      ).containsInAnyOrder([6]),
    set: (root) =>
      assertThat(
        root.apply(create([pair('a', 1), pair('a', 1), pair('a', 2), pair('a', 1)])).apply(
          stateful(
            'Set',
            { seen: setState<number>('seen'), calls: valueState<number>('calls') },
            {
              process({ value }, context) {
                const seen = context.state(this.seen);
                const calls = (context.state(this.calls).read() ?? 0) + 1;
                context.state(this.calls).write(calls);
                seen.add(value);
                if (calls < 4) return;
                context.output([seen.has(1), seen.has(3), [...seen.read()].length]);
                seen.remove(1);
                context.output([seen.has(1)]);
              },
            },
          ),
        ),
      ).containsInAnyOrder([[true, false, 2], [false]]),
    map: (root) =>
      assertThat(
        root.apply(create(PAIRS)).apply(
          stateful(
            'Map',
            { counts: mapState<string, number>('counts') },
            {
              process({ key, value }, context) {
                const counts = context.state(this.counts);
                const parity = value % 2 === 0 ? 'even' : 'odd';
                counts.put(parity, (counts.get(parity) ?? 0) + 1);
                if (key === 'a' && [...counts.entries()].reduce((total, [, n]) => total + n, 0) === 3) {
                  context.output(Object.fromEntries(counts.entries()));
                  counts.remove('odd');
                  context.output({ left: [...counts.entries()].length });
                }
              },
            },
          ),
        ),
      ).containsInAnyOrder([{ odd: 2, even: 1 }, { left: 1 }] as never),
    combining: (root) =>
      assertThat(
        root.apply(create(PAIRS)).apply(
          stateful(
            'Mean',
            { mean: combiningState('mean', mean()), calls: valueState<number>('calls') },
            {
              process({ key, value }, context) {
                context.state(this.mean).add(value);
                const calls = (context.state(this.calls).read() ?? 0) + 1;
                context.state(this.calls).write(calls);
                if (key === 'a' && calls === 3) context.output(context.state(this.mean).read());
              },
            },
          ),
        ),
      ).containsInAnyOrder([2]),
    'ordered list': (root) =>
      assertThat(
        root.apply(create([pair('a', 30), pair('a', 10), pair('a', 20)])).apply(
          stateful(
            'List',
            { list: orderedListState<string>('list'), calls: valueState<number>('calls') },
            {
              process({ value }, context) {
                const list = context.state(this.list);
                list.add(value as never, `at ${value}`);
                const calls = (context.state(this.calls).read() ?? 0) + 1;
                context.state(this.calls).write(calls);
                if (calls < 3) return;
                context.output([...list.readRange(10 as never, 30 as never)].map(([, text]) => text));
                list.clearRange(0 as never, 20 as never);
                context.output([...list.readRange(0 as never, 100 as never)].map(([at]) => at));
              },
            },
          ),
        ),
      ).containsInAnyOrder([
        ['at 10', 'at 20'],
        [20, 30],
      ] as never),
    'is apart for each key': (root) =>
      assertThat(
        root.apply(create(Array.from({ length: 100 }, (_, index) => pair(`k${index % 10}`, 1)))).apply(
          stateful(
            'Count',
            { count: valueState<number>('count') },
            {
              process({ key }, context) {
                const count = context.state(this.count);
                count.write((count.read() ?? 0) + 1);
                if (count.read() === 10) context.output(key);
              },
            },
          ),
        ),
      ).containsInAnyOrder(Array.from({ length: 10 }, (_, index) => `k${index}`)),
    'is apart for each window': (root) =>
      assertThat(
        timedPairs(root)
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(
            stateful(
              'Count',
              { count: valueState<number>('count') },
              {
                process({ key }, context) {
                  const count = context.state(this.count);
                  count.write((count.read() ?? 0) + 1);
                  context.output(`${key} ${context.window.start} ${count.read()}`);
                },
              },
            ),
          ),
      ).containsInAnyOrder(['a 0 1', 'a 0 2', 'b 0 1', 'a 10000 1']),
    'is apart for each transform': (root) => {
      const input = root.apply(create(PAIRS));
      const count = (name: string): PCollection<number> =>
        input.apply(
          stateful(
            name,
            { count: valueState<number>('count') },
            {
              process({ key }, context) {
                const state = context.state(this.count);
                state.write((state.read() ?? 0) + 1);
                if (key === 'a' && state.read() === 3) context.output(3);
              },
            },
          ),
        );
      assertThat(count('One'), 'one').containsInAnyOrder([3]);
      assertThat(count('Two'), 'two').containsInAnyOrder([3]);
    },
    'async process: one call a key at a time': (root) =>
      assertThat(
        root.apply(create(Array.from({ length: 20 }, () => pair('a', 1)))).apply(
          stateful(
            'Count',
            { count: valueState<number>('count') },
            {
              async process(_, context) {
                const before = context.state(this.count).read() ?? 0;
                await new Promise((resolve) => setTimeout(resolve, 1));
                context.state(this.count).write(before + 1);
                if (before + 1 === 20) context.output('twenty');
              },
            },
          ),
        ),
      ).containsInAnyOrder(['twenty']),
    'keys of objects': (root) =>
      assertThat(
        root
          .apply(create([1, 2, 3]))
          .apply(keyBy((n) => ({ odd: n % 2 === 1 })))
          .apply(
            parDo(
              {
                count: valueState<number>('count'),
                process({ key }: KV<{ odd: boolean }, number>, context: ProcessContext<unknown>) {
                  const count = context.state(this.count);
                  count.write((count.read() ?? 0) + 1);
                  if (key.odd && count.read() === 2) context.output(key);
                },
              } as DoFn<KV<{ odd: boolean }, number>, unknown> & { count: ReturnType<typeof valueState<number>> },
              { name: 'Count' },
            ),
          ),
      ).containsInAnyOrder([{ odd: true }]),
  }),
  ...cases('Event-time timers', {
    'fire at the end of the window': (root) =>
      assertThat(
        timedPairs(root)
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(
            stateful(
              'Flush',
              { sum: valueState<number>('sum'), flush: eventTimer('flush') },
              {
                process({ value }, context) {
                  const sum = context.state(this.sum);
                  sum.write((sum.read() ?? 0) + value);
                  context.timer(this.flush).set(context.window.maxTimestamp());
                },
                onTimer(_, context) {
                  context.output(`${context.key} ${context.window.start} ${context.state(this.sum).read()}`);
                },
              },
            ),
          ),
      ).containsInAnyOrder(['a 0 3', 'b 0 3', 'a 10000 4']),
    'output at their own time': (root) =>
      assertThat(
        timestamped(root, [[pair('a', 1), 1_000]])
          .apply(
            stateful(
              'Later',
              { later: eventTimer('later') },
              {
                process(_, context) {
                  context.timer(this.later).set(context.timestamp + 5_000);
                },
                onTimer(_, context) {
                  context.output('fired');
                },
              },
            ),
          )
          .apply(reify())
          .map(({ timestamp }) => timestamp),
      ).containsInAnyOrder([6_000]),
    'output timestamp': (root) =>
      assertThat(
        timestamped(root, [[pair('a', 1), 1_000]])
          .apply(
            stateful(
              'Held',
              { later: eventTimer('later') },
              {
                process(_, context) {
                  context.timer(this.later).set(context.timestamp + 5_000, { outputTimestamp: context.timestamp });
                },
                onTimer(_, context) {
                  context.output('fired');
                },
              },
            ),
          )
          .apply(reify())
          .map(({ timestamp }) => timestamp),
      ).containsInAnyOrder([1_000]),
    'set again moves': (root) =>
      assertThat(
        timestamped(root, [
          [pair('a', 1), 1_000],
          [pair('a', 2), 2_000],
        ]).apply(
          stateful(
            'Move',
            { later: eventTimer('later') },
            {
              process(_, context) {
                context.timer(this.later).set(50_000);
              },
              onTimer(_, context) {
                context.output('once');
              },
            },
          ),
        ),
      ).containsInAnyOrder(['once']),
    'cleared does not fire': (root) =>
      assertThat(
        timestamped(root, [[pair('a', 1), 1_000]]).apply(
          stateful(
            'Clear',
            { later: eventTimer('later'), other: eventTimer('other') },
            {
              process(_, context) {
                context.timer(this.later).set(5_000);
                context.timer(this.other).set(6_000);
                context.timer(this.later).clear();
              },
              onTimer(timer, context) {
                context.output(timer.id);
              },
            },
          ),
        ),
      ).containsInAnyOrder(['other']),
    'families: one timer a tag': (root) =>
      assertThat(
        timestamped(root, [[pair('a', 1), 1_000]]).apply(
          stateful(
            'Family',
            { family: eventTimer('family') },
            {
              process(_, context) {
                for (const tag of ['x', 'y', 'z']) context.timer(this.family).set(5_000, { tag });
                context.timer(this.family).clear('y');
              },
              onTimer(_, context) {
                context.output(context.timerTag);
              },
            },
          ),
        ),
      ).containsInAnyOrder(['x', 'z']),
    'a timer sets the next': (root) =>
      assertThat(
        timestamped(root, [[pair('a', 1), 1_000]]).apply(
          stateful(
            'Loop',
            { tick: eventTimer('tick'), ticks: valueState<number>('ticks') },
            {
              process(_, context) {
                context.timer(this.tick).set(context.timestamp + 1_000);
              },
              onTimer(_, context) {
                const ticks = (context.state(this.ticks).read() ?? 0) + 1;
                context.state(this.ticks).write(ticks);
                context.output(`tick ${ticks}`);
                if (ticks < 3) context.timer(this.tick).set(context.firedAt + 1_000);
              },
            },
          ),
        ),
      ).containsInAnyOrder(['tick 1', 'tick 2', 'tick 3']),
    'fire as the watermark passes': (root) =>
      assertThat(
        root
          .apply(
            testStream<Pair>()
              .add([pair('a', 1), 1_000])
              .advanceWatermarkTo(20_000)
              .add([pair('b', 2), 21_000])
              .toInfinity(),
          )
          .apply(
            stateful(
              'Sum',
              { sum: valueState<number>('sum'), flush: eventTimer('flush') },
              {
                process({ value }, context) {
                  const sum = context.state(this.sum);
                  sum.write((sum.read() ?? 0) + value);
                  context.timer(this.flush).set(context.timestamp + 10_000);
                },
                onTimer(_, context) {
                  context.output(context.state(this.sum).read() as number);
                },
              },
            ),
          ),
      ).containsInAnyOrder([1, 2]),
  }),
  ...cases('Processing-time timers', {
    'fire as a TestStream says': (root) =>
      assertThat(
        root
          .apply(
            testStream<Pair>()
              .add([pair('a', 7), 1_000])
              .advanceProcessingTime(30_000)
              .add([pair('a', 8), 2_000])
              .advanceProcessingTime(60_000)
              .toInfinity(),
          )
          .apply(
            stateful(
              'Delay',
              { sum: valueState<number>('sum'), late: processingTimer('late') },
              {
                process({ value }, context) {
                  const sum = context.state(this.sum);
                  sum.write((sum.read() ?? 0) + value);
                  context.timer(this.late).setAfter(20_000);
                },
                onTimer(_, context) {
                  context.output(context.state(this.sum).read() as number);
                },
              },
            ),
          ),
      ).containsInAnyOrder([7, 15]),
  }),
  ...cases('Processing-time timers of unbounded input', {
    'fire while their input continues': (root) =>
      assertThat(
        root
          .apply(read(7, new Counting(1, 1, { bounded: false, delayMs: 400 }), 'Count'))
          .map((value) => pair(`key ${value}`, value))
          .apply(
            stateful(
              'Delay',
              { last: valueState<number>('last'), late: processingTimer('late') },
              {
                process({ value }, context) {
                  context.state(this.last).write(value);
                  if (value < 3) context.timer(this.late).setAfter(30);
                },
                onTimer(_, context) {
                  context.output(context.state(this.last).read() as number);
                },
              },
            ),
          ),
      ).containsInAnyOrder([0, 1, 2]),
  }),
  ...cases('Processing-time timers after bounded input', {
    'fire after their delay': (root) =>
      assertThat(
        root.apply(create([pair('a', 7), pair('b', 8)])).apply(
          stateful(
            'Delay',
            { last: valueState<number>('last'), late: processingTimer('late') },
            {
              process({ value }, context) {
                context.state(this.last).write(value);
                context.timer(this.late).setAfter(50);
              },
              onTimer(_, context) {
                context.output(context.state(this.last).read() as number);
              },
            },
          ),
        ),
      ).containsInAnyOrder([7, 8]),
    'one sets the next': (root) =>
      assertThat(
        root.apply(create([pair('a', 1)])).apply(
          stateful(
            'Loop',
            { ticks: valueState<number>('ticks'), tick: processingTimer('tick') },
            {
              process(_, context) {
                context.timer(this.tick).setAfter(20);
              },
              onTimer(_, context) {
                const ticks = (context.state(this.ticks).read() ?? 0) + 1;
                context.state(this.ticks).write(ticks);
                context.output(`tick ${ticks}`);
                if (ticks < 3) context.timer(this.tick).setAfter(20);
              },
            },
          ),
        ),
      ).containsInAnyOrder(['tick 1', 'tick 2', 'tick 3']),
    'with an event-time timer beside them': (root) =>
      assertThat(
        timestamped(root, [[pair('a', 1), 1_000]]).apply(
          stateful(
            'Both',
            { soon: processingTimer('soon'), later: eventTimer('later') },
            {
              process(_, context) {
                context.timer(this.soon).setAfter(20);
                context.timer(this.later).set(5_000);
              },
              onTimer(timer, context) {
                context.output(timer.id);
              },
            },
          ),
        ),
      ).containsInAnyOrder(['soon', 'later']),
  }),
  ...cases('Window expiration', {
    'onWindowExpiration sees the state': (root) =>
      assertThat(
        timedPairs(root)
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(
            stateful(
              'Expire',
              { sum: valueState<number>('sum') },
              {
                process({ value }, context) {
                  const sum = context.state(this.sum);
                  sum.write((sum.read() ?? 0) + value);
                },
                onWindowExpiration(context) {
                  context.output(`${context.key} ${context.window.start} ${context.state(this.sum).read()}`);
                },
              },
            ),
          ),
      ).containsInAnyOrder(['a 0 3', 'b 0 3', 'a 10000 4']),
  }),
];
