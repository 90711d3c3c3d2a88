import {
  bagState,
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  processingTimer,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { flatten, keyBy, keyedCoder, named, parDo } from '#pipelines/model/transforms';

type Collections<K, Values extends Readonly<Record<string, unknown>>> = {
  readonly [Tag in keyof Values]: PCollection<KV<K, Values[Tag]>>;
};
/** For each tag, its values of one key. */
export type CoGrouped<Values extends Readonly<Record<string, unknown>>> = {
  readonly [Tag in keyof Values]: readonly Values[Tag][];
};

/** Joins keyed collections: for each key and window, the values of each. */
export function coGroupByKey<K, Values extends Readonly<Record<string, unknown>>>(
  collections: Collections<K, Values>,
  name = 'CoGroupByKey',
): PCollection<KV<K, CoGrouped<Values>>> {
  const tags = Object.keys(collections);
  const tagged = tags.map((tag) =>
    (collections[tag] as PCollection<KV<K, unknown>>).apply(
      parDo<KV<K, unknown>, KV<K, readonly [string, unknown]>>(
        { process: ({ key, value }, context) => context.output({ key, value: [tag, value] }) },
        { name: `${name} tag ${tag}`, coder: keyedCoder() },
      ),
    ),
  );
  return flatten(tagged, `${name} flatten`).apply(
    named(name, (all: PCollection<KV<K, readonly [string, unknown]>>) =>
      all.apply(groupByKey()).apply(
        parDo<KV<K, readonly (readonly [string, unknown])[]>, KV<K, CoGrouped<Values>>>(
          {
            process({ key, value }, context) {
              const groups = Object.fromEntries(tags.map((tag) => [tag, [] as unknown[]]));
              for (const [tag, item] of value) groups[tag]?.push(item);
              context.output({ key, value: groups as unknown as CoGrouped<Values> });
            },
          },
          { name: 'Untag', coder: keyedCoder() },
        ),
      ),
    ),
  );
}

/** Each different element of a window once. Elements are compared by value. */
export const distinct = <T>(name = 'Distinct'): PTransform<PCollection<T>, PCollection<T>> =>
  named(name, (input: PCollection<T>) =>
    input
      .apply(keyBy((element) => element, 'ElementAsKey'))
      .apply(
        combinePerKey<T, T, null, null>({
          createAccumulator: () => null,
          addInput: () => null,
          mergeAccumulators: () => null,
          extractOutput: () => null,
        }),
      )
      .apply(parDo<KV<T, null>, T>({ process: ({ key }, context) => context.output(key) }, { name: 'DropValue' })),
  );

class DeduplicateFn<K, V> implements DoFn<KV<K, V>, V> {
  readonly seen = valueState<boolean>('seen');
  readonly forget: TimerSpec;
  readonly #durationMs: number;

  constructor(durationMs: number, domain: 'event' | 'processing') {
    this.#durationMs = durationMs;
    this.forget = domain === 'event' ? eventTimer('forget') : processingTimer('forget');
  }

  process({ value }: KV<K, V>, context: ProcessContext<V>): void {
    const seen = context.state(this.seen);
    if (seen.read() === true) return;
    seen.write(true);
    const timer = context.timer(this.forget);
    if (this.forget.domain === 'event') timer.set(context.timestamp + this.#durationMs);
    else timer.setAfter(this.#durationMs);
    context.output(value);
  }

  onTimer(_: TimerSpec, context: OnTimerContext<V>): void {
    context.state(this.seen).clear();
  }
}

export interface DeduplicateSettings {
  readonly name?: string;
  /** How long a key is remembered after it was first seen. */
  readonly durationMs: number;
  readonly domain?: 'event' | 'processing';
}

/** Passes the first element of each id on, and drops others that come within the duration. */
export const deduplicate = <T>(
  idOf: (element: T) => unknown,
  { name = 'Deduplicate', durationMs, domain = 'processing' }: DeduplicateSettings,
): PTransform<PCollection<T>, PCollection<T>> =>
  named(name, (input: PCollection<T>) =>
    input
      .apply(keyBy(idOf, 'IdAsKey'))
      .apply(parDo(new DeduplicateFn<unknown, T>(durationMs, domain), { name: 'DropSeen' })),
  );

class BatchFn<K, V> implements DoFn<KV<K, V>, KV<K, readonly V[]>> {
  readonly batch = bagState<V>('batch');
  readonly size = valueState<number>('size');
  readonly flush = eventTimer('flush');
  readonly late = processingTimer('late');
  readonly #batchSize: number;
  readonly #maxDelayMs: number | undefined;

  constructor(batchSize: number, maxDelayMs: number | undefined) {
    this.#batchSize = batchSize;
    this.#maxDelayMs = maxDelayMs;
  }

  process({ key, value }: KV<K, V>, context: ProcessContext<KV<K, readonly V[]>>): void {
    const size = (context.state(this.size).read() ?? 0) + 1;
    context.state(this.batch).add(value);
    context.state(this.size).write(size);
    if (size === 1) {
      context.timer(this.flush).set(context.window.maxTimestamp());
      if (this.#maxDelayMs !== undefined) context.timer(this.late).setAfter(this.#maxDelayMs);
    }
    if (size >= this.#batchSize) this.#emit(key, context);
  }

  onTimer(_: TimerSpec, context: OnTimerContext<KV<K, readonly V[]>, K>): void {
    this.#emit(context.key, context);
  }

  #emit(key: K, context: ProcessContext<KV<K, readonly V[]>>): void {
    const batch = [...context.state(this.batch).read()];
    if (batch.length > 0) context.output({ key, value: batch });
    context.state(this.batch).clear();
    context.state(this.size).clear();
    context.timer(this.flush).clear();
    if (this.#maxDelayMs !== undefined) context.timer(this.late).clear();
  }
}

export interface BatchSettings {
  readonly name?: string;
  readonly batchSize: number;
  /** A batch that is not full goes out after this long; without it, at the end of its window. */
  readonly maxDelayMs?: number;
}

/** Values of a key in batches of `batchSize`; what is left goes out at the end of the window. */
export const groupIntoBatches = <K, V>({
  name = 'GroupIntoBatches',
  batchSize,
  maxDelayMs,
}: BatchSettings): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, readonly V[]>>> => {
  if (!(Number.isInteger(batchSize) && batchSize > 0))
    throw new RangeError(`batchSize must be at least 1, not ${batchSize}`);
  return parDo(new BatchFn<K, V>(batchSize, maxDelayMs), { name, coder: keyedCoder() });
};
