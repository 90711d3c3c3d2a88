import type { ProcessContext } from '#pipelines/engine/dofn';
import { combineGlobally } from '#pipelines/model/grouping';
import { asIterable, asList, asMap, asMultimap, asSingleton } from '#pipelines/model/side_inputs';
import { create, parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows, globalWindows, slidingWindows } from '#pipelines/model/windows/windowing';
import { assertThat } from '#pipelines/testing/assert';
import { sum } from '#pipelines/transforms/standard/combiners';
import { cases, timestamped } from './runner_case.ts';

const RATES = [
  { key: 'eur', value: 2 },
  { key: 'usd', value: 3 },
];

export const sideInputCases = [
  ...cases('Side inputs', {
    singleton: (root) => {
      const factor = asSingleton(root.apply(create([10], 'Factor')));
      assertThat(
        root
          .apply(create([1, 2]))
          .apply(
            parDo<number, number>(
              { process: (n, context) => context.output(n * context.sideInput(factor)) },
              { name: 'Multiply', sideInputs: { factor } },
            ),
          ),
      ).containsInAnyOrder([10, 20]);
    },
    'singleton with a default': (root) => {
      const factor = asSingleton(root.apply(create<number>([], 'None')), 7);
      assertThat(
        root
          .apply(create([1]))
          .apply(
            parDo<number, number>(
              { process: (n, context) => context.output(n * context.sideInput(factor)) },
              { name: 'Multiply', sideInputs: { factor } },
            ),
          ),
      ).containsInAnyOrder([7]);
    },
    'a singleton that is not single fails with its name': {
      build: (root) => {
        const factor = asSingleton(root.apply(create([1, 2], 'Two')));
        root
          .apply(create([1]))
          .apply(
            parDo<number, number>(
              { process: (n, context) => context.output(n * context.sideInput(factor)) },
              { name: 'Multiply', sideInputs: { factor } },
            ),
          );
      },
      failsWith: /Multiply.*singleton.*2 elements/s,
    },
    iterable: (root) => {
      const all = asIterable(root.apply(create([1, 2, 3], 'All')));
      assertThat(
        root.apply(create([0])).apply(
          parDo<number, number>(
            {
              process(_, context) {
                let total = 0;
                for (const n of context.sideInput(all)) total += n;
                context.output(total);
              },
            },
            { name: 'Sum', sideInputs: { all } },
          ),
        ),
      ).containsInAnyOrder([6]);
    },
    list: (root) => {
      const all = asList(root.apply(create(['x', 'y'], 'All')));
      assertThat(
        root
          .apply(create([0]))
          .apply(
            parDo<number, number>(
              { process: (_, context) => context.output(context.sideInput(all).length) },
              { name: 'Length', sideInputs: { all } },
            ),
          ),
      ).containsInAnyOrder([2]);
    },
    'empty iterable': (root) => {
      const none = asIterable(root.apply(create<number>([], 'None')));
      assertThat(
        root
          .apply(create([0]))
          .apply(
            parDo<number, number>(
              { process: (_, context) => context.output([...context.sideInput(none)].length) },
              { name: 'Length', sideInputs: { none } },
            ),
          ),
      ).containsInAnyOrder([0]);
    },
    map: (root) => {
      const rates = asMap(root.apply(create(RATES, 'Rates')));
      assertThat(
        root
          .apply(create(['eur', 'gbp']))
          .apply(
            parDo<string, string>(
              { process: (code, context) => context.output(`${code} ${context.sideInput(rates).get(code)}`) },
              { name: 'Rate', sideInputs: { rates } },
            ),
          ),
      ).containsInAnyOrder(['eur 2', 'gbp undefined']);
    },
    multimap: (root) => {
      const rates = asMultimap(root.apply(create([...RATES, { key: 'eur', value: 5 }], 'Rates')));
      assertThat(
        root.apply(create(['eur', 'usd'])).apply(
          parDo<string, readonly number[]>(
            {
              process: (code, context) =>
                context.output([...(context.sideInput(rates).get(code) ?? [])].sort((a, b) => a - b)),
            },
            { name: 'Rates', sideInputs: { rates } },
          ),
        ),
      ).containsInAnyOrder([[2, 5], [3]]);
    },
    'two at once': (root) => {
      const factor = asSingleton(root.apply(create([10], 'Factor')));
      const terms = asList(root.apply(create([1, 2], 'Terms')));
      assertThat(
        root.apply(create([1])).apply(
          parDo<number, number>(
            {
              process: (n, context) =>
                context.output(n * context.sideInput(factor) + context.sideInput(terms).reduce((a, b) => a + b, 0)),
            },
            { name: 'Both', sideInputs: { factor, terms } },
          ),
        ),
      ).containsInAnyOrder([13]);
    },
    'of a combined collection': (root) => {
      const numbers = root.apply(create([1, 2, 3]));
      const total = asSingleton(numbers.apply(combineGlobally(sum())));
      assertThat(
        numbers.apply(
          parDo<number, number>(
            { process: (n, context) => context.output(n / context.sideInput(total)) },
            { name: 'Share', sideInputs: { total } },
          ),
        ),
      ).containsInAnyOrder([1 / 6, 2 / 6, 3 / 6]);
    },
    'in finishBundle’s elder sibling: read from an async process': (root) => {
      const factor = asSingleton(root.apply(create([10], 'Factor')));
      assertThat(
        root.apply(create([1, 2])).apply(
          parDo<number, number>(
            {
              async process(n, context) {
                await new Promise((resolve) => setTimeout(resolve, 1));
                context.output(n * context.sideInput(factor));
              },
            },
            { name: 'Multiply', sideInputs: { factor } },
          ),
        ),
      ).containsInAnyOrder([10, 20]);
    },
  }),
  ...cases('Windowed side inputs', {
    'the same windows': (root) => {
      const rates = asSingleton(
        timestamped(
          root,
          [
            [2, 1_000],
            [3, 11_000],
          ],
          'Rates',
        ).apply(windowInto({ windowFn: fixedWindows(10) }, 'Rate windows')),
      );
      assertThat(
        timestamped(root, [
          [1, 5_000],
          [1, 15_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(
            parDo<number, number>(
              { process: (n, context) => context.output(n * context.sideInput(rates)) },
              { name: 'Multiply', sideInputs: { rates } },
            ),
          ),
      ).containsInAnyOrder([2, 3]);
    },
    'larger windows': (root) => {
      const rates = asIterable(
        timestamped(
          root,
          [
            [2, 1_000],
            [3, 25_000],
          ],
          'Rates',
        ).apply(windowInto({ windowFn: fixedWindows(20) }, 'Rate windows')),
      );
      assertThat(
        timestamped(root, [
          ['x', 12_000],
          ['y', 35_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(parDo({ process: collect(rates) }, { name: 'Collect', sideInputs: { rates } })),
      ).containsInAnyOrder(['x 2', 'y 3']);
    },
    'one global window': (root) => {
      const rates = asIterable(
        timestamped(root, [[9, 99_000]], 'Rates').apply(windowInto({ windowFn: globalWindows() }, 'Rate windows')),
      );
      assertThat(
        timestamped(root, [['x', 12_000]])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(parDo({ process: collect(rates) }, { name: 'Collect', sideInputs: { rates } })),
      ).containsInAnyOrder(['x 9']);
    },
    'sliding windows: the one that ends first': (root) => {
      const rates = asIterable(
        timestamped(
          root,
          [
            [1, 1_000],
            [2, 12_000],
          ],
          'Rates',
        ).apply(windowInto({ windowFn: slidingWindows(20, 10) }, 'Rate windows')),
      );
      assertThat(
        timestamped(root, [['x', 15_000]])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(parDo({ process: collect(rates) }, { name: 'Collect', sideInputs: { rates } })),
      ).containsInAnyOrder(['x 1,2']);
    },
  }),
];

function collect(
  rates: ReturnType<typeof asIterable<number>>,
): (name: string, context: ProcessContext<string>) => void {
  return (name, context) => {
    const all = [...context.sideInput(rates)].sort((a, b) => a - b);
    context.output(`${name} ${all.join()}`);
  };
}
