import { createHash } from 'node:crypto';
import { canonicalJson } from '#kernel/json';
import { declarationsOf } from '#pipelines/engine/declarations';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { BeamPipeline, BeamRoot, type PTransformProto } from './beam_pipeline.ts';
import { findFunction } from './function_table.ts';
import type { PipelineRoot } from './pcollection.ts';
import type { RegisteredDoFn } from './transforms.ts';
import * as urns from './urns.ts';

/** Builds a graph's transforms on its root. Called once for each worker and bundle in flight: DoFns are made inside it. */
export type Construct = (root: PipelineRoot) => void;

export function buildGraph(construct: Construct): BeamPipeline {
  const pipeline = new BeamPipeline();
  construct(new BeamRoot(pipeline));
  return pipeline;
}

const fingerprints = new WeakMap<BeamPipeline, string>();

/** Short hash of a graph: its transforms, how they connect, and what state they declare. */
export function fingerprintOf(pipeline: BeamPipeline): string {
  let fingerprint = fingerprints.get(pipeline);
  if (fingerprint === undefined) {
    const transforms = Object.values(pipeline.getProto().components?.transforms ?? {}).map((transform) => ({
      name: transform.uniqueName,
      urn: transform.spec?.urn ?? '',
      inputs: transform.inputs,
      outputs: transform.outputs,
      declares: declaredBy(pipeline, transform),
    }));
    fingerprint = createHash('sha256').update(canonicalJson(transforms)).digest('hex').slice(0, 16);
    fingerprints.set(pipeline, fingerprint);
  }
  return fingerprint;
}

function declaredBy(pipeline: BeamPipeline, { uniqueName }: PTransformProto): readonly string[] {
  const registered = findFunction(pipeline, uniqueName) as Partial<RegisteredDoFn> | undefined;
  if (registered?.doFn === undefined) return [];
  const { states, timers } = declarationsOf(registered.doFn);
  return [...states.map(({ id, kind }) => `${kind} ${id}`), ...timers.map(({ id, domain }) => `${domain} ${id}`)];
}

const SEPARATOR = '\n';

/** The name in a function's payload. @throws {@link InvalidPipelineError} when the job's graph is not this worker's */
export function functionName(pipeline: BeamPipeline, payload: string): string {
  const [name = '', expected] = payload.split(SEPARATOR);
  const actual = fingerprintOf(pipeline);
  if (expected !== undefined && expected !== actual) {
    throw new InvalidPipelineError(
      `the job was submitted with graph ${expected}, and this worker has built graph ${actual}: start it with the same version of the pipeline module and the same options`,
    );
  }
  return name;
}

export type EnvironmentProto = runnerApi.Environment;
export type PipelineProto = runnerApi.Pipeline;

/** The graph as a portable runner takes it: with names as ids, its environment, the graph's fingerprint, and what it requires. */
export function portableProto(pipeline: BeamPipeline, environment: EnvironmentProto): PipelineProto {
  const proto = runnerApi.Pipeline.clone(pipeline.getProto());
  nameIds(proto);
  const { components } = proto;
  if (components === undefined) return proto;
  const fingerprint = fingerprintOf(pipeline);
  const requirements = new Set<string>();
  for (const transform of Object.values(components.transforms)) stamp(transform, fingerprint, requirements);
  proto.requirements = [...requirements];
  components.environments = { [pipeline.defaultEnvironment]: environment };
  return proto;
}

/**
 * Gives transforms and collections their names as ids. Runners keep state under names that they make of ids (Flink: of an operator and its timers), and the numbers of
 * {@link BeamPipeline} shift when a transform is added: state would not be found again.
 */
function nameIds({ components, rootTransformIds }: PipelineProto): void {
  if (components === undefined) return;
  const { transforms, pcollections } = components;
  const collections = new Map<string, string>();
  const isLeaf = ({ subtransforms }: PTransformProto): boolean => subtransforms.length === 0;
  const producers = Object.values(transforms).sort((one, other) => Number(isLeaf(other)) - Number(isLeaf(one)));
  // Beam's Flink runner sorts transforms and collections in one set by id: no collection may have the id of a transform.
  const taken = new Set(producers.map(({ uniqueName }) => uniqueName));
  for (const { uniqueName, outputs } of producers) {
    for (const [tag, id] of Object.entries(outputs)) {
      if (collections.has(id)) continue;
      let name = `${uniqueName}.${tag}`;
      while (taken.has(name)) name += "'";
      taken.add(name);
      collections.set(id, name);
    }
  }
  const idOf = (id: string): string => transforms[id]?.uniqueName ?? id;
  const renamed = (ids: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(ids).map(([tag, id]) => [tag, collections.get(id) ?? id]));
  rootTransformIds.splice(0, Number.POSITIVE_INFINITY, ...rootTransformIds.map(idOf));
  components.pcollections = Object.fromEntries(
    Object.entries(pcollections).map(([id, collection]) => {
      const name = collections.get(id) ?? id;
      return [name, { ...collection, uniqueName: name }];
    }),
  );
  components.transforms = Object.fromEntries(
    Object.values(transforms).map((transform) => [
      transform.uniqueName,
      {
        ...transform,
        subtransforms: transform.subtransforms.map(idOf),
        inputs: renamed(transform.inputs),
        outputs: renamed(transform.outputs),
      },
    ]),
  );
}

function stamp(transform: PTransformProto, fingerprint: string, requirements: Set<string>): void {
  const { spec } = transform;
  if (spec === undefined) return;
  if (transform.subtransforms.length > 0 && spec.urn !== urns.COMBINE_PER_KEY && spec.urn !== urns.RESHUFFLE) return;
  if (spec.urn === urns.PAR_DO) {
    const payload = runnerApi.ParDoPayload.fromBinary(spec.payload);
    stampFunction(payload.doFn, fingerprint);
    if (Object.keys(payload.stateSpecs).length + Object.keys(payload.timerFamilySpecs).length > 0) {
      requirements.add('beam:requirement:pardo:stateful:v1');
    }
    if (payload.restrictionCoderId !== '') requirements.add('beam:requirement:pardo:splittable_dofn:v1');
    spec.payload = runnerApi.ParDoPayload.toBinary(payload);
  } else if (spec.urn === urns.COMBINE_PER_KEY) {
    const payload = runnerApi.CombinePayload.fromBinary(spec.payload);
    stampFunction(payload.combineFn, fingerprint);
    spec.payload = runnerApi.CombinePayload.toBinary(payload);
  }
}

function stampFunction(fn: { urn: string; payload: Uint8Array } | undefined, fingerprint: string): void {
  if (fn === undefined || !fn.urn.startsWith('headwater:')) return;
  fn.payload = Buffer.concat([fn.payload, Buffer.from(SEPARATOR + fingerprint)]);
}
