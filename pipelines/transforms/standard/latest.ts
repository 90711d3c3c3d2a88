import type { CombineFn } from '#pipelines/engine/dofn';
import { combineGlobally, combinePerKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { keyedCoder, named, parDo } from '#pipelines/model/transforms';

interface Stamped<T> {
  readonly value: T;
  readonly at: number;
}

/** The value with the newest event time; of several the one that came first. */
const newest = <T>(): CombineFn<Stamped<T>, Stamped<T> | null, T | undefined> => ({
  identity: 'latest',
  createAccumulator: () => null,
  addInput: (held, input) => (held === null || input.at > held.at ? input : held),
  mergeAccumulators: (all) =>
    [...all].reduce((a, b) => (a === null || (b !== null && b.at > a.at) ? b : a), null as Stamped<T> | null),
  extractOutput: (held) => held?.value,
});

/** Keeps the newest value of each key and window, by event time (Beam's Latest.perKey). */
export const latestPerKey = <K, V>(name = 'LatestPerKey'): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, V>>> =>
  named(name, (input: PCollection<KV<K, V>>) =>
    input
      .apply(
        parDo<KV<K, V>, KV<K, Stamped<V>>>(
          {
            process: ({ key, value }, context) => context.output({ key, value: { value, at: context.timestamp } }),
          },
          { name: 'Stamp', coder: keyedCoder() },
        ),
      )
      .apply(combinePerKey(newest<V>(), { name: 'Newest' }))
      .map(({ key, value }) => ({ key, value: value as V })),
  );

/** Keeps the newest element of each window, by event time (Beam's Latest.globally); `undefined` of an empty collection in the global window. */
export const latestGlobally = <T>(name = 'LatestGlobally'): PTransform<PCollection<T>, PCollection<T | undefined>> =>
  named(name, (input: PCollection<T>) =>
    input
      .apply(
        parDo<T, Stamped<T>>(
          { process: (value, context) => context.output({ value, at: context.timestamp }) },
          { name: 'Stamp' },
        ),
      )
      .apply(combineGlobally(newest<T>(), { name: 'Newest' })),
  );
