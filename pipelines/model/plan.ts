import type { CombineFn } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { Codec, Plan, PlanTransform, TestStreamEvent } from '#pipelines/engine/plan';
import type { SplittableDoFn } from '#pipelines/engine/splitting/splittable';
import { tileSlidingCombines } from '#pipelines/engine/tiling';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import type { BeamPipeline, ComponentsProto, PTransformProto } from './beam_pipeline.ts';
import { ByteReader, ByteWriter } from './coders/bytes.ts';
import type { AnyCoder } from './coders/coder.ts';
import { createCoder } from './coders/from_proto.ts';
import { WindowedValueCoder } from './coders/standard_coders.ts';
import { elementCodec } from './element_codec.ts';
import { findFunction } from './function_table.ts';
import type { RegisteredDoFn, RegisteredTimestamps } from './transforms.ts';
import * as urns from './urns.ts';
import { windowingOf } from './windows/windowing.ts';

/**
 * Compiles a Beam graph for the engine: composites are flattened to their leaves, leaves ordered so that producers come first,
 * and functions looked up.
 *
 * @throws {@link InvalidPipelineError} naming the transform that the engine cannot execute
 */
export function planOf(pipeline: BeamPipeline): Plan {
  const { components, rootTransformIds } = pipeline.getProto();
  if (components === undefined) return { transforms: [], codecs: new Map() };
  const leaves = rootTransformIds.flatMap((id) => leavesOf(pipeline, components, id));
  const transforms = inTopologicalOrder(leaves).map((leaf) => compile(pipeline, components, leaf));
  return { transforms: tileSlidingCombines(transforms), codecs: codecsOf(components) };
}

/** Coders are made when they are first needed: most runs never do. */
function codecsOf({ coders, pcollections, windowingStrategies }: ComponentsProto): ReadonlyMap<string, Codec> {
  const made = new Map<string, AnyCoder>();
  const coderOf = (id: string): AnyCoder => {
    let coder = made.get(id);
    if (coder === undefined) {
      const { spec, componentCoderIds = [] } = coders[id] ?? {};
      coder = createCoder(spec?.urn ?? '', componentCoderIds.map(coderOf), spec?.payload ?? new Uint8Array());
      made.set(id, coder);
    }
    return coder;
  };
  return new Map(
    Object.entries(pcollections).map(([id, { coderId, windowingStrategyId }]): [string, Codec] => {
      const name = coders[coderId]?.spec?.urn ?? coderId;
      const codec: Codec = {
        name,
        encode(value) {
          const out = new ByteWriter();
          coderOf(coderId).encode(value, out, true);
          return out.finish();
        },
        decode: (bytes) => coderOf(coderId).decode(new ByteReader(bytes), true),
        elements: elementCodec(name, () => {
          const { windowCoderId = '' } = windowingStrategies[windowingStrategyId] ?? {};
          return new WindowedValueCoder(coderOf(coderId), coderOf(windowCoderId));
        }),
      };
      return [id, codec];
    }),
  );
}

/** Transforms to execute under one: itself, when the engine knows it as a whole. */
function leavesOf(pipeline: BeamPipeline, components: ComponentsProto, id: string): readonly PTransformProto[] {
  const transform = components.transforms[id] as PTransformProto;
  const urn = transform.spec?.urn;
  if (urn === urns.RESHUFFLE) return [transform];
  if (urn === urns.COMBINE_PER_KEY && combineFnOf(pipeline, transform) !== undefined) return [transform];
  if (transform.subtransforms.length > 0) {
    return transform.subtransforms.flatMap((child) => leavesOf(pipeline, components, child));
  }
  return transform.spec === undefined ? [] : [transform];
}

/** Undefined when it is of a kind that only its parts can execute. */
function combineFnOf(
  pipeline: BeamPipeline,
  transform: PTransformProto,
): CombineFn<never, unknown, unknown> | undefined {
  const { combineFn } = runnerApi.CombinePayload.fromBinary(transform.spec?.payload ?? new Uint8Array());
  if (combineFn?.urn === urns.COMBINE_FN_BY_NAME) {
    return found(transform.uniqueName, findFunction(pipeline, transform.uniqueName)) as CombineFn<
      never,
      unknown,
      unknown
    >;
  }
  return undefined;
}

/** Orders transforms so that those that make a collection come before those that read it. */
export function inTopologicalOrder(leaves: readonly PTransformProto[]): PTransformProto[] {
  const producer = new Map<string, PTransformProto>();
  for (const leaf of leaves) for (const id of Object.values(leaf.outputs)) producer.set(id, leaf);
  const ordered: PTransformProto[] = [];
  const visited = new Set<PTransformProto>();
  const visit = (leaf: PTransformProto): void => {
    if (visited.has(leaf)) return;
    visited.add(leaf);
    // Side inputs too: what they hold must be there first.
    for (const id of Object.values(leaf.inputs)) {
      const upstream = producer.get(id);
      if (upstream !== undefined) visit(upstream);
    }
    ordered.push(leaf);
  };
  for (const leaf of leaves) visit(leaf);
  return ordered;
}

function compile(pipeline: BeamPipeline, components: ComponentsProto, leaf: PTransformProto): PlanTransform {
  const name = leaf.uniqueName;
  const urn = leaf.spec?.urn ?? '';
  switch (urn) {
    case urns.IMPULSE:
      return { kind: 'impulse', name, output: only(leaf, 'outputs') };
    case urns.FLATTEN:
      return { kind: 'flatten', name, inputs: Object.values(leaf.inputs), output: only(leaf, 'outputs') };
    case urns.WINDOW_INTO: {
      const output = only(leaf, 'outputs');
      const { windowFn } = windowingOf(pipeline, components, output);
      return { kind: 'windowInto', name, input: only(leaf, 'inputs'), output, windowFn };
    }
    case urns.GROUP_BY_KEY:
    case urns.COMBINE_PER_KEY: {
      const input = only(leaf, 'inputs');
      const windowing = windowingOf(pipeline, components, input);
      const combineFn = urn === urns.COMBINE_PER_KEY ? combineFnOf(pipeline, leaf) : undefined;
      return { kind: 'groupByKey', name, input, output: only(leaf, 'outputs'), windowing, combineFn };
    }
    case urns.RESHUFFLE:
      return {
        kind: 'passThrough',
        name,
        input: only(leaf, 'inputs'),
        output: only(leaf, 'outputs'),
        redistributes: true,
      };
    case urns.TEST_STREAM: {
      const events = found(name, findFunction(pipeline, name)) as readonly TestStreamEvent[];
      return { kind: 'testStream', name, output: only(leaf, 'outputs'), events };
    }
    case urns.PAR_DO:
      return compileParDo(pipeline, components, leaf);
    default:
      throw new InvalidPipelineError(
        `transform "${name}" (${urn}) is not known to the embedded runner: build it from ParDo, GroupByKey, Combine, Flatten, WindowInto and splittable reads`,
      );
  }
}

function compileParDo(pipeline: BeamPipeline, components: ComponentsProto, leaf: PTransformProto): PlanTransform {
  const name = leaf.uniqueName;
  const { doFn: spec, sideInputs: sideSpecs } = runnerApi.ParDoPayload.fromBinary(
    leaf.spec?.payload ?? new Uint8Array(),
  );
  const input = mainInputOf(leaf, Object.keys(sideSpecs));
  const { main: mainOutput, ...tagged } = leaf.outputs;
  const main = mainOutput ?? `${name}.unused`;
  const withDoFn = ({ doFn, views, maxConcurrency }: RegisteredDoFn): PlanTransform => {
    const { allowedLatenessMs } = windowingOf(pipeline, components, input);
    const sideInputs = [...views].map(([local, view]) => {
      const collection = leaf.inputs[local] as string;
      return { view, input: collection, windowFn: windowingOf(pipeline, components, collection).windowFn };
    });
    return { kind: 'parDo', name, input, main, tagged, sideInputs, doFn, allowedLatenessMs, maxConcurrency };
  };
  switch (spec?.urn) {
    case urns.DOFN_BY_NAME:
      return withDoFn(found(name, findFunction(pipeline, name)) as RegisteredDoFn);
    case urns.SPLITTABLE_BY_NAME: {
      const doFn = found(name, findFunction(pipeline, name)) as AnySplittableDoFn;
      return { kind: 'splittable', name, input, output: main, doFn };
    }
    case urns.TIMESTAMPS_BY_NAME: {
      const timestamps = found(name, findFunction(pipeline, name)) as RegisteredTimestamps<unknown>;
      return { kind: 'assignTimestamps', name, input, output: main, ...timestamps };
    }
    default:
      throw new InvalidPipelineError(`transform "${name}" holds a function of an unknown kind, ${spec?.urn}`);
  }
}

type AnySplittableDoFn = SplittableDoFn<unknown, unknown, unknown, unknown>;

/** The input that is not a side input. */
export function mainInputOf(leaf: PTransformProto, sideNames: readonly string[]): string {
  const main = Object.entries(leaf.inputs).filter(([local]) => !sideNames.includes(local));
  if (main.length === 1) return (main[0] as [string, string])[1];
  throw new InvalidPipelineError(
    `transform "${leaf.uniqueName}" has ${main.length} main inputs, where one is expected`,
  );
}

function only(leaf: PTransformProto, side: 'inputs' | 'outputs'): string {
  const ids = Object.values(leaf[side]);
  if (ids.length !== 1) {
    throw new InvalidPipelineError(`transform "${leaf.uniqueName}" has ${ids.length} ${side}, where one is expected`);
  }
  return ids[0] as string;
}

function found(name: string, fn: unknown): unknown {
  if (fn !== undefined) return fn;
  throw new InvalidPipelineError(
    `the function of transform "${name}" is not in this process: build the graph with the same module and options here`,
  );
}
