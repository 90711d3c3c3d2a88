import { type DoFn, outputTag } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { ComponentsProto, PTransformProto } from '#pipelines/model/beam_pipeline';
import type { Construct } from '#pipelines/model/graph';
import { combinePerKey, groupByKey, reshuffle } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { inTopologicalOrder, mainInputOf } from '#pipelines/model/plan';
import { flatten, impulse, named, parDo, parDoTagged, windowInto, withTimestamps } from '#pipelines/model/transforms';
import * as urns from '#pipelines/model/urns';
import { windowingFromProto } from '#pipelines/model/windows/windowing';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { adaptBeamDoFn, type BeamDoFnInfo, type BeamValues } from './apache_beam_dofn.ts';

// URNs of functions in graphs of apache-beam's SDK (its internal/urns.js).
const JS_DOFN = 'beam:dofn:serialized_js_dofn_info:v1';
const JS_IDENTITY = 'beam:dofn:identity:0.1';
const JS_SPLIT = 'beam:dofn:splitting_dofn:v1';
const JS_WINDOW_INTO = 'beam:dofn:js_window_into:v1';
const JS_ASSIGN_TIMESTAMPS = 'beam:dofn:js_assign_timestamps:v1';
const JS_COMBINE_FN = 'beam:dofn:serialized_js_combinefn_info:v1';

/** A graph of apache-beam's SDK, and how the functions in it are found. */
export interface BeamGraph {
  readonly proto: runnerApi.Pipeline;
  /** Returns what the SDK put into a payload. */
  functionOf(payload: Uint8Array): unknown;
  readonly values: BeamValues;
}

type Collections = ReadonlyMap<string, PCollection<unknown>>;

/**
 * Builds a graph of apache-beam's SDK anew from our own transforms, under the names that it has there.
 *
 * @throws {@link InvalidPipelineError} naming a transform that has no counterpart, such as one of another language
 */
export function constructOf(graph: BeamGraph): Construct {
  return (root) => {
    const { components, rootTransformIds } = graph.proto;
    if (components === undefined) return;
    const collections = new Map<string, PCollection<unknown>>();
    const leaves = rootTransformIds.flatMap((id) => leavesOf(components, id));
    for (const leaf of inTopologicalOrder(leaves)) {
      for (const [id, collection] of apply(graph, components, leaf, root, collections)) collections.set(id, collection);
    }
  };
}

/** Transforms to apply for one: itself, when it has a function that combines; otherwise its parts. */
function leavesOf(components: ComponentsProto, id: string): readonly PTransformProto[] {
  const transform = components.transforms[id] as PTransformProto;
  if (combineFnOf(transform) !== undefined || isReshuffle(components, transform)) return [transform];
  if (transform.subtransforms.length > 0) return transform.subtransforms.flatMap((part) => leavesOf(components, part));
  // A composite without parts hands its input on.
  return transform.spec === undefined || transform.spec.urn === '' ? [] : [transform];
}

/**
 * The SDK groups by a random key to redistribute, without Beam's URN for it: every element would get the time of the end of its window, and
 * `create`, which redistributes, would make elements that are late for any other window.
 */
function isReshuffle({ transforms }: ComponentsProto, { uniqueName, subtransforms }: PTransformProto): boolean {
  if (!/(^|\/)reshuffle( \d+)?$/.test(uniqueName)) return false;
  return subtransforms.some((id) => transforms[id]?.uniqueName === `${uniqueName}/groupByRandomKey`);
}

function combineFnOf({ spec }: PTransformProto): Uint8Array | undefined {
  if (spec?.urn !== urns.COMBINE_PER_KEY) return undefined;
  const { combineFn } = runnerApi.CombinePayload.fromBinary(spec.payload);
  return combineFn?.urn === JS_COMBINE_FN ? combineFn.payload : undefined;
}

/** Returns the collections that a leaf makes, by their ids in the SDK's graph. */
function apply(
  graph: BeamGraph,
  components: ComponentsProto,
  leaf: PTransformProto,
  root: PipelineRoot,
  collections: Collections,
): readonly (readonly [string, PCollection<unknown>])[] {
  const name = leaf.uniqueName;
  const collection = (id: string): PCollection<unknown> => {
    const found = collections.get(id);
    if (found !== undefined) return found;
    throw new InvalidPipelineError(`transform "${name}" reads collection ${id}, which no transform makes`);
  };
  const inputs = Object.values(leaf.inputs);
  const outputs = Object.values(leaf.outputs);
  const [input = ''] = inputs;
  const one = (made: PCollection<unknown>) => outputs.slice(0, 1).map((id) => [id, made] as const);
  if (isReshuffle(components, leaf)) return one(collection(input).apply(reshuffle(name)));
  switch (leaf.spec?.urn) {
    case urns.IMPULSE:
      return one(root.apply(named(name, (from: PipelineRoot) => from.apply(impulse()))));
    case urns.FLATTEN:
      return one(flatten(inputs.map(collection), name));
    case urns.GROUP_BY_KEY:
      return one((collection(input) as PCollection<KV<unknown, unknown>>).apply(groupByKey(name)));
    case urns.COMBINE_PER_KEY: {
      const { combineFn } = graph.functionOf(combineFnOf(leaf) as Uint8Array) as { combineFn: BeamCombineFn };
      const keyed = collection(input) as PCollection<KV<unknown, unknown>>;
      return one(keyed.apply(combinePerKey(ownCombineFn(combineFn), { name })));
    }
    case urns.PAR_DO:
      break;
    default:
      throw new InvalidPipelineError(
        `transform "${name}" (${leaf.spec?.urn}) of apache-beam's graph has no counterpart here: transforms of other languages do not run`,
      );
  }
  const { doFn, sideInputs } = runnerApi.ParDoPayload.fromBinary(leaf.spec.payload);
  const main = collection(mainInputOf(leaf, Object.keys(sideInputs)));
  switch (doFn?.urn) {
    case JS_DOFN: {
      const read = new Map(Object.keys(sideInputs).map((id) => [id, collection(leaf.inputs[id] as string)] as const));
      const adapted = adaptBeamDoFn(name, graph.functionOf(doFn.payload) as BeamDoFnInfo, read, graph.values);
      return one(main.apply(parDo(adapted.doFn, { name, sideInputs: adapted.sideInputs })));
    }
    case JS_IDENTITY:
      return one(main);
    case JS_WINDOW_INTO: {
      const strategyId = components.pcollections[outputs[0] ?? '']?.windowingStrategyId ?? '';
      return one(main.apply(windowInto(windowingFromProto(components.windowingStrategies[strategyId]), name)));
    }
    case JS_ASSIGN_TIMESTAMPS: {
      const { func } = graph.functionOf(doFn.payload) as { func: (value: unknown) => { toNumber(): number } };
      return one(main.apply(withTimestamps((value) => func(value).toNumber(), name, ANY_SKEW)));
    }
    case JS_SPLIT: {
      const tags = Object.fromEntries(Object.keys(leaf.outputs).map((tag) => [tag, outputTag<unknown>(tag)]));
      const split = main.apply(
        parDoTagged(splitter(name, graph.functionOf(doFn.payload) as Split, tags), tags, { name }),
      );
      return Object.entries(leaf.outputs).map(([tag, id]) => [id, split[tag] as PCollection<unknown>] as const);
    }
    default:
      throw new InvalidPipelineError(`transform "${name}" holds a function of an unknown kind, ${doFn?.urn}`);
  }
}

/** The SDK checks no skew. */
const ANY_SKEW = { allowedSkewMs: Number.POSITIVE_INFINITY };

interface BeamCombineFn {
  createAccumulator(): unknown;
  addInput(accumulator: unknown, input: unknown): unknown;
  mergeAccumulators(accumulators: Iterable<unknown>): unknown;
  extractOutput(accumulator: unknown): unknown;
}

/** Functions are called as methods: the SDK's combiners may use `this`. */
const ownCombineFn = (fn: BeamCombineFn) => ({
  createAccumulator: () => fn.createAccumulator(),
  addInput: (accumulator: unknown, input: unknown) => fn.addInput(accumulator, input),
  mergeAccumulators: (accumulators: Iterable<unknown>) => fn.mergeAccumulators(accumulators),
  extractOutput: (accumulator: unknown) => fn.extractOutput(accumulator),
});

/** What apache-beam's `split` keeps. */
interface Split {
  readonly exclusive: boolean;
  readonly unknownTagBehavior: 'error' | 'ignore' | 'rename';
  readonly unknownTagName?: string;
  readonly knownTags: readonly string[];
}

/** Sends the value under each tag of an element to the output of that name, as the SDK's own worker does. */
function splitter(
  name: string,
  { exclusive, unknownTagBehavior, unknownTagName = '', knownTags }: Split,
  tags: Readonly<Record<string, ReturnType<typeof outputTag<unknown>>>>,
): DoFn<unknown, never> {
  return {
    process(element, context) {
      const parts = Object.entries(element as object);
      if (exclusive && parts.length !== 1) {
        throw new InvalidPipelineError(
          `"${name}": an element has the tags ${parts.map(([tag]) => tag).join(', ') || '(none)'}, where one is expected`,
        );
      }
      for (const [tag, value] of parts) {
        const isKnown = knownTags.includes(tag);
        if (!isKnown && unknownTagBehavior === 'error') {
          throw new InvalidPipelineError(`"${name}": tag "${tag}" is unknown; known are ${knownTags.join(', ')}`);
        }
        const output = tags[isKnown || unknownTagBehavior === 'ignore' ? tag : unknownTagName];
        if (output !== undefined) context.outputTo(output, value);
      }
    },
  };
}
