import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { callsOf } from '#pipelines/engine/combine_calls';
import { combineIdentityOf } from '#pipelines/engine/combine_identity';
import type { BoundedWindow, CombineFn, DoFn, FinishBundleContext, ProcessContext } from '#pipelines/engine/dofn';
import type { Window } from '#pipelines/engine/windowing/window';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import type { BeamPipeline, ComponentsProto, PTransformProto } from './beam_pipeline.ts';
import type { AnyCoder } from './coders/coder.ts';
import { IterableCoder, KvCoder } from './coders/standard_coders.ts';
import { KeyCoder, ValueCoder } from './coders/value_coder.ts';
import { registerFunction } from './function_table.ts';
import { checkGrouping, checkKeys } from './graph_rules.ts';
import type { KV, PCollection, PipelineRoot, PTransform } from './pcollection.ts';
import {
  Collection,
  coderId,
  coderIdOf,
  collectionProto,
  create,
  encodeAsKeyed,
  flatten,
  isKeyed,
  keyBy,
  keyedCoder,
  named,
  parDo,
  primitive,
} from './transforms.ts';
import * as urns from './urns.ts';
import { countsElements, triggerFromProto } from './windows/triggers.ts';
import { type StrategyProto, strategyAfterGrouping } from './windows/windowing.ts';

/** Collects all values of each key and window, one pane at a time. */
export function groupByKey<K, V>(
  name = 'GroupByKey',
): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, readonly V[]>>> {
  return grouped(name, checkGrouping);
}

/** @param check - of the input's windows */
function grouped<K, V>(
  name: string,
  check: typeof checkGrouping,
): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, readonly V[]>>> {
  return primitive(name, (input, pipeline, proto) => {
    const components = pipeline.getProto().components as ComponentsProto;
    check(components, proto.uniqueName, input.getId());
    if (!isKeyed(pipeline, input)) return input.apply(encodeAsKeyed()).apply(grouped('Grouped', check));
    checkKeys(components, proto.uniqueName, input.getId());
    proto.spec = runnerApi.FunctionSpec.create({ urn: urns.GROUP_BY_KEY });
    proto.environmentId = '';
    const [keyCoderId, valueCoderId] = componentsOf(pipeline, input);
    const iterable = pipeline.getCoderId(coderByIds(ITERABLE_URN, valueCoderId));
    const groupedCoderId = pipeline.getCoderId(coderByIds(KV_URN, keyCoderId, iterable));
    const { isBounded } = collectionProto(pipeline, input);
    const strategy = strategyAfterGrouping(inputStrategy(pipeline, input));
    return new Collection<KV<K, readonly V[]>>(pipeline, pipeline.addCollection(groupedCoderId, strategy, isBounded));
  });
}

const KV_URN = new KvCoder(new KeyCoder(), new ValueCoder()).urn;
const ITERABLE_URN = new IterableCoder(new ValueCoder()).urn;

/** A coder made of others that the graph already has. */
const coderByIds = (urn: string, ...componentCoderIds: string[]): Pick<AnyCoder, 'toProto'> => ({
  toProto: () => ({ spec: { urn, payload: new Uint8Array() }, componentCoderIds }),
});

function componentsOf(pipeline: BeamPipeline, collection: PCollection<unknown>): [key: string, value: string] {
  const coder = pipeline.getProto().components?.coders[coderIdOf(pipeline, collection)];
  return coder?.componentCoderIds as [string, string];
}

function inputStrategy(pipeline: BeamPipeline, input: PCollection<unknown>): StrategyProto {
  const { windowingStrategyId } = collectionProto(pipeline, input);
  return pipeline.getProto().components?.windowingStrategies[windowingStrategyId] as never;
}

export interface CombineSettings {
  readonly name?: string;
  /**
   * For keys that are so frequent that one worker cannot follow: their values are combined in this many parts first.
   */
  readonly hotKeyFanout?: number;
}

/** Combines the values of each key and window. Runners combine before they shuffle, where that is possible. */
export function combinePerKey<K, In, Acc, Out>(
  combineFn: CombineFn<In, Acc, Out>,
  settings: CombineSettings = {},
): PTransform<PCollection<KV<K, In>>, PCollection<KV<K, Out>>> {
  const { name = 'CombinePerKey', hotKeyFanout } = settings;
  if (hotKeyFanout !== undefined) return withFanout(name, combineFn, hotKeyFanout);
  return primitive(name, (input, pipeline, proto) => {
    if (!isKeyed(pipeline, input))
      return input.apply(encodeAsKeyed()).apply(combinePerKey(combineFn, { name: 'Combined' }));
    registerCombineFn(pipeline, proto, combineFn);
    if (!mayCombineEarly(inputStrategy(pipeline, input))) {
      return input.apply(groupByKey<K, In>()).apply(combineGrouped(combineFn));
    }
    // Runners that do not lift a combine by themselves then shuffle one accumulator a key, window and bundle.
    return input
      .apply(parDo(new Precombine<K, In, Acc, Out>(combineFn), { name: 'Precombine', coder: keyedCoder() }))
      .apply(groupByKey<K, Acc>())
      .apply(combineGrouped(combineFromParts(combineFn)));
  });
}

const combineGrouped = <K, In, Acc, Out>(
  combineFn: CombineFn<In, Acc, Out>,
): PTransform<PCollection<KV<K, readonly In[]>>, PCollection<KV<K, Out>>> => {
  const fn = namingErrors(combineFn);
  return parDo<KV<K, readonly In[]>, KV<K, Out>>(
    {
      process({ key, value }, context) {
        let accumulator = fn.createAccumulator();
        for (const item of value) accumulator = fn.addInput(accumulator, item);
        context.output({ key, value: fn.extractOutput(accumulator) });
      },
    },
    { name: 'CombineValues', coder: keyedCoder() },
  );
};

/** The function, whose errors name it. */
const namingErrors = <In, Acc, Out>(fn: CombineFn<In, Acc, Out>): CombineFn<In, Acc, Out> =>
  callsOf(fn as unknown as CombineFn<never, unknown, unknown>) as unknown as CombineFn<In, Acc, Out>;

/** Not where a trigger counts elements, or windows merge, or elements give a pane its timestamp. */
function mayCombineEarly(strategy: StrategyProto): boolean {
  const { END_OF_WINDOW } = runnerApi.OutputTime_Enum;
  const { NEEDS_MERGE } = runnerApi.MergeStatus_Enum;
  return (
    strategy.mergeStatus !== NEEDS_MERGE &&
    strategy.outputTime === END_OF_WINDOW &&
    !countsElements(triggerFromProto(strategy.trigger))
  );
}

interface Partial<K, Acc> {
  readonly key: K;
  readonly window: BoundedWindow;
  readonly timestamp: EventTime;
  accumulator: Acc;
}

/** Accumulators held at once before they are sent: what a bundle of many keys may take of memory. */
const LARGEST_HELD = 20_000;

/** Combines what it can within a bundle. */
class Precombine<K, In, Acc, Out> implements DoFn<KV<K, In>, KV<K, Acc>> {
  readonly #fn: CombineFn<In, Acc, Out>;
  readonly #held = new Map<unknown, Map<string, Partial<K, Acc>>>();
  #size = 0;

  constructor(fn: CombineFn<In, Acc, Out>) {
    this.#fn = namingErrors(fn);
  }

  startBundle(): void {
    this.#held.clear();
    this.#size = 0;
  }

  process({ key, value }: KV<K, In>, context: ProcessContext<KV<K, Acc>>): void {
    const { window, timestamp } = context;
    const keyId = keyIdOf(key);
    let windows = this.#held.get(keyId);
    if (windows === undefined) {
      windows = new Map();
      this.#held.set(keyId, windows);
    }
    const id = (window as Window).id;
    let partial = windows.get(id);
    if (partial === undefined) {
      partial = { key, window, timestamp, accumulator: this.#fn.createAccumulator() };
      windows.set(id, partial);
      this.#size += 1;
    }
    partial.accumulator = this.#fn.addInput(partial.accumulator, value);
    if (this.#size >= LARGEST_HELD) this.#release(context as unknown as FinishBundleContext<KV<K, Acc>>);
  }

  finishBundle(context: FinishBundleContext<KV<K, Acc>>): void {
    this.#release(context);
  }

  #release(context: FinishBundleContext<KV<K, Acc>>): void {
    for (const windows of this.#held.values()) {
      for (const { key, window, timestamp, accumulator } of windows.values()) {
        context.outputInWindow({ key, value: accumulator }, timestamp, window);
      }
    }
    this.#held.clear();
    this.#size = 0;
  }
}

function registerCombineFn(pipeline: BeamPipeline, proto: PTransformProto, combineFn: unknown): void {
  registerFunction(pipeline, proto.uniqueName, combineFn);
  proto.spec = runnerApi.FunctionSpec.create({
    urn: urns.COMBINE_PER_KEY,
    payload: runnerApi.CombinePayload.toBinary({
      combineFn: { urn: urns.COMBINE_FN_BY_NAME, payload: new TextEncoder().encode(proto.uniqueName) },
      accumulatorCoderId: coderId(pipeline, new ValueCoder()),
    }),
  });
}

/** First by key and part, to accumulators; then the accumulators by key. */
function withFanout<K, In, Acc, Out>(
  name: string,
  combineFn: CombineFn<In, Acc, Out>,
  fanout: number,
): PTransform<PCollection<KV<K, In>>, PCollection<KV<K, Out>>> {
  if (!(Number.isInteger(fanout) && fanout > 0)) throw new RangeError(`hotKeyFanout must be an integer, not ${fanout}`);
  let next = 0;
  return primitive(name, (input, pipeline) => {
    const strategy = inputStrategy(pipeline, input);
    const inParts = input.apply(
      parDo<KV<K, In>, KV<readonly [K, number], In>>(
        {
          process({ key, value }, context) {
            next = (next + 1) % fanout;
            context.output({ key: [key, next], value });
          },
        },
        { name: 'AddPart', coder: keyedCoder() },
      ),
    );
    // Panes of a part hold what is new: accumulated ones would count twice in the whole.
    const { DISCARDING } = runnerApi.AccumulationMode_Enum;
    setStrategy(pipeline, inParts, { ...strategy, accumulationMode: DISCARDING });
    const parts = inParts
      .apply(combinePerKey({ ...partsOf(combineFn), extractOutput: (accumulator) => accumulator }, { name: 'Parts' }))
      .apply(
        parDo<KV<readonly [K, number], Acc>, KV<K, Acc>>(
          { process: ({ key: [key], value }, context) => context.output({ key, value }) },
          { name: 'DropPart', coder: keyedCoder() },
        ),
      );
    // Windows of the parts have merged for themselves: they merge again (Beam's Window.remerge).
    const { accumulationMode, mergeStatus } = strategy;
    setStrategy(pipeline, parts, { ...strategyAfterGrouping(strategy), accumulationMode, mergeStatus });
    return parts.apply(combinePerKey(combineFromParts(combineFn), { name: 'Whole' }));
  });
}

/** Changes how a collection is grouped, not the windows that its elements are in. */
function setStrategy(pipeline: BeamPipeline, collection: PCollection<unknown>, strategy: StrategyProto): void {
  collectionProto(pipeline, collection).windowingStrategyId = pipeline.strategyIdOf(strategy);
}

/** What another function's accumulators mean, where this one is made of it. */
const meaningOf = <In, Acc, Out>(
  fn: CombineFn<In, Acc, Out>,
  how: string,
): Pick<CombineFn<In, Acc, Out>, 'identity' | 'whenChanged'> => ({
  identity: `${how} ${combineIdentityOf(fn as unknown as CombineFn<never, unknown, unknown>)}`,
  ...(fn.whenChanged === undefined ? {} : { whenChanged: fn.whenChanged }),
});

const partsOf = <In, Acc, Out>(fn: CombineFn<In, Acc, Out>): Omit<CombineFn<In, Acc, Out>, 'extractOutput'> => ({
  ...meaningOf(fn, 'parts of'),
  createAccumulator: () => fn.createAccumulator(),
  addInput: (accumulator, input) => fn.addInput(accumulator, input),
  mergeAccumulators: (accumulators) => fn.mergeAccumulators(accumulators),
});

const combineFromParts = <In, Acc, Out>(fn: CombineFn<In, Acc, Out>): CombineFn<Acc, Acc, Out> => ({
  ...meaningOf(fn, 'whole of'),
  createAccumulator: () => fn.createAccumulator(),
  addInput: (accumulator, part) => fn.mergeAccumulators([accumulator, part]),
  mergeAccumulators: (accumulators) => fn.mergeAccumulators(accumulators),
  extractOutput: (accumulator) => fn.extractOutput(accumulator),
});

/**
 * Combines all elements of each window into one. In the global window an empty collection gives the output of an empty
 * accumulator; in others, a window without elements gives nothing.
 */
export function combineGlobally<In, Acc, Out>(
  combineFn: CombineFn<In, Acc, Out>,
  settings: CombineSettings = {},
): PTransform<PCollection<In>, PCollection<Out>> {
  const { name = 'CombineGlobally', ...perKey } = settings;
  return primitive(name, (input, pipeline) => {
    const { windowFn, trigger } = inputStrategy(pipeline, input);
    const isPlain = windowFn?.urn === urns.GLOBAL_WINDOWS && trigger?.trigger.oneofKind === 'default';
    if (!isPlain) return input.apply(combineAll(combineFn, perKey));
    // An element that stands for none makes the combine run over an empty collection too.
    const root = (input as unknown as { root(): PipelineRoot }).root();
    const none = root.apply(create<Maybe<In>>([[]], 'None'));
    const some = input.apply(
      parDo<In, Maybe<In>>({ process: (value, context) => context.output([value]) }, { name: 'Some' }),
    );
    return flatten([none, some], 'NoneAndSome').apply(combineAll(ignoringNone(combineFn), perKey));
  });
}

type Maybe<T> = readonly [] | readonly [T];

const combineAll = <In, Acc, Out>(
  combineFn: CombineFn<In, Acc, Out>,
  settings: CombineSettings,
): PTransform<PCollection<In>, PCollection<Out>> =>
  named('Combined', (input: PCollection<In>) =>
    input
      .apply(keyBy(() => null, 'AllToOneKey'))
      .apply(combinePerKey(combineFn, settings))
      .apply(
        parDo<KV<null, Out>, Out>({ process: ({ value }, context) => context.output(value) }, { name: 'DropKey' }),
      ),
  );

const ignoringNone = <In, Acc, Out>(fn: CombineFn<In, Acc, Out>): CombineFn<Maybe<In>, Acc, Out> => ({
  ...meaningOf(fn, 'any of'),
  createAccumulator: () => fn.createAccumulator(),
  addInput: (accumulator, input) => (input.length === 0 ? accumulator : fn.addInput(accumulator, input[0])),
  mergeAccumulators: (accumulators) => fn.mergeAccumulators(accumulators),
  extractOutput: (accumulator) => fn.extractOutput(accumulator),
});

/** Redistributes elements over the workers; nothing is fused across. Times, windows and panes stay. */
export function reshuffle<T>(name = 'Reshuffle'): PTransform<PCollection<T>, PCollection<T>> {
  return named(name, (input: PCollection<T>) => {
    let next = 0;
    return input
      .apply(
        parDo<T, KV<number, T>>(
          {
            process(value, context) {
              next = (next + 1) % RESHUFFLE_KEYS;
              context.output({ key: next, value });
            },
          },
          { name: 'AddKey', coder: keyedCoder() },
        ),
      )
      .apply(reshufflePerKey())
      .apply(parDo<KV<number, T>, T>({ process: ({ value }, context) => context.output(value) }, { name: 'DropKey' }));
  });
}

const RESHUFFLE_KEYS = 1_024;

/** Redistributes KVs so that equal keys meet. */
export function reshufflePerKey<K, V>(
  name = 'ReshufflePerKey',
): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, V>>> {
  return primitive(name, (input, pipeline, proto) => {
    if (!isKeyed(pipeline, input)) return input.apply(encodeAsKeyed()).apply(reshufflePerKey('Reshuffled'));
    // Runners know this by its URN; the grouping below is for one that does not.
    proto.spec = runnerApi.FunctionSpec.create({ urn: urns.RESHUFFLE });
    // It passes elements on whatever their windows and trigger.
    const ungrouped = input.apply(grouped<K, V>('GroupByKey', () => {})).apply(
      parDo<KV<K, readonly V[]>, KV<K, V>>(
        {
          process({ key, value }, context) {
            for (const item of value) context.output({ key, value: item });
          },
        },
        { name: 'Ungroup', coder: keyedCoder() },
      ),
    );
    const { coderId: inputCoderId, windowingStrategyId } = collectionProto(pipeline, input);
    Object.assign(collectionProto(pipeline, ungrouped), { coderId: inputCoderId, windowingStrategyId });
    return ungrouped;
  });
}
