import { declarationsOf } from '#pipelines/engine/declarations';
import { type DoFn, IGNORES_WINDOW, type OutputTag, type SideInputView, type StateSpec } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import { isSplittable, type SplittableDoFn } from '#pipelines/engine/splitting/splittable';
import { shown } from '#pipelines/engine/time/check_time';
import { type Keyed, TimeSortedDoFn } from '#pipelines/engine/time_sorted';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import {
  type AppliedTransform,
  type BeamPipeline,
  BeamRoot,
  type ComponentsProto,
  givenName,
  type PCollectionProto,
  type PTransformProto,
  withName,
} from './beam_pipeline.ts';
import type { AnyCoder } from './coders/coder.ts';
import { BytesCoder, KvCoder } from './coders/standard_coders.ts';
import { KeyCoder, ValueCoder } from './coders/value_coder.ts';
import { registerFunction } from './function_table.ts';
import { checkFlatten, checkKeys, checkSideInput, checkState } from './graph_rules.ts';
import type { KV, PCollection, PipelineRoot, PTransform } from './pcollection.ts';
import * as urns from './urns.ts';
import { type Windowing, windowingStrategyProto } from './windows/windowing.ts';

/** Builds one primitive: fills `proto` in and makes its output collections. */
export type Expand<Input, Output> = (input: Input, pipeline: BeamPipeline, proto: PTransformProto) => Output;

export function primitive<Input, Output>(name: string, expand: Expand<Input, Output>): PTransform<Input, Output> {
  return withName(name, expand) as unknown as PTransform<Input, Output>;
}

/** Expands another primitive in the place of this one, under this one's name. */
export const expandWith = <Input, Output>(
  transform: PTransform<Input, Output>,
  input: Input,
  pipeline: BeamPipeline,
  proto: PTransformProto,
): Output => (transform as unknown as Expand<Input, Output>)(input, pipeline, proto);

export const componentsOf = (pipeline: BeamPipeline): ComponentsProto =>
  pipeline.getProto().components as ComponentsProto;

/** Gives a transform the name it has in snapshots, metrics and messages; names are unique within their parent. */
export function named<Input, Output>(name: string, transform: PTransform<Input, Output>): PTransform<Input, Output> {
  const wrapped: PTransform<Input, Output> = (input) => transform(input);
  return withName(name, wrapped);
}

/** Emits a single element at the beginning of time. */
export function impulse(): PTransform<PipelineRoot, PCollection<Uint8Array>> {
  return primitive('Impulse', (_, pipeline, proto) => {
    proto.spec = runnerApi.FunctionSpec.create({ urn: urns.IMPULSE });
    proto.environmentId = '';
    return collectionOf<Uint8Array>(pipeline, new BytesCoder());
  });
}

/** Makes a bounded collection of `values`, all at the beginning of time. */
export function create<T>(values: Iterable<T>, name = 'Create'): PTransform<PipelineRoot, PCollection<T>> {
  const elements = [...values];
  return named(name, (root: PipelineRoot) =>
    root.apply(impulse()).apply(
      parDo<Uint8Array, T>(
        {
          process(_, context) {
            for (const element of elements) context.output(element);
          },
        },
        { name: 'Values' },
      ),
    ),
  );
}

/** Reads a source: a splittable DoFn over one `element` that says what to read. */
export function read<In, Out, R, Pos>(
  element: In,
  source: SplittableDoFn<In, Out, R, Pos>,
  name: string,
): PTransform<PipelineRoot, PCollection<Out>> {
  return named(name, (root: PipelineRoot) =>
    root
      .apply(impulse())
      .apply(parDo<Uint8Array, In>({ process: (_, context) => context.output(element) }, { name: 'Element' }))
      .apply(parDoSplittable(source, 'Read')),
  );
}

/** Applies a splittable DoFn: each element says what to read, file names for instance. */
export function parDoSplittable<In, Out, R, Pos>(
  doFn: SplittableDoFn<In, Out, R, Pos>,
  name: string,
): PTransform<PCollection<In>, PCollection<Out>> {
  return primitive(name, (_, pipeline, proto) => {
    registerFunction(pipeline, proto.uniqueName, doFn);
    proto.spec = doFnSpec(proto, {
      urn: urns.SPLITTABLE_BY_NAME,
      restrictionCoderId: coderId(pipeline, new ValueCoder()),
    });
    const boundedness = doFn.bounded ? runnerApi.IsBounded_Enum.BOUNDED : runnerApi.IsBounded_Enum.UNBOUNDED;
    return new Collection<Out>(pipeline, pipeline.addCollection(new ValueCoder(), undefined, boundedness));
  });
}

/** Name, coder, state, timers and outputs of a ParDo. */
export interface ParDoSettings {
  readonly name: string;
  /** Asynchronous calls in flight at once, on each worker; the others wait. A stateful DoFn has one a key. Default 100. */
  readonly maxConcurrency?: number;
  /** Views the DoFn reads with `context.sideInput`; the names only tell them apart. */
  readonly sideInputs?: Readonly<Record<string, SideInputView<unknown>>>;
  /** How elements of the main output are encoded between workers; by default, any value that can be cloned. */
  readonly coder?: AnyCoder;
}

/** Applies a {@link DoFn} to every element. */
export function parDo<In, Out>(
  doFn: DoFn<In, Out>,
  settings: ParDoSettings,
): PTransform<PCollection<In>, PCollection<Out>> {
  return primitive(settings.name, (input, pipeline, proto) => {
    if (needsKeys(doFn) && !isKeyed(pipeline, input)) {
      return (input as PCollection<never>)
        .apply(encodeAsKeyed())
        .apply(parDo(doFn, { ...settings, name: 'Keyed' }) as never);
    }
    registerParDo(pipeline, proto, inRequiredOrder(pipeline, proto, doFn), settings);
    return outputOf<Out>(pipeline, input, settings.coder);
  });
}

type TaggedCollections<Tags extends Readonly<Record<string, OutputTag<unknown>>>> = {
  readonly [Name in keyof Tags]: Tags[Name] extends OutputTag<infer T> ? PCollection<T> : never;
};

/** Applies a {@link DoFn} with more outputs than one: `tags` names each; the main one comes as `main`. */
export function parDoTagged<In, Out, Tags extends Readonly<Record<string, OutputTag<unknown>>>>(
  doFn: DoFn<In, Out>,
  tags: Tags,
  settings: ParDoSettings,
): PTransform<PCollection<In>, { readonly main: PCollection<Out> } & TaggedCollections<Tags>> {
  return primitive(settings.name, (input, pipeline, proto) => {
    if (needsKeys(doFn) && !isKeyed(pipeline, input)) {
      return (input as PCollection<never>)
        .apply(encodeAsKeyed())
        .apply(parDoTagged(doFn, tags, { ...settings, name: 'Keyed' }) as never);
    }
    registerParDo(pipeline, proto, inRequiredOrder(pipeline, proto, doFn), settings);
    const tagged = Object.fromEntries(Object.values(tags).map((tag) => [tag.id, outputOf(pipeline, input)]));
    // Beam names outputs by tag id; the caller sees the names it chose.
    proto.outputs = {};
    const outputs: Record<string, PCollection<unknown>> = { main: outputOf(pipeline, input, settings.coder) };
    for (const [name, tag] of Object.entries(tags)) {
      if (name !== tag.id)
        throw new RangeError(`output tag "${tag.id}" must be given under its own name, not "${name}"`);
      outputs[name] = tagged[tag.id] as PCollection<unknown>;
    }
    return outputs as { readonly main: PCollection<Out> } & TaggedCollections<Tags>;
  });
}

/** Pairs each element with a key. */
export function keyBy<T, K>(
  keyOf: (element: T) => K,
  name = 'KeyBy',
): PTransform<PCollection<T>, PCollection<KV<K, T>>> {
  return parDo(windowless({ process: (element, context) => context.output({ key: keyOf(element), value: element }) }), {
    name,
    coder: keyedCoder(),
  });
}

/** Elements for which `keep` is true. */
export function filter<T>(keep: (element: T) => boolean, name = 'Filter'): PTransform<PCollection<T>, PCollection<T>> {
  return parDo<T, T>(
    windowless({
      process(element, context) {
        if (keep(element)) context.output(element);
      },
    }),
    { name },
  );
}

/** Returns all elements of several collections of one type. */
export function flatten<T>(collections: readonly PCollection<T>[], name = 'Flatten'): PCollection<T> {
  const [first] = collections;
  if (!(first instanceof Collection))
    throw new RangeError(`"${name}" has no collections to flatten: give it one at least`);
  const transform = primitive<readonly PCollection<T>[], PCollection<T>>(name, (_, pipeline, proto) => {
    proto.spec = runnerApi.FunctionSpec.create({ urn: urns.FLATTEN });
    proto.environmentId = '';
    const ids = collections.map((collection) => collection.getId());
    const { components } = pipeline.getProto();
    checkFlatten(components as ComponentsProto, proto.uniqueName, ids);
    const { BOUNDED, UNBOUNDED } = runnerApi.IsBounded_Enum;
    const isUnbounded = ids.some((id) => components?.pcollections[id]?.isBounded === UNBOUNDED);
    const { windowingStrategyId } = collectionProto(pipeline, first);
    const bounded = isUnbounded ? UNBOUNDED : BOUNDED;
    return new Collection<T>(
      pipeline,
      pipeline.addCollection(coderIdOf(pipeline, first), windowingStrategyId, bounded),
    );
  });
  return first.applyTo(collections, transform as AppliedTransform);
}

/** Puts elements into windows, and says when groups of them are emitted. */
export function windowInto<T>(windowing: Windowing, name = 'WindowInto'): PTransform<PCollection<T>, PCollection<T>> {
  return primitive(name, (input, pipeline, proto) => {
    const strategy = windowingStrategyProto(pipeline, windowing);
    proto.spec = runnerApi.FunctionSpec.create({
      urn: urns.WINDOW_INTO,
      payload: runnerApi.WindowIntoPayload.toBinary(
        runnerApi.WindowIntoPayload.create({ windowFn: strategy.windowFn as NonNullable<typeof strategy.windowFn> }),
      ),
    });
    return new Collection<T>(pipeline, pipeline.addCollection(coderIdOf(pipeline, input), strategy));
  });
}

export interface TimestampsSettings {
  /** How much earlier than its own an element's new timestamp may be, ms. Default 0: an earlier one could be late and be dropped. */
  readonly allowedSkewMs?: number;
}

/** Gives each element the event time `timestampOf` reads from it, ms since the epoch. Elements of a source that has no times come from the beginning of time. */
export function withTimestamps<T>(
  timestampOf: (element: T) => number,
  name = 'WithTimestamps',
  { allowedSkewMs = 0 }: TimestampsSettings = {},
): PTransform<PCollection<T>, PCollection<T>> {
  checkSkew(name, 'allowedSkewMs', allowedSkewMs);
  return primitive(name, (input, pipeline, proto) => {
    registerFunction(pipeline, proto.uniqueName, { timestampOf, allowedSkewMs } satisfies RegisteredTimestamps<T>);
    proto.spec = doFnSpec(proto, { urn: urns.TIMESTAMPS_BY_NAME });
    return new Collection<T>(pipeline, pipeline.addCollection(coderIdOf(pipeline, input)));
  });
}

function registerParDo<In, Out>(
  pipeline: BeamPipeline,
  proto: PTransformProto,
  doFn: DoFn<In, Out>,
  settings: ParDoSettings,
): void {
  const name = proto.uniqueName;
  if (isSplittable(doFn)) throw new RangeError(`"${name}" is splittable: use read()`);
  const { maxConcurrency } = settings;
  if (maxConcurrency !== undefined && !(Number.isSafeInteger(maxConcurrency) && maxConcurrency >= 1)) {
    throw new InvalidPipelineError(
      `transform "${name}": maxConcurrency is ${maxConcurrency}: give an integer from 1 on`,
    );
  }
  checkSkew(name, 'allowedTimestampSkewMs', doFn.allowedTimestampSkewMs ?? 0);
  const views = Object.entries(settings.sideInputs ?? {});
  const components = pipeline.getProto().components as ComponentsProto;
  if (needsKeys(doFn)) {
    const [input] = Object.values(proto.inputs) as [string];
    checkState(components, name, input);
    checkKeys(components, name, input);
  }
  for (const [view, { source }] of views) {
    checkSideInput(components, name, view, (source as PCollection<unknown>).getId());
  }
  const entry: RegisteredDoFn = { doFn: doFn as DoFn<never, unknown>, views: new Map(views), maxConcurrency };
  registerFunction(pipeline, proto.uniqueName, entry);
  const sideInputs: PayloadParts['sideInputs'] = {};
  for (const [name, view] of views) {
    proto.inputs[name] = (view.source as PCollection<unknown>).getId();
    sideInputs[name] = runnerApi.SideInput.create({
      accessPattern: { urn: urns.SIDE_INPUT_ITERABLE, payload: new Uint8Array() },
      viewFn: { urn: urns.VIEW_BY_NAME, payload: new TextEncoder().encode(name) },
      windowMappingFn: { urn: urns.WINDOW_MAPPING_BY_NAME, payload: new Uint8Array() },
    });
  }
  proto.spec = doFnSpec(proto, { ...stateAndTimers(pipeline, proto, doFn as DoFn<never, unknown>), sideInputs });
}

/** @throws {@link InvalidPipelineError} for a skew that is no duration; Infinity allows any */
function checkSkew(transform: string, name: string, skewMs: number): void {
  if (typeof skewMs === 'number' && skewMs >= 0) return;
  throw new InvalidPipelineError(`transform "${transform}": ${name} is ${shown(skewMs)}: give milliseconds from 0 on`);
}

/** A function that reads timestamps, as the graph holds it. */
export interface RegisteredTimestamps<T> {
  readonly timestampOf: (element: T) => number;
  readonly allowedSkewMs: number;
}

/** Puts a DoFn that requires it behind a buffer that sorts, on every runner alike. */
function inRequiredOrder<In, Out>(pipeline: BeamPipeline, proto: PTransformProto, doFn: DoFn<In, Out>): DoFn<In, Out> {
  if (doFn.requiresTimeSortedInput !== true) return doFn;
  const [inputId = ''] = Object.values(proto.inputs);
  const { pcollections, windowingStrategies } = componentsOf(pipeline);
  const strategy = windowingStrategies[pcollections[inputId]?.windowingStrategyId ?? ''];
  return new TimeSortedDoFn(doFn as DoFn<Keyed, Out>, Number(strategy?.allowedLateness ?? 0)) as unknown as DoFn<
    In,
    Out
  >;
}

/** Marks a DoFn whose function never sees the context. */
const windowless = <In, Out>(doFn: DoFn<In, Out>): DoFn<In, Out> => Object.assign(doFn, { [IGNORES_WINDOW]: true });

function needsKeys(doFn: DoFn<never, unknown>): boolean {
  if (doFn.requiresTimeSortedInput === true) return true;
  const { states, timers } = declarationsOf(doFn);
  return states.length > 0 || timers.length > 0;
}

/** A DoFn and the side inputs it may read, by the name they have in the graph. */
export interface RegisteredDoFn {
  readonly maxConcurrency?: number | undefined;
  readonly doFn: DoFn<never, unknown>;
  readonly views: ReadonlyMap<string, SideInputView<unknown>>;
}

/** Returns the coder of collections that are grouped: equal keys have equal bytes. */
export const keyedCoder = (): KvCoder<unknown, unknown> => new KvCoder(new KeyCoder(), new ValueCoder());

/** A new collection, in the windows that the transform's inputs agree on. */
export function collectionOf<T>(pipeline: BeamPipeline, coder: AnyCoder = new ValueCoder()): PCollection<T> {
  return new Collection<T>(pipeline, pipeline.addCollection(coder));
}

/** A new collection, in the windows of `input`: for transforms whose other inputs may have others. */
export function outputOf<T>(
  pipeline: BeamPipeline,
  input: PCollection<unknown>,
  coder: AnyCoder = new ValueCoder(),
  knownCoderId?: string,
): PCollection<T> {
  const { windowingStrategyId, isBounded } = collectionProto(pipeline, input);
  return new Collection<T>(pipeline, pipeline.addCollection(knownCoderId ?? coder, windowingStrategyId, isBounded));
}

export function collectionProto(pipeline: BeamPipeline, collection: PCollection<unknown>): PCollectionProto {
  return pipeline.getProto().components?.pcollections[collection.getId()] as PCollectionProto;
}

export const coderId = (pipeline: BeamPipeline, coder: AnyCoder): string => pipeline.getCoderId(coder);
/** The id of a collection's coder. */
export const coderIdOf = (pipeline: BeamPipeline, collection: PCollection<unknown>): string =>
  collectionProto(pipeline, collection).coderId;

interface PayloadParts {
  readonly urn?: string;
  readonly restrictionCoderId?: string;
  readonly stateSpecs?: { [id: string]: ReturnType<typeof runnerApi.StateSpec.create> };
  readonly sideInputs?: { [name: string]: ReturnType<typeof runnerApi.SideInput.create> };
  readonly timerFamilySpecs?: { [id: string]: ReturnType<typeof runnerApi.TimerFamilySpec.create> };
}

/** A ParDo payload that names the function; a process that rebuilds the same graph finds it under that name. */
function doFnSpec(proto: PTransformProto, parts: PayloadParts): ReturnType<typeof runnerApi.FunctionSpec.create> {
  const { urn = urns.DOFN_BY_NAME, ...rest } = parts;
  const payload = runnerApi.ParDoPayload.create({
    doFn: runnerApi.FunctionSpec.create({ urn, payload: new TextEncoder().encode(proto.uniqueName) }),
    ...rest,
  });
  return runnerApi.FunctionSpec.create({ urn: urns.PAR_DO, payload: runnerApi.ParDoPayload.toBinary(payload) });
}

/** An ordinary timer family that tells that a window expires: every runner that has timers has this. */
export const EXPIRY_FAMILY = 'headwater-window-expiry';

function stateAndTimers(pipeline: BeamPipeline, proto: PTransformProto, doFn: DoFn<never, unknown>): PayloadParts {
  const { states, timers } = declarationsOf(doFn);
  if (states.length === 0 && timers.length === 0) return {};
  const elementCoderId = coderId(pipeline, new ValueCoder());
  const { EVENT_TIME, PROCESSING_TIME } = runnerApi.TimeDomain_Enum;
  const timerFamilyCoderId = timerCoderId(pipeline, Object.values(proto.inputs)[0] as string);
  const families = timers.map(({ id, domain }) => [id, domain === 'event' ? EVENT_TIME : PROCESSING_TIME] as const);
  const expires = doFn.onWindowExpiration !== undefined;
  return {
    stateSpecs: Object.fromEntries(states.map((spec) => [spec.id, stateSpecProto(spec, elementCoderId)])),
    timerFamilySpecs: Object.fromEntries(
      (expires ? [...families, [EXPIRY_FAMILY, EVENT_TIME] as const] : families).map(([id, timeDomain]) => [
        id,
        runnerApi.TimerFamilySpec.create({ timeDomain, timerFamilyCoderId }),
      ]),
    ),
  };
}

/** Timers carry the key and windows of the collection that sets them. */
function timerCoderId(pipeline: BeamPipeline, collectionId: string): string {
  const { components } = pipeline.getProto();
  const collection = components?.pcollections[collectionId];
  const keyCoderId = components?.coders[collection?.coderId ?? '']?.componentCoderIds[0] as string;
  const strategy = components?.windowingStrategies[collection?.windowingStrategyId ?? ''];
  const proto = {
    spec: { urn: 'beam:coder:timer:v1', payload: new Uint8Array() },
    componentCoderIds: [keyCoderId, strategy?.windowCoderId as string],
  };
  return pipeline.getCoderId({ toProto: () => proto });
}

/** Whether a collection's coder says that its elements are KVs: only then can a runner group them. */
export function isKeyed(pipeline: BeamPipeline, collection: PCollection<unknown>): boolean {
  const coder = pipeline.getProto().components?.coders[coderIdOf(pipeline, collection)];
  return coder?.spec?.urn === 'beam:coder:kv:v1';
}

/** The same KVs, encoded so that they can be grouped. */
export const encodeAsKeyed = <K, V>(): PTransform<PCollection<KV<K, V>>, PCollection<KV<K, V>>> =>
  parDo(windowless({ process: (element, context) => context.output(element) }), {
    name: 'EncodeAsKeyed',
    coder: keyedCoder(),
  });

/**
 * Values and bags are what every runner keeps. The others are kept as one value, or as a log in a bag (see the harness's state),
 * so that every kind works on every runner.
 */
function stateSpecProto(
  { kind }: StateSpec<unknown>,
  elementCoderId: string,
): ReturnType<typeof runnerApi.StateSpec.create> {
  const protocol = { urn: urns.BAG_USER_STATE, payload: new Uint8Array() };
  return kind === 'value' || kind === 'combining'
    ? runnerApi.StateSpec.create({
        spec: { oneofKind: 'readModifyWriteSpec', readModifyWriteSpec: { coderId: elementCoderId } },
        protocol,
      })
    : runnerApi.StateSpec.create({ spec: { oneofKind: 'bagSpec', bagSpec: { elementCoderId } }, protocol });
}

/** A collection of a graph that is being built. */
export class Collection<T> implements PCollection<T> {
  readonly #pipeline: BeamPipeline;
  readonly #id: string;

  constructor(pipeline: BeamPipeline, id: string) {
    this.#pipeline = pipeline;
    this.#id = id;
  }

  getId(): string {
    return this.#id;
  }

  root(): PipelineRoot {
    return new BeamRoot(this.#pipeline);
  }

  apply<Output>(transform: PTransform<PCollection<T>, Output>): Output {
    return this.#pipeline.apply(transform as AppliedTransform, this);
  }

  map<Out>(fn: (element: T) => Out): PCollection<Out> {
    const doFn: DoFn<T, Out> = { process: (element, into) => into.output(fn(element)) };
    return this.apply(parDo(windowless(doFn), { name: givenName(fn, 'Map') }));
  }

  flatMap<Out>(fn: (element: T) => Iterable<Out>): PCollection<Out> {
    const doFn: DoFn<T, Out> = {
      process(element, into) {
        for (const output of fn(element)) into.output(output);
      },
    };
    return this.apply(parDo(windowless(doFn), { name: givenName(fn, 'FlatMap') }));
  }

  /** Applies a transform to several collections of this graph. */
  applyTo<Output>(collections: readonly PCollection<unknown>[], transform: AppliedTransform): Output {
    return this.#pipeline.apply(transform, collections);
  }
}
