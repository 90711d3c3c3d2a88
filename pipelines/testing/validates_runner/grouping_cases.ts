import { combineGlobally, combinePerKey, groupByKey, reshuffle, reshufflePerKey } from '#pipelines/model/grouping';
import type { KV, PCollection } from '#pipelines/model/pcollection';
import { create, keyBy, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { assertThat } from '#pipelines/testing/assert';
import { count, max, mean, min, sum, toList, top } from '#pipelines/transforms/standard/combiners';
import { coGroupByKey, deduplicate, distinct, groupIntoBatches } from '#pipelines/transforms/standard/grouping';
import { approximateQuantiles } from '#pipelines/transforms/standard/quantiles';
import { reify } from '#pipelines/transforms/standard/reify';
import { cases, timestamped } from './runner_case.ts';

const pairs: readonly KV<string, number>[] = [
  { key: 'a', value: 1 },
  { key: 'b', value: 2 },
  { key: 'a', value: 3 },
  { key: 'c', value: 4 },
  { key: 'b', value: 5 },
];
const sorted = <K>(groups: PCollection<KV<K, readonly number[]>>): PCollection<KV<K, readonly number[]>> =>
  groups.map(({ key, value }) => ({ key, value: [...value].sort((x, y) => x - y) }));

export const groupingCases = [
  ...cases('GroupByKey', {
    'string keys': (root) =>
      assertThat(sorted(root.apply(create(pairs)).apply(groupByKey()))).containsInAnyOrder([
        { key: 'a', value: [1, 3] },
        { key: 'b', value: [2, 5] },
        { key: 'c', value: [4] },
      ]),
    'number keys, equal whatever their representation': (root) =>
      assertThat(
        sorted(
          root
            .apply(create([1, 1.5, 2.5, 3]))
            .map((n) => ({ key: n - (n % 1), value: n }))
            .apply(groupByKey()),
        ),
      ).containsInAnyOrder([
        { key: 1, value: [1, 1.5] },
        { key: 2, value: [2.5] },
        { key: 3, value: [3] },
      ]),
    'object keys, whatever the order of their fields': (root) =>
      assertThat(
        sorted(
          root
            .apply(
              create<KV<object, number>>([
                { key: { x: 1, y: 'p' }, value: 1 },
                { key: { y: 'p', x: 1 }, value: 2 },
              ]),
            )
            .apply(groupByKey()),
        ),
      ).containsInAnyOrder([{ key: { x: 1, y: 'p' }, value: [1, 2] }]),
    'null, boolean and unicode keys': (root) =>
      assertThat(
        sorted(
          root
            .apply(
              create<KV<unknown, number>>([
                { key: null, value: 1 },
                { key: true, value: 2 },
                { key: 'ключ 🔑', value: 3 },
                { key: null, value: 4 },
              ]),
            )
            .apply(groupByKey()),
        ),
      ).containsInAnyOrder([
        { key: null, value: [1, 4] },
        { key: true, value: [2] },
        { key: 'ключ 🔑', value: [3] },
      ]),
    'of nothing': (root) => assertThat(root.apply(create<KV<string, number>>([])).apply(groupByKey())).isEmpty(),
    'ten thousand values of one key': (root) =>
      assertThat(
        root
          .apply(create([0]))
          .flatMap(() => Array.from({ length: 10_000 }, (_, index) => index))
          .apply(keyBy(() => 'k'))
          .apply(groupByKey())
          .map(({ value }) => [value.length, value.reduce((a, b) => a + b, 0)]),
      ).containsInAnyOrder([[10_000, 49_995_000]]),
    'two in a row': (root) =>
      assertThat(
        sorted(
          root
            .apply(create(pairs))
            .apply(groupByKey('First'))
            .map(({ key, value }) => ({ key: value.length, value: key.charCodeAt(0) }))
            .apply(groupByKey('Second')),
        ),
      ).containsInAnyOrder([
        { key: 2, value: [97, 98] },
        { key: 1, value: [99] },
      ]),
  }),
  ...cases('Combine', {
    'per key: sum': (root) =>
      assertThat(root.apply(create(pairs)).apply(combinePerKey(sum()))).containsInAnyOrder([
        { key: 'a', value: 4 },
        { key: 'b', value: 7 },
        { key: 'c', value: 4 },
      ]),
    'per key: mean, an accumulator of another type': (root) =>
      assertThat(root.apply(create(pairs)).apply(combinePerKey(mean()))).containsInAnyOrder([
        { key: 'a', value: 2 },
        { key: 'b', value: 3.5 },
        { key: 'c', value: 4 },
      ]),
    'per key with hot-key fan-out': (root) =>
      assertThat(
        root
          .apply(create(Array.from({ length: 1_000 }, (_, index) => ({ key: index % 3, value: index }))))
          .apply(combinePerKey(sum(), { hotKeyFanout: 4 })),
      ).containsInAnyOrder([
        { key: 0, value: 166_833 },
        { key: 1, value: 166_167 },
        { key: 2, value: 166_500 },
      ]),
    globally: (root) => assertThat(root.apply(create([1, 2, 3])).apply(combineGlobally(sum()))).containsInAnyOrder([6]),
    'globally of nothing gives the default': (root) =>
      assertThat(root.apply(create<number>([])).apply(combineGlobally(sum()))).containsInAnyOrder([0]),
    'globally in windows': (root) =>
      assertThat(
        timestamped(root, [
          [1, 1_000],
          [2, 2_000],
          [3, 11_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(combineGlobally(sum())),
      ).containsInAnyOrder([3, 3]),
    count: (root) =>
      assertThat(root.apply(create(pairs)).apply(combinePerKey(count()))).containsInAnyOrder([
        { key: 'a', value: 2 },
        { key: 'b', value: 2 },
        { key: 'c', value: 1 },
      ]),
    'min and max': (root) => {
      const numbers = root.apply(create([3, -1, 7]));
      assertThat(numbers.apply(combineGlobally(min(), { name: 'Min' })), 'min').containsInAnyOrder([-1]);
      assertThat(numbers.apply(combineGlobally(max(), { name: 'Max' })), 'max').containsInAnyOrder([7]);
    },
    'to a list': (root) =>
      assertThat(
        root
          .apply(create([3, 1, 2]))
          .apply(combineGlobally(toList<number>()))
          .map((all) => [...all].sort()),
      ).containsInAnyOrder([[1, 2, 3]]),
    'top 2': (root) =>
      assertThat(
        root.apply(create([5, 9, 1, 7])).apply(combineGlobally(top<number>(2, (a, b) => b - a))),
      ).containsInAnyOrder([[9, 7]]),
    'top per key': (root) =>
      assertThat(root.apply(create(pairs)).apply(combinePerKey(top<number>(1, (a, b) => b - a)))).containsInAnyOrder([
        { key: 'a', value: [3] },
        { key: 'b', value: [5] },
        { key: 'c', value: [4] },
      ]),
    'quantiles within 1 %': (root) =>
      assertThat(
        root
          .apply(create([0]))
          .flatMap(() => Array.from({ length: 1_001 }, (_, index) => index))
          .apply(combineGlobally(approximateQuantiles([0, 0.5, 0.99, 1])))
          .map(([low, median, p99, high]) => [
            low,
            Math.abs((median as number) - 500) <= 5,
            Math.abs((p99 as number) - 990) <= 10,
            high,
          ]),
      ).containsInAnyOrder([[0, true, true, 1_000]]),
  }),
  ...cases('CoGroupByKey', {
    'two collections': (root) => {
      const ages = root.apply(create([{ key: 'ann', value: 30 }], 'Ages'));
      const mails = root.apply(
        create(
          [
            { key: 'ann', value: 'a@x' },
            { key: 'bob', value: 'b@x' },
          ],
          'Mails',
        ),
      );
      assertThat(coGroupByKey<string, { age: number; mail: string }>({ age: ages, mail: mails })).containsInAnyOrder([
        { key: 'ann', value: { age: [30], mail: ['a@x'] } },
        { key: 'bob', value: { age: [], mail: ['b@x'] } },
      ]);
    },
    'three collections in windows': (root) => {
      const at = (name: string, elements: readonly (readonly [number, number])[]): PCollection<KV<string, number>> =>
        timestamped(root, elements, name)
          .map((value) => ({ key: 'k', value }))
          .apply(windowInto({ windowFn: fixedWindows(10) }, `${name} windows`));
      const joined = coGroupByKey<string, { x: number; y: number; z: number }>({
        x: at('X', [[1, 1_000]]),
        y: at('Y', [[2, 2_000]]),
        z: at('Z', [[3, 12_000]]),
      });
      assertThat(joined).containsInAnyOrder([
        { key: 'k', value: { x: [1], y: [2], z: [] } },
        { key: 'k', value: { x: [], y: [], z: [3] } },
      ]);
    },
  }),
  ...cases('Reshuffle', {
    'keeps every element': (root) =>
      assertThat(root.apply(create([1, 2, 2, 3])).apply(reshuffle())).containsInAnyOrder([1, 2, 2, 3]),
    'keeps times and windows': (root) =>
      assertThat(
        timestamped(root, [
          ['a', 1_000],
          ['b', 12_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(reshuffle())
          .apply(reify())
          .map(({ value, timestamp, window }) => [value, timestamp, window[0]]),
      ).containsInAnyOrder([
        ['a', 1_000, 0],
        ['b', 12_000, 10_000],
      ]),
    'per key': (root) => assertThat(root.apply(create(pairs)).apply(reshufflePerKey())).containsInAnyOrder([...pairs]),
    'then grouped in its windows': (root) =>
      assertThat(
        sorted(
          timestamped(root, [
            [1, 1_000],
            [2, 2_000],
            [3, 12_000],
          ])
            .apply(windowInto({ windowFn: fixedWindows(10) }))
            .apply(reshuffle())
            .apply(keyBy(() => 'k'))
            .apply(groupByKey()),
        ),
      ).containsInAnyOrder([
        { key: 'k', value: [1, 2] },
        { key: 'k', value: [3] },
      ]),
  }),
  ...cases('Distinct, Deduplicate, GroupIntoBatches', {
    distinct: (root) => assertThat(root.apply(create([1, 2, 1, 3, 2])).apply(distinct())).containsInAnyOrder([1, 2, 3]),
    'distinct objects': (root) =>
      assertThat(
        root
          .apply(
            create([
              { a: 1, b: 2 },
              { b: 2, a: 1 },
              { a: 2, b: 2 },
            ]),
          )
          .apply(distinct()),
      ).containsInAnyOrder([
        { a: 1, b: 2 },
        { a: 2, b: 2 },
      ]),
    'distinct in each window': (root) =>
      assertThat(
        timestamped(root, [
          ['a', 1_000],
          ['a', 2_000],
          ['a', 12_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(distinct()),
      ).containsInAnyOrder(['a', 'a']),
    'deduplicate in event time': (root) =>
      assertThat(
        timestamped(root, [['x1', 1_000]])
          .flatMap((id) => [id, id, 'x2'])
          .apply(deduplicate((id) => id, { durationMs: 60_000, domain: 'event' })),
      ).containsInAnyOrder(['x1', 'x2']),
    'batches of 3 and a rest': (root) =>
      assertThat(
        root
          .apply(create(Array.from({ length: 8 }, (_, index) => ({ key: 'k', value: index }))))
          .apply(groupIntoBatches({ batchSize: 3 }))
          .map(({ value }) => value.length),
      ).containsInAnyOrder([3, 3, 2]),
    'batches do not cross keys': (root) =>
      assertThat(
        root
          .apply(create(pairs))
          .apply(groupIntoBatches({ batchSize: 2 }))
          .map(({ key, value }) => [key, value.length]),
      ).containsInAnyOrder([
        ['a', 2],
        ['b', 2],
        ['c', 1],
      ]),
    'batches do not cross windows': (root) =>
      assertThat(
        timestamped(root, [
          [1, 1_000],
          [2, 12_000],
        ])
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(keyBy(() => 'k'))
          .apply(groupIntoBatches({ batchSize: 2 }))
          .map(({ value }) => value.length),
      ).containsInAnyOrder([1, 1]),
  }),
];
