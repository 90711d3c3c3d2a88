import type { DoFn, OutputTag, StateSpec } from '#pipelines/engine/dofn';
import { declarationsOf } from '#pipelines/engine/par_do';
import { isSplittable, type SplittableDoFn } from '#pipelines/engine/splittable';
import {
  type BeamPipeline,
  BytesCoder,
  GeneralObjectCoder,
  KVCoder,
  P,
  type PTransformProto,
  runnerApi,
  withName,
} from './beam.ts';
import { registerFunction } from './function_table.ts';
import type { KV, PCollection, PipelineRoot, PTransform } from './pcollection.ts';
import * as urns from './urns.ts';
import { type Windowing, windowingStrategyProto } from './windowing.ts';

/** Builds one primitive: fills `proto` in and makes its output collections. */
type Expand<Input, Output> = (input: Input, pipeline: BeamPipeline, proto: PTransformProto) => Output;

function primitive<Input, Output>(name: string, expand: Expand<Input, Output>): PTransform<Input, Output> {
  return withName(name, expand) as unknown as PTransform<Input, Output>;
}

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
    return pipeline.createPCollectionInternal(new BytesCoder()) as unknown as PCollection<Uint8Array>;
  });
}

/** A bounded collection of `values`, all at the beginning of time. */
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

function parDoSplittable<In, Out, R, Pos>(
  doFn: SplittableDoFn<In, Out, R, Pos>,
  name: string,
): PTransform<PCollection<In>, PCollection<Out>> {
  return primitive(name, (_, pipeline, proto) => {
    registerFunction(pipeline, proto.uniqueName, doFn);
    proto.spec = doFnSpec(proto, { restrictionCoderId: pipeline.getCoderId(new GeneralObjectCoder()) });
    const boundedness = doFn.bounded ? runnerApi.IsBounded_Enum.BOUNDED : runnerApi.IsBounded_Enum.UNBOUNDED;
    const output = pipeline.createPCollectionInternal(new GeneralObjectCoder(), undefined, boundedness);
    return output as unknown as PCollection<Out>;
  });
}

export interface ParDoSettings {
  readonly name: string;
}

/** Applies a {@link DoFn} to every element. */
export function parDo<In, Out>(
  doFn: DoFn<In, Out>,
  settings: ParDoSettings,
): PTransform<PCollection<In>, PCollection<Out>> {
  return primitive(settings.name, (_, pipeline, proto) => {
    registerParDo(pipeline, proto, doFn);
    return objectCollection<Out>(pipeline);
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
  return primitive(settings.name, (_, pipeline, proto) => {
    registerParDo(pipeline, proto, doFn);
    const tagged = Object.fromEntries(Object.values(tags).map((tag) => [tag.id, objectCollection(pipeline)]));
    // Beam names outputs by tag id; the caller sees the names it chose.
    proto.outputs = {};
    const outputs: Record<string, PCollection<unknown>> = { main: objectCollection(pipeline) };
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
  return primitive(name, (_, pipeline, proto) => {
    registerParDo<T, KV<K, T>>(pipeline, proto, {
      process: (element, context) => context.output({ key: keyOf(element), value: element }),
    });
    const coder = new KVCoder(new GeneralObjectCoder(), new GeneralObjectCoder());
    return pipeline.createPCollectionInternal(coder) as unknown as PCollection<KV<K, T>>;
  });
}

/** Elements for which `keep` is true. */
export function filter<T>(keep: (element: T) => boolean, name = 'Filter'): PTransform<PCollection<T>, PCollection<T>> {
  return parDo<T, T>(
    {
      process(element, context) {
        if (keep(element)) context.output(element);
      },
    },
    { name },
  );
}

/** All elements of several collections of one type. */
export function flatten<T>(collections: readonly PCollection<T>[], name = 'Flatten'): PCollection<T> {
  const transform = primitive<readonly PCollection<T>[], PCollection<T>>(name, (_, pipeline, proto) => {
    proto.spec = runnerApi.FunctionSpec.create({ urn: urns.FLATTEN });
    proto.environmentId = '';
    return objectCollection<T>(pipeline);
  });
  return P(collections as never).apply(transform as never) as unknown as PCollection<T>;
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
    const coderId = pipeline.context.getPCollectionCoderId(input as never);
    return pipeline.createPCollectionInternal(coderId, strategy) as unknown as PCollection<T>;
  });
}

/** Gives each element the event time `timestampOf` reads from it, ms since the epoch. */
export function withTimestamps<T>(
  timestampOf: (element: T) => number,
  name = 'WithTimestamps',
): PTransform<PCollection<T>, PCollection<T>> {
  return primitive(name, (input, pipeline, proto) => {
    registerFunction(pipeline, proto.uniqueName, timestampOf);
    proto.spec = doFnSpec(proto, { urn: urns.TIMESTAMPS_BY_NAME });
    const coderId = pipeline.context.getPCollectionCoderId(input as never);
    return pipeline.createPCollectionInternal(coderId) as unknown as PCollection<T>;
  });
}

function registerParDo<In, Out>(pipeline: BeamPipeline, proto: PTransformProto, doFn: DoFn<In, Out>): void {
  if (isSplittable(doFn)) throw new RangeError(`"${proto.uniqueName}" is splittable: use read()`);
  registerFunction(pipeline, proto.uniqueName, doFn);
  proto.spec = doFnSpec(proto, stateAndTimers(pipeline, doFn));
}

function objectCollection<T>(pipeline: BeamPipeline): PCollection<T> {
  return pipeline.createPCollectionInternal(new GeneralObjectCoder()) as unknown as PCollection<T>;
}

interface PayloadParts {
  readonly urn?: string;
  readonly restrictionCoderId?: string;
  readonly stateSpecs?: { [id: string]: ReturnType<typeof runnerApi.StateSpec.create> };
  readonly timerFamilySpecs?: { [id: string]: ReturnType<typeof runnerApi.TimerFamilySpec.create> };
}

/** A ParDo payload that names the function; whoever rebuilds the same graph finds it under that name. */
function doFnSpec(proto: PTransformProto, parts: PayloadParts): ReturnType<typeof runnerApi.FunctionSpec.create> {
  const { urn = urns.DOFN_BY_NAME, ...rest } = parts;
  const payload = runnerApi.ParDoPayload.create({
    doFn: runnerApi.FunctionSpec.create({ urn, payload: new TextEncoder().encode(proto.uniqueName) }),
    ...rest,
  });
  return runnerApi.FunctionSpec.create({ urn: urns.PAR_DO, payload: runnerApi.ParDoPayload.toBinary(payload) });
}

function stateAndTimers(pipeline: BeamPipeline, doFn: object): PayloadParts {
  const { states, timers } = declarationsOf(doFn);
  if (states.length === 0 && timers.length === 0) return {};
  const coderId = pipeline.getCoderId(new GeneralObjectCoder());
  const { EVENT_TIME, PROCESSING_TIME } = runnerApi.TimeDomain_Enum;
  return {
    stateSpecs: Object.fromEntries(states.map((spec) => [spec.id, stateSpecProto(spec, coderId)])),
    timerFamilySpecs: Object.fromEntries(
      timers.map((spec) => [
        spec.id,
        runnerApi.TimerFamilySpec.create({
          timeDomain: spec.domain === 'event' ? EVENT_TIME : PROCESSING_TIME,
          timerFamilyCoderId: coderId,
        }),
      ]),
    ),
  };
}

function stateSpecProto(spec: StateSpec<unknown>, coderId: string): ReturnType<typeof runnerApi.StateSpec.create> {
  const elementCoderId = coderId;
  switch (spec.kind) {
    case 'value':
      return runnerApi.StateSpec.create({
        spec: { oneofKind: 'readModifyWriteSpec', readModifyWriteSpec: { coderId } },
      });
    case 'bag':
      return runnerApi.StateSpec.create({ spec: { oneofKind: 'bagSpec', bagSpec: { elementCoderId } } });
    case 'set':
      return runnerApi.StateSpec.create({ spec: { oneofKind: 'setSpec', setSpec: { elementCoderId } } });
    case 'map':
      return runnerApi.StateSpec.create({
        spec: { oneofKind: 'mapSpec', mapSpec: { keyCoderId: coderId, valueCoderId: coderId } },
      });
    case 'combining':
      // The accumulator is kept as one value: any combine function then works on any runner.
      return runnerApi.StateSpec.create({
        spec: { oneofKind: 'readModifyWriteSpec', readModifyWriteSpec: { coderId } },
      });
    case 'orderedList':
      return runnerApi.StateSpec.create({
        spec: { oneofKind: 'orderedListSpec', orderedListSpec: { elementCoderId } },
      });
  }
}
