import type { DoFn } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { Plan, PlanTransform } from '#pipelines/engine/plan';
import { isSplittable } from '#pipelines/engine/splittable';
import { type BeamPipeline, type ComponentsProto, functionOf, type PTransformProto, runnerApi } from './beam.ts';
import { adaptBeamDoFn, type SerializedBeamDoFn } from './beam_dofn.ts';
import { findFunction } from './function_table.ts';
import * as urns from './urns.ts';
import { allowedLatenessMs, windowFnOf } from './windowing.ts';

/**
 * Compiles a Beam graph for the engine: composites are flattened to their leaves, leaves ordered so that producers come first,
 * and functions looked up.
 *
 * @throws {@link InvalidPipelineError} naming the transform that the engine cannot execute
 */
export function planOf(pipeline: BeamPipeline): Plan {
  const { components } = pipeline.getProto();
  if (components === undefined) return { transforms: [] };
  const leaves = Object.values(components.transforms).filter(
    ({ subtransforms, spec }) => subtransforms.length === 0 && spec !== undefined,
  );
  return { transforms: inTopologicalOrder(leaves).map((leaf) => compile(pipeline, components, leaf)) };
}

function inTopologicalOrder(leaves: readonly PTransformProto[]): PTransformProto[] {
  const producer = new Map<string, PTransformProto>();
  for (const leaf of leaves) for (const id of Object.values(leaf.outputs)) producer.set(id, leaf);
  const ordered: PTransformProto[] = [];
  const visited = new Set<PTransformProto>();
  const visit = (leaf: PTransformProto): void => {
    if (visited.has(leaf)) return;
    visited.add(leaf);
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
      return {
        kind: 'windowInto',
        name,
        input: only(leaf, 'inputs'),
        output,
        windowFn: windowFnOf(components, output),
      };
    }
    case urns.PAR_DO:
      return compileParDo(pipeline, components, leaf);
    default:
      throw new InvalidPipelineError(
        `transform "${name}" (${urn}) cannot run on the embedded runner yet; it runs ParDo with state and timers, splittable reads, Flatten and windows`,
      );
  }
}

function compileParDo(pipeline: BeamPipeline, components: ComponentsProto, leaf: PTransformProto): PlanTransform {
  const name = leaf.uniqueName;
  const { doFn: spec, sideInputs } = runnerApi.ParDoPayload.fromBinary(leaf.spec?.payload ?? new Uint8Array());
  if (Object.keys(sideInputs).length > 0) {
    throw new InvalidPipelineError(`transform "${name}" has side inputs, which the embedded runner does not run yet`);
  }
  const input = only(leaf, 'inputs');
  const { main: mainOutput, ...tagged } = leaf.outputs;
  const main = mainOutput ?? `${name}.unused`;
  const withDoFn = (doFn: DoFn<never, unknown>): PlanTransform => {
    const lateness = allowedLatenessMs(components, input);
    return { kind: 'parDo', name, input, main, tagged, doFn, allowedLatenessMs: lateness };
  };
  switch (spec?.urn) {
    case urns.DOFN_BY_NAME: {
      const doFn = found(name, findFunction(pipeline, name)) as DoFn<never, unknown>;
      return isSplittable(doFn) ? { kind: 'splittable', name, input, output: main, doFn } : withDoFn(doFn);
    }
    case urns.TIMESTAMPS_BY_NAME: {
      const timestampOf = found(name, findFunction(pipeline, name)) as (value: unknown) => number;
      return { kind: 'assignTimestamps', name, input, output: main, timestampOf };
    }
    case urns.JS_DOFN:
      return withDoFn(adaptBeamDoFn(name, found(name, functionOf(spec.payload)) as SerializedBeamDoFn));
    case urns.JS_IDENTITY:
      return withDoFn({ process: (element, context) => context.output(element) });
    case urns.JS_WINDOW_INTO:
      return { kind: 'windowInto', name, input, output: main, windowFn: windowFnOf(components, main) };
    case urns.JS_ASSIGN_TIMESTAMPS: {
      const { func } = found(name, functionOf(spec.payload)) as { func: (value: unknown) => { toNumber(): number } };
      return { kind: 'assignTimestamps', name, input, output: main, timestampOf: (value) => func(value).toNumber() };
    }
    default:
      throw new InvalidPipelineError(`transform "${name}" holds a function of an unknown kind, ${spec?.urn}`);
  }
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
