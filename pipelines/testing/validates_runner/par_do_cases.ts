import {
  type DoFn,
  type FinishBundleContext,
  type OutputContext,
  outputTag,
  type ProcessContext,
} from '#pipelines/engine/dofn';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';
import { KvCoder, StringUtf8Coder, VarIntCoder } from '#pipelines/model/coders/standard_coders';
import { combinePerKey, reshuffle } from '#pipelines/model/grouping';
import type { KV } from '#pipelines/model/pcollection';
import { rowCoder } from '#pipelines/model/schema';
import { create, filter, flatten, named, parDo, parDoTagged, withTimestamps } from '#pipelines/model/transforms';
import { assertThat } from '#pipelines/testing/assert';
import { sum } from '#pipelines/transforms/standard/combiners';
import { parDoWithDeadLetters } from '#pipelines/transforms/standard/error_handling';
import { reify } from '#pipelines/transforms/standard/reify';
import { cases, timestamped } from './runner_case.ts';

const EVEN = outputTag<number>('even');
const BIG = outputTag<number>('big');
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class CountingBundles implements DoFn<number, string> {
  #inBundle = 0;
  startBundle(): void {
    this.#inBundle = 0;
  }
  process(): void {
    this.#inBundle += 1;
  }
  finishBundle(context: FinishBundleContext<string>): void {
    for (; this.#inBundle > 0; this.#inBundle -= 1) context.outputInWindow('seen', 0 as never, GLOBAL_WINDOW);
  }
}

class AsyncBundle implements DoFn<number, string> {
  #ready = false;
  async startBundle(): Promise<void> {
    await pause(1);
    this.#ready = true;
  }
  process(element: number, context: ProcessContext<string>): void {
    context.output(`${element} ${this.#ready}`);
  }
  async finishBundle(): Promise<void> {
    await pause(1);
    this.#ready = false;
  }
}

class SetUp implements DoFn<number, string> {
  #state = 'new';
  async setup(): Promise<void> {
    await pause(1);
    this.#state = 'set up';
  }
  startBundle(_: OutputContext<string>): void {}
  process(_: number, context: ProcessContext<string>): void {
    context.output(this.#state);
  }
  teardown(): void {
    this.#state = 'torn down';
  }
}

/** Type and content; by tag, since a test's classes may be of another realm than the runner's. */
function describe(value: unknown): string {
  switch (Object.prototype.toString.call(value)) {
    case '[object Date]':
      return `date ${(value as Date).getTime()}`;
    case '[object Map]':
      return `map ${(value as ReadonlyMap<string, number>).get('k')}`;
    case '[object Uint8Array]':
      return `bytes ${(value as Uint8Array).join()}`;
    case '[object BigInt]':
      return `bigint ${value}`;
    default:
      return `negative zero ${Object.is(value, -0)}`;
  }
}

export const parDoCases = [
  ...cases('Create, Impulse, ParDo', {
    'create numbers': (root) => assertThat(root.apply(create([1, 2, 3]))).containsInAnyOrder([1, 2, 3]),
    'create nothing': (root) => assertThat(root.apply(create<number>([]))).isEmpty(),
    'create objects': (root) =>
      assertThat(
        root.apply(
          create([
            { a: 1, b: [true, null] },
            { a: 2, b: ['x'] },
          ]),
        ),
      ).containsInAnyOrder([
        { a: 2, b: ['x'] },
        { a: 1, b: [true, null] },
      ]),
    'map and flatMap': (root) =>
      assertThat(
        root
          .apply(create(['a b', 'c']))
          .flatMap((line) => line.split(' '))
          .map((word) => word.toUpperCase()),
      ).containsInAnyOrder(['A', 'B', 'C']),
    filter: (root) =>
      assertThat(root.apply(create([1, 2, 3, 4])).apply(filter((n) => n % 2 === 0))).containsInAnyOrder([2, 4]),
    'no output, one, many': (root) =>
      assertThat(
        root.apply(create([0, 1, 3])).apply(
          parDo<number, number>(
            {
              process(n, context) {
                for (let i = 0; i < n; i += 1) context.output(n);
              },
            },
            { name: 'Repeat' },
          ),
        ),
      ).containsInAnyOrder([1, 3, 3, 3]),
    'composites nest': (root) =>
      assertThat(
        root
          .apply(create([1]))
          .apply(named('Outer', (c) => c.apply(named('Inner', (d) => d.map((n) => n + 1))).map((n) => n * 2))),
      ).containsInAnyOrder([4]),
    'chain of 30 maps': (root) => {
      let numbers = root.apply(create([0, 100]));
      for (let step = 0; step < 30; step += 1) {
        numbers = numbers.apply(
          parDo<number, number>({ process: (n, context) => context.output(n + 1) }, { name: `Step ${step}` }),
        );
      }
      assertThat(numbers).containsInAnyOrder([30, 130]);
    },
    'values keep their types': (root) =>
      assertThat(
        root
          .apply(create([new Date(5), new Map([['k', 1]]), new Uint8Array([1, 2]), 12n ** 20n, -0]))
          .map((value) => describe(value)),
      ).containsInAnyOrder(['date 5', 'map 1', 'bytes 1,2', `bigint ${12n ** 20n}`, 'negative zero true']),
  }),
  ...cases('ParDo lifecycle', {
    'startBundle and finishBundle see every element': (root) =>
      assertThat(
        root.apply(create([1, 2, 3])).apply(parDo(new CountingBundles(), { name: 'CountBundles' })),
      ).containsInAnyOrder(['seen', 'seen', 'seen']),
    'async startBundle comes before the first element': (root) =>
      assertThat(
        root.apply(create([1, 2])).apply(parDo(new AsyncBundle(), { name: 'AsyncBundle' })),
      ).containsInAnyOrder(['1 true', '2 true']),
    'setup comes before, teardown after': (root) =>
      assertThat(root.apply(create([1])).apply(parDo(new SetUp(), { name: 'SetUp' }))).containsInAnyOrder(['set up']),
    'async process': (root) =>
      assertThat(
        root.apply(create([3, 1, 2])).apply(
          parDo<number, number>(
            {
              async process(n, context) {
                await pause(n);
                context.output(n * 10);
              },
            },
            { name: 'Slow' },
          ),
        ),
      ).containsInAnyOrder([10, 20, 30]),
    'async process keeps its element’s time': (root) =>
      assertThat(
        timestamped(root, [
          ['a', 1_000],
          ['b', 2_000],
        ])
          .apply(
            parDo<string, string>(
              {
                async process(value, context) {
                  await pause(value === 'a' ? 5 : 1);
                  context.output(value);
                },
              },
              { name: 'Slow' },
            ),
          )
          .apply(reify())
          .map(({ value, timestamp }) => [value, timestamp]),
      ).containsInAnyOrder([
        ['a', 1_000],
        ['b', 2_000],
      ]),
  }),
  ...cases('Outputs', {
    'tagged outputs': (root) => {
      const { main, even, big } = root.apply(create([1, 2, 30])).apply(
        parDoTagged<number, number, { even: typeof EVEN; big: typeof BIG }>(
          {
            process(n, context) {
              if (n % 2 === 0) context.outputTo(EVEN, n);
              if (n > 10) context.outputTo(BIG, n);
              if (n < 10) context.output(n);
            },
          },
          { even: EVEN, big: BIG },
          { name: 'Split' },
        ),
      );
      assertThat(main, 'main').containsInAnyOrder([1, 2]);
      assertThat(even, 'even').containsInAnyOrder([2, 30]);
      assertThat(big, 'big').containsInAnyOrder([30]);
    },
    'a tagged output that no transform reads': (root) => {
      const { main } = root.apply(create([1, 2])).apply(
        parDoTagged<number, number, { even: typeof EVEN }>(
          {
            process(n, context) {
              context.outputTo(EVEN, n);
              context.output(n);
            },
          },
          { even: EVEN },
          { name: 'Split' },
        ),
      );
      assertThat(main).containsInAnyOrder([1, 2]);
    },
    'one collection, two readers': (root) => {
      const numbers = root.apply(create([1, 2]));
      assertThat(
        numbers.map((n) => n + 1),
        'plus one',
      ).containsInAnyOrder([2, 3]);
      assertThat(
        numbers.map((n) => n * 10),
        'times ten',
      ).containsInAnyOrder([10, 20]);
    },
    'output at another time': (root) =>
      assertThat(
        timestamped(root, [['a', 1_000]])
          .apply(
            parDo<string, string>(
              { process: (value, context) => context.output(value, (context.timestamp + 500) as never) },
              { name: 'Shift' },
            ),
          )
          .apply(reify())
          .map(({ timestamp }) => timestamp),
      ).containsInAnyOrder([1_500]),
    'dead letters hold the element and the reason': (root) => {
      const { main, failed } = root.apply(create([1, 0, 2])).apply(
        parDoWithDeadLetters<number, number>(
          {
            process(n, context) {
              context.output(-1);
              if (n === 0) throw new Error('zero');
              context.output(10 / n);
            },
          },
          { name: 'Divide', attempts: 2, firstDelayMs: 1 },
        ),
      );
      assertThat(main, 'main').containsInAnyOrder([-1, 10, -1, 5]);
      assertThat(failed, 'failed').containsInAnyOrder([{ element: 0, error: 'zero', attempts: 2 }]);
    },
    'a DoFn that throws fails the job': {
      build: (root) =>
        void root.apply(create([1])).apply(
          parDo(
            {
              process() {
                throw new Error('this element is bad');
              },
            },
            { name: 'Bad' },
          ),
        ),
      failsWith: /Bad.*this element is bad/s,
    },
    'an assertion that does not hold fails the job': {
      build: (root) => assertThat(root.apply(create([1])), 'Holds').containsInAnyOrder([2]),
      failsWith: /Holds.*missing \[2\]/s,
    },
  }),
  ...cases('Flatten', {
    'of three': (root) =>
      assertThat(
        flatten([root.apply(create([1], 'A')), root.apply(create([2], 'B')), root.apply(create([3, 4], 'C'))]),
      ).containsInAnyOrder([1, 2, 3, 4]),
    'with an empty one': (root) =>
      assertThat(flatten([root.apply(create([1], 'A')), root.apply(create<number>([], 'B'))])).containsInAnyOrder([1]),
    'of one with itself': (root) => {
      const numbers = root.apply(create([1, 2]));
      assertThat(flatten([numbers.map((n) => n), numbers.apply(filter(() => true))])).containsInAnyOrder([1, 1, 2, 2]);
    },
    'keeps times': (root) =>
      assertThat(
        flatten([timestamped(root, [['a', 1_000]], 'A'), timestamped(root, [['b', 2_000]], 'B')])
          .apply(reify())
          .map(({ timestamp }) => timestamp),
      ).containsInAnyOrder([1_000, 2_000]),
  }),
  ...cases('Coders', {
    'rows with a schema': (root) => {
      const coder = rowCoder({ user: 'string', amount: 'double', 'note?': 'string', tags: { array: 'string' } });
      const rows = root
        .apply(create([0]))
        .apply(
          parDo<number, object>(
            {
              process(_, context) {
                context.output({ user: 'ann', amount: 1.5, note: null, tags: ['x', 'y'] });
                context.output({ user: 'bob', amount: 2, note: 'hi', tags: [] });
              },
            },
            { name: 'Rows', coder },
          ),
        )
        .apply(reshuffle());
      assertThat(rows).containsInAnyOrder([
        { user: 'ann', amount: 1.5, note: null, tags: ['x', 'y'] },
        { user: 'bob', amount: 2, note: 'hi', tags: [] },
      ]);
    },
    'text, numbers, keyed text': (root) =>
      assertThat(
        root
          .apply(create(['b', 'a', 'b']))
          .apply(
            parDo<string, KV<string, number>>(
              { process: (text, context) => context.output({ key: text, value: text.charCodeAt(0) }) },
              { name: 'Pairs', coder: new KvCoder(new StringUtf8Coder(), new VarIntCoder()) },
            ),
          )
          .apply(combinePerKey(sum())),
      ).containsInAnyOrder([
        { key: 'a', value: 97 },
        { key: 'b', value: 196 },
      ]),
  }),
  ...cases('Timestamps', {
    'created elements are at the beginning of time': (root) =>
      assertThat(
        root
          .apply(create(['a']))
          .apply(reify())
          .map(({ timestamp }) => timestamp < -1e15),
      ).containsInAnyOrder([true]),
    WithTimestamps: (root) =>
      assertThat(
        root
          .apply(create([5, 6]))
          .apply(withTimestamps((n) => n * 1_000))
          .apply(reify())
          .map(({ value, timestamp }) => [value, timestamp]),
      ).containsInAnyOrder([
        [5, 5_000],
        [6, 6_000],
      ]),
    'before 1970': (root) =>
      assertThat(
        timestamped(root, [['a', -123_456]])
          .apply(reify())
          .map(({ timestamp }) => timestamp),
      ).containsInAnyOrder([-123_456]),
  }),
];
