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
import { checkDistinct } from '#pipelines/model/graph_rules';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import {
  componentsOf,
  expandWith,
  flatten,
  keyBy,
  keyedCoder,
  named,
  parDo,
  primitive,
} from '#pipelines/model/transforms';
import { strategyOf } from '#pipelines/model/windows/windowing';

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

/**
 * Keeps each different element of a window once, however often the window fires: with its first pane. Elements are compared by value, so they are what keys can be.
 *
 * @throws InvalidPipelineError for merging windows that fire more than once, as in Beam: an element could come again when its window has merged
 */
export const distinct = <T>(name = 'Distinct'): PTransform<PCollection<T>, PCollection<T>> =>
  primitive(name, (input: PCollection<T>, pipeline) => {
    checkDistinct(componentsOf(pipeline), name, input.getId());
    return input
      .apply(keyBy((element) => element, 'ElementAsKey'))
      .apply(
        combinePerKey<T, T, null, null>({
          createAccumulator: () => null,
          addInput: () => null,
          mergeAccumulators: () => null,
          extractOutput: () => null,
        }),
      )
      .apply(
        parDo<KV<T, null>, T>(
          {
            process({ key }, context) {
              if (context.pane.isFirst) context.output(key);
            },
          },
          { name: 'KeepFirstPane' },
        ),
      );
  });

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
    // It puts nothing out: what follows need not wait for it. With its window the state goes anyway.
    if (this.forget.domain === 'event') {
      const at = Math.min(context.timestamp + this.#durationMs, context.window.maxTimestamp());
      timer.set(at, { noOutputTimestamp: true });
    } else timer.setAfter(this.#durationMs, { noOutputTimestamp: true });
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
): PTransform<PCollection<T>, PCollection<T>> => {
  if (!(Number.isSafeInteger(durationMs) && durationMs > 0)) {
    throw new RangeError(`"${name}": durationMs is ${durationMs}: give whole milliseconds, more than 0`);
  }
  return named(name, (input: PCollection<T>) =>
    input
      .apply(keyBy(idOf, 'IdAsKey'))
      .apply(parDo(new DeduplicateFn<unknown, T>(durationMs, domain), { name: 'DropSeen' })),
  );
};

/** Holds the watermark at the oldest value of a batch until the batch is out, so that it is not late for what follows (Beam's GroupIntoBatches). */
class BatchFn<K, V> implements DoFn<KV<K, V>, KV<K, readonly V[]>> {
  readonly batch = bagState<V>('batch');
  readonly size = valueState<number>('size');
  /** Event time of the oldest value. */
  readonly oldest = valueState<number>('oldest');
  /** Processing time at which a batch goes out that is not full. */
  readonly due = valueState<number>('due');
  readonly flush = eventTimer('flush');
  readonly late = processingTimer('late');
  readonly #batchSize: number;
  readonly #maxDelayMs: number | undefined;
  readonly #allowedLatenessMs: number;

  constructor(batchSize: number, maxDelayMs: number | undefined, allowedLatenessMs: number) {
    this.#batchSize = batchSize;
    this.#maxDelayMs = maxDelayMs;
    this.#allowedLatenessMs = allowedLatenessMs;
  }

  process({ key, value }: KV<K, V>, context: ProcessContext<KV<K, readonly V[]>>): void {
    const size = (context.state(this.size).read() ?? 0) + 1;
    context.state(this.batch).add(value);
    context.state(this.size).write(size);
    if (size >= this.#batchSize) {
      this.#emit(key, context);
      return;
    }
    const oldest = context.state(this.oldest);
    const before = oldest.read();
    if (before !== undefined && before <= context.timestamp) return;
    oldest.write(context.timestamp);
    const held = { outputTimestamp: context.timestamp };
    context.timer(this.flush).set(context.window.maxTimestamp() + this.#allowedLatenessMs, held);
    if (this.#maxDelayMs === undefined) return;
    const due = context.state(this.due).read() ?? context.clock.now() + this.#maxDelayMs;
    context.state(this.due).write(due);
    context.timer(this.late).set(due, held);
  }

  onTimer(_: TimerSpec, context: OnTimerContext<KV<K, readonly V[]>, K>): void {
    this.#emit(context.key, context);
  }

  #emit(key: K, context: ProcessContext<KV<K, readonly V[]>>): void {
    const batch = [...context.state(this.batch).read()];
    if (batch.length > 0) context.output({ key, value: batch });
    for (const cell of [this.batch, this.size, this.oldest, this.due]) context.state<{ clear(): void }>(cell).clear();
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

/** Values of a key in batches of `batchSize`; what is left goes out when the window expires. */
export const groupIntoBatches = <K, V>({
  name = 'GroupIntoBatches',
  batchSize,
  maxDelayMs,
}: BatchSettings): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, readonly V[]>>> => {
  if (!(Number.isInteger(batchSize) && batchSize > 0))
    throw new RangeError(`batchSize must be at least 1, not ${batchSize}`);
  if (maxDelayMs !== undefined && !(maxDelayMs >= 0 && maxDelayMs < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`"${name}": maxDelayMs is ${maxDelayMs}: give milliseconds from 0 on`);
  }
  return primitive(name, (input, pipeline, proto) => {
    const allowedLatenessMs = Number(strategyOf(componentsOf(pipeline), input.getId()).allowedLateness);
    const batches = parDo(new BatchFn<K, V>(batchSize, maxDelayMs, allowedLatenessMs), { name, coder: keyedCoder() });
    return expandWith(batches, input, pipeline, proto);
  });
};
